"""`subnet audit`: everything that a validator published, recomputed."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.cells import progress
from subnet.cli.score import subnet_folders
from subnet.errors import RunError

if TYPE_CHECKING:
    from subnet.audit import Claims

_MAX_BYTES = 65_536
"""No checkpoint, and no line of acknowledgements, is longer; checked before it is read."""


def audit(
    folder: Annotated[
        Path, typer.Argument(metavar="BUNDLE", help="A run's folder, or what `subnet bundle` made of it.")
    ],
    first: Annotated[
        int, typer.Option("--from", min=1, help="The first round to recompute; earlier ones are taken as recorded.")
    ] = 1,
    last: Annotated[int | None, typer.Option("--to", min=1, help="The last one.  [default: the last settled]")] = None,
    subnet: Annotated[
        Path | None,
        typer.Option(help="The subnet's folder, which holds the task.  [default: found by the run's name and task]"),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="The validator's key for its log, NAME+ID+KEY, as it was published.")
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="A checkpoint that you kept, which the log must extend.")
    ] = None,
    acknowledgement: Annotated[
        list[Path] | None,
        typer.Option(
            "--acks",
            "--acknowledgement",
            help="A file of the validator's signed words on contributions, one a line, as a participant keeps it; may "
            "be given several times.",
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Recompute a run from its signed updates, with no trust in its validator; exit 1 where anything differs.

    The first disagreement is named: round, hotkey, layer, the recorded value and the recomputed one.
    """
    import torch

    from subnet.audit import audit as recompute
    from subnet.bundle import unpacked

    torch.set_num_threads(1)  # as in a run: the number of threads changes the last bits
    claims = _claims(key, checkpoint, acknowledgement or [])
    with unpacked(folder) as run, progress("rounds", quiet=json_output) as on_round:
        report = recompute(run, subnet_folders(subnet), first=first, last=last, claims=claims, on_round=on_round)
    result = report.to_json()
    if json_output:
        typer.echo(json.dumps(result))
    else:
        _show(result)
    if not report.ok:
        raise typer.Exit(1)


def _claims(key: str | None, checkpoint: Path | None, words: list[Path]) -> "Claims":
    from subnet.audit import Claims
    from tokenomics.ledger import Checkpoint
    from tokenomics.note import VerifierKey

    return Claims(
        key=VerifierKey.parse(key) if key else None,
        checkpoint=Checkpoint.parse(_read(checkpoint)) if checkpoint else None,
        acknowledgements=[word for file in words for word in _read_lines(file)],
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return stream.read(_MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file} can't be read: {error}", remedy="give the file as it was published") from error


def _read_lines(file: Path) -> list[str]:
    try:
        with file.open("rb") as stream:
            lines = list(iter(lambda: stream.readline(_MAX_BYTES), b""))
        return [line.decode().strip() for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{file} can't be read: {error}", remedy="give the file as the participant kept it") from error


def _show(result: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("layer", no_wrap=True)
    for title in ("checked", "agree"):
        table.add_column(title, justify="right")
    table.add_column("first disagreement")
    for one in result["layers"]:
        style = "red" if one["first"] else ""
        table.add_row(one["layer"], str(one["checked"]), str(one["agree"]), _place(one["first"]), style=style)
    console.print(table)
    console.print()
    for line in _remarks(result):
        console.print(line, style="dim", markup=False, soft_wrap=True)
    if result["first"] is None:
        console.print("everything that was checked agrees")
        return
    found = result["first"]
    console.print(
        f"first disagreement: {found['layer']}, {_place(found)}", style="bold red", markup=False, soft_wrap=True
    )
    console.print(f"  recorded    {found['recorded']}", markup=False, soft_wrap=True)
    console.print(f"  recomputed  {found['recomputed']}", markup=False, soft_wrap=True)


def _place(found: Mapping[str, Any] | None) -> str:
    """Return where a disagreement is, in words."""
    if found is None:
        return ""
    where = f"round {found['round']}" if found["round"] else "whole run"
    return ", ".join(part for part in (where, found["hotkey"][:8], found["what"]) if part)


def _remarks(result: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know beside the table."""
    first, last = result["rounds"]
    lines = [f"rounds {first} to {last} recomputed" if last >= first else "no round is settled yet"]
    if result["history_from_receipts"]:
        lines[0] += f"; what happened before round {first} was taken from the receipts"
    scores = next(one["checked"] for one in result["layers"] if one["layer"] == "scores")
    if scores:
        came = f"{result['models_exact']} of {result['models']} models and {result['scores_exact']} of {scores} scores"
        off = f"so this is another kind of machine: numbers may be {result['tolerance']} off"
        lines.append(f"{came} came out bit for bit, {'so everything has to' if result['exact'] else off}")
    if result["not_kept"]:
        what = ", ".join(f"{count} {reason}" for reason, count in result["not_kept"].items())
        lines.append(f"taken on the validator's word, since there was nothing to keep: {what}")
    if result["unnamed_contributions"]:
        lines.append(
            f"{result['unnamed_contributions']} stored contributions answer no message of a settled round, as after a "
            "crash in mid-round"
        )
    if result["unchecked_rounds"]:
        lines.append(f"not recomputed: round {', '.join(map(str, result['unchecked_rounds']))}")
    return lines
