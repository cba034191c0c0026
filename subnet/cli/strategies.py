"""`subnet strategies`: every aggregation rule that can be named in subnet.toml, or one of them whole."""

import dataclasses
import json
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # torch comes with them, which `subnet --help` does without
    from rich.console import Console

    from strategies.catalogue import Details
    from strategies.registry import Description


def strategies(
    name: Annotated[
        str | None,
        typer.Argument(help="One strategy, whole: a name, 'nnm+median', or an import path 'my_rule:MyRule'."),
    ] = None,
    subnet: Annotated[
        Path | None, typer.Option(help="The folder in which import paths are searched first.  [default: this one]")
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a table for your documents.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the aggregation rules and mixers, plug-ins included; or say everything about one.

    NAME is that of a rule, a mixer or both (nnm+median), or an import path (my_rule:MyRule).
    """
    if name is not None:
        _one(name, subnet or Path(), markdown=markdown, json_output=json_output)
        return
    from strategies import describe

    found = describe()
    if json_output:
        typer.echo(json.dumps({"strategies": [_row(one) for one in found]}))
    elif markdown:
        typer.echo(table(found))
    else:
        _list(found)


def _one(name: str, subnet: Path, *, markdown: bool, json_output: bool) -> None:
    from clients.task import import_from
    from strategies import describe
    from strategies.catalogue import details

    with import_from(subnet.absolute()):
        parts = details(name)
        rows = describe(*name.split("+"))
    if json_output:
        typer.echo(json.dumps({"strategy": name, "parts": [dataclasses.asdict(part) for part in parts]}))
    elif markdown:
        typer.echo(table(rows))
    else:
        for number, part in enumerate(parts):
            _show(part, first=number == 0)


def _row(one: "Description") -> dict[str, object]:
    return {**one._asdict(), "settings": dict(one.settings), "evidence": list(one.evidence)}


def table(found: Iterable["Description"]) -> str:
    """Return a Markdown table of rules and mixers."""
    head = ("strategy", "kind", "what it does", "withstands", "evidence", "settings and their defaults", "source")
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for one in found:
        settings = ", ".join(f"`{name}` {json.dumps(value)}" for name, value in one.settings.items())
        cells = (
            f"`{one.name}`",
            one.kind,
            one.summary,
            one.breakdown,
            ", ".join(f"`{kind}`" for kind in one.evidence),
            settings,
            one.source,
        )
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False, markup=False)


def _list(found: list["Description"]) -> None:
    from rich.table import Table

    shown = Table("strategy", "kind", "withstands", "what it does", box=None, header_style="bold", pad_edge=False)
    for column in shown.columns[:3]:
        column.no_wrap = True
    for one in found:
        shown.add_row(one.name, one.kind, one.breakdown, one.summary)
    console = _console()
    console.print(shown)
    console.print("\nof n clients, f malicious; settings, sources and all: subnet strategies NAME", style="dim")


def _show(part: "Details", *, first: bool) -> None:
    from rich.padding import Padding
    from rich.table import Table

    console = _console()
    if not first:
        console.print()
    console.print(f"{part.name} ({part.kind})", style="bold")
    for paragraph in part.text.split("\n\n"):
        console.print()
        if paragraph.startswith(">>>"):
            console.print(textwrap.indent(paragraph, "    "), soft_wrap=True)
        else:
            console.print(" ".join(paragraph.split()))
    facts = Table.grid(padding=(0, 2))
    facts.add_row("withstands", part.breakdown)
    facts.add_row("evidence", ", ".join(part.evidence) or "none")
    facts.add_row("source", part.source)
    console.print()
    console.print(facts)
    if not part.settings:
        console.print("settings    none")
        return
    console.print()
    console.print(" ".join(part.settings_text.split()), style="bold")
    for setting in part.settings:
        console.print()
        console.print(f"{setting.name} = {json.dumps(setting.default)}")
        allowed = f"{setting.type}: {setting.range}" if setting.range else setting.type
        console.print(Padding(allowed, (0, 0, 0, 4)), style="dim")
        console.print(Padding(" ".join(setting.text.split()), (0, 0, 0, 4)))
