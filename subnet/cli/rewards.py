"""`subnet arena rewards`: every cheat against every scorer, in whole subnets with their ledgers."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.cells import played

if TYPE_CHECKING:  # both need torch
    from subnet.arena.rewards.choices import RewardChoices


def rewards(  # noqa: PLR0917 (a command's options)
    path: Annotated[
        Path | None, typer.Argument(help="A subnet's folder: what is trained and paid.  [default: optdigits]")
    ] = None,
    cheats: Annotated[
        str | None,
        typer.Option(help="Kinds of cheats, with commas, such as copycat:0.5.  [default: all but late and crash]"),
    ] = None,
    scorers: Annotated[str | None, typer.Option(help="Scorers, with commas.  [default: all]")] = None,
    partitions: Annotated[str, typer.Option(help="Data splits, with commas.")] = "iid,dirichlet:0.5,dirichlet:0.1",
    clients: Annotated[int, typer.Option(min=2, max=1000, help="Participants in all.")] = 20,
    cheating: Annotated[int, typer.Option(min=1, max=500, help="How many of them cheat.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Rounds that are played and paid.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Seeds a cell is played with.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, max=1_000_000, help="The first of these seeds.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, max=1000, help="Processes.  [default: all processors]")] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept; an interrupted arena goes on.")] = Path("rewards"),
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Play every cheat under every scorer, and say what cheating earned.

    Results are kept by content: asking again, or for more, plays only what isn't known. OUT/report.html shows them.
    """
    from subnet.arena.rewards.choices import read
    from subnet.arena.rewards.play import play
    from subnet.cli.demo import example

    choices = read(
        path or example("optdigits"),
        cheats=cheats,
        scorers=scorers,
        partitions=partitions,
        n_clients=clients,
        n_cheating=cheating,
        n_rounds=rounds,
        seeds=range(first_seed, first_seed + seeds),
    )
    results = played(choices.cells, play, out, n_workers=workers or os.cpu_count() or 1, quiet=json_output)
    _report(choices, results, out, json_output=json_output)


def _report(choices: "RewardChoices", results: "Sequence[Any]", out: Path, *, json_output: bool) -> None:
    from subnet.arena.rewards.page import page
    from subnet.arena.rewards.table import rows, summary
    from subnet.store import write_atomically

    table = rows(results)
    scorers = summary(table)
    report = out / "report.html"
    write_atomically(report, page(choices.facts(), table=table, scorers=scorers).encode())
    if json_output:
        told = {"subnet": choices.spec.subnet.name, "facts": choices.facts(), "rows": table, "scorers": scorers}
        typer.echo(json.dumps({**told, "report": str(report)}))
    else:
        _show(table, scorers, report)


def _show(table: Sequence[dict[str, Any]], scorers: Sequence[dict[str, Any]], report: Path) -> None:
    """Print a cheat's largest profit over all divisions under each scorer, and what the scorers paid cheats in all."""
    from rich.console import Console
    from rich.table import Table

    from subnet.arena.rewards.cell import NO_CHEAT

    names = list(dict.fromkeys(row["scorer"] for row in scorers))
    console = Console(highlight=False)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("cheat", no_wrap=True)
    for name in names:
        shown.add_column(name, justify="right")
    for cheat in dict.fromkeys(row["cheat"] for row in table if row["cheat"] != NO_CHEAT):
        shown.add_row(cheat, *(_most(table, "profit_ratio", cheat=cheat, scorer=name) for name in names))
    shown.add_section()
    shown.add_row(
        "worst share, %", *(_most(scorers, "cheat_share_percent", scorer=name) for name in names), style="bold"
    )
    console.print(shown)
    console.print(
        "\na cheat's pay over an honest participant's, the largest over the data splits; below, the cheats' part of all"
        f" pay (mean over cheats)\nevery cell: {report}"
    )


def _most(rows: Sequence[dict[str, Any]], column: str, **wanted: str) -> str:
    values = [
        row[column]
        for row in rows
        if row[column] is not None and all(row[name] == value for name, value in wanted.items())
    ]
    return f"{max(values):.2f}" if values else "-"
