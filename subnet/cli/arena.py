"""`subnet arena`: every strategy against every attack, on real training."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.cells import played

if TYPE_CHECKING:  # both need torch
    from subnet.arena.cell import Cell
    from subnet.arena.choices import Choices
    from subnet.arena.run import Result


def arena(  # noqa: PLR0917 (a command's options)
    path: Annotated[
        Path | None, typer.Argument(help="A subnet's folder: its task is what is trained.  [default: optdigits]")
    ] = None,
    strategies: Annotated[
        str | None,
        typer.Option(
            help="Rules to compare, with commas: names, mixers and a rule such as nnm+median, or import paths such as "
            "my_rule:MyRule.  [default: all that are registered, and the mixers with a rule]"
        ),
    ] = None,
    attacks: Annotated[str | None, typer.Option(help="Attacks, with commas; 'none' for calm.  [default: all]")] = None,
    partitions: Annotated[str, typer.Option(help="Data splits, with commas.")] = "iid,dirichlet:0.5,dirichlet:0.1",
    clients: Annotated[int, typer.Option(min=2, max=1000, help="Clients in all.")] = 20,
    byzantine: Annotated[int, typer.Option(min=1, max=500, help="How many of them attack.")] = 4,
    stated: Annotated[
        str | None,
        typer.Option(
            help="How many attackers the rules are told of, with commas; 'auto' for their own estimate.  "
            "[default: the truth]"
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Rounds of training.")] = 50,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Seeds a cell is played with.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, max=1000, help="Processes.  [default: all processors]")] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept; an interrupted arena goes on.")] = Path("arena"),
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Play every strategy against every attack and rank them by their worst case.

    Results are kept by content: asking again, or for more, plays only what isn't known. OUT/report.html shows them.
    `subnet arena rewards --help` is about the other arena, of cheats against scorers.
    """
    from subnet.arena.choices import read
    from subnet.arena.play import play
    from subnet.cli.demo import example

    choices = read(
        path or example("optdigits"),
        strategies=strategies,
        attacks=attacks,
        partitions=partitions,
        stated=stated,
        n_clients=clients,
        n_byzantine=byzantine,
        n_rounds=rounds,
        n_seeds=seeds,
    )
    results = played(choices.cells, play, out, n_workers=workers or os.cpu_count() or 1, quiet=json_output)
    _report(choices, results, out, json_output=json_output)


def _report(choices: "Choices", results: "Sequence[tuple[Cell, Result]]", out: Path, *, json_output: bool) -> None:
    """Write the page, and print the ranking or everything."""
    from subnet.arena.page import page
    from subnet.arena.table import ranking, rows
    from subnet.store import write_atomically

    table = rows(results)
    ranked = ranking(table)
    report = out / "report.html"
    write_atomically(report, page(choices.facts(), table=table, ranked=ranked).encode())
    if json_output:
        told = {"subnet": choices.spec.subnet.name, "facts": choices.facts(), "rows": table, "ranking": ranked}
        typer.echo(json.dumps({**told, "report": str(report)}))
    else:
        _show(ranked, report)


def _show(ranked: Sequence[dict[str, Any]], report: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    numbers = list(dict.fromkeys(number for row in ranked for number in row["worst_by_stated"]))
    by_number = numbers if len(numbers) > 1 else []
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("strategy", no_wrap=True)
    table.add_column("worst", justify="right", no_wrap=True)
    for title in ("against", "on"):
        table.add_column(title, overflow="fold")
    for title in (*(f"told {number}" for number in by_number), "mean", "no attack"):
        table.add_column(title, justify="right")
    for row in ranked:
        worst = row["worst_by_stated"]
        table.add_row(
            row["strategy"],
            _number(row["worst_accuracy_percent"]) + _interval(row["worst_accuracy_percent_ci95"]),
            row["worst_attack"],
            row["worst_partition"],
            *(_number(worst[number]["worst_accuracy_percent"]) for number in by_number),
            _number(row["mean_accuracy_percent"]),
            _number(row["calm_accuracy_percent"]),
        )
    console.print(table)
    told = "; told N: the worst when the rule is told of N attackers" if by_number else ""
    console.print(f"\ntest accuracy in percent{told}\nevery cell: {report}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _interval(value: float | None) -> str:
    return "" if value is None else f" ± {value:.1f}"
