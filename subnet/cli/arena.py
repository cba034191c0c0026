"""`subnet arena`: every strategy against every attack, on real training."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from subnet.errors import StoppedError


def arena(  # noqa: PLR0917 (a command's options)
    path: Annotated[
        Path | None, typer.Argument(help="A subnet's folder: its task is what is trained.  [default: optdigits]")
    ] = None,
    strategies: Annotated[
        str | None, typer.Option(help="Rules to compare, with commas.  [default: all that are registered]")
    ] = None,
    attacks: Annotated[str | None, typer.Option(help="Attacks, with commas; 'none' for calm.  [default: all]")] = None,
    partitions: Annotated[str, typer.Option(help="Data splits, with commas.")] = "iid,dirichlet:0.5,dirichlet:0.1",
    clients: Annotated[int, typer.Option(min=2, max=1000, help="Clients in all.")] = 20,
    byzantine: Annotated[int, typer.Option(min=1, max=500, help="How many of them attack.")] = 4,
    stated: Annotated[
        str | None, typer.Option(help="How many attackers the rules are told of, with commas.  [default: the truth]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=10_000, help="Rounds of training.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Seeds a cell is played with.")] = 3,
    workers: Annotated[int | None, typer.Option(min=1, max=1000, help="Processes.  [default: all processors]")] = None,
    out: Annotated[Path, typer.Option(help="Where results are kept; an interrupted arena goes on.")] = Path("arena"),
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Play every strategy against every attack and rank them by their worst case.

    Results are kept by content: asking again, or for more, plays only what isn't known. OUT/report.html shows them.
    """
    from subnet.cli.demo import example
    from subnet.spec import load_spec

    folder = path or example("optdigits")
    spec = load_spec(folder)
    from strategies import names
    from subnet.arena.page import page
    from subnet.arena.play import attack_names, create_rule
    from subnet.arena.run import ArenaError, plan, play_all
    from subnet.arena.table import ranking, rows
    from subnet.cli.screen import counting
    from subnet.store import write_atomically

    chosen = strategies.split(",") if strategies else names()
    against = attacks.split(",") if attacks else attack_names()
    unknown = [attack for attack in against if attack not in attack_names()]
    if unknown:
        raise ArenaError(f"attack {unknown[0]!r} is unknown", remedy=f"use {', '.join(attack_names())}")
    if byzantine >= clients:
        raise ArenaError(f"{byzantine} of {clients} clients can't attack", remedy="leave at least one honest client")
    told = [int(number) for number in stated.split(",")] if stated else [byzantine]
    for name in chosen:
        create_rule(name, told[0])
    cells = plan(
        subnet=folder.resolve(),
        spec=spec.hash,
        strategies=chosen,
        attacks=against,
        partitions=partitions.split(","),
        n_clients=clients,
        n_byzantine=byzantine,
        stated=told,
        n_rounds=rounds,
        seeds=range(seeds),
    )
    try:
        with counting("cells", enabled=not json_output) as told_of:
            results = play_all(cells, out / "cells", n_workers=workers or os.cpu_count() or 1, on_result=told_of)
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped: what was played is kept in {out}", remedy="give the same command again: it goes on from there"
        ) from None
    table = rows(results)
    ranked = ranking(table)
    facts = [
        f"{spec.subnet.name}: {clients} clients, {byzantine} of them attack; {rounds} rounds, {seeds} seeds a cell.",
        "Held-out accuracy with the 95 % confidence interval of its mean; rules are ranked by their worst case.",
    ]
    report = out / "report.html"
    title = f"Arena: {len(chosen)} strategies, {len(against)} attacks"
    write_atomically(report, page(title=title, facts=facts, table=table, ranked=ranked).encode())
    if json_output:
        typer.echo(json.dumps({"subnet": spec.subnet.name, "rows": table, "ranking": ranked, "report": str(report)}))
        return
    _show(ranked, report)


def _show(ranked: list[dict[str, object]], report: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("strategy", "worst", "against", "on", "mean", "no attack", box=None, header_style="bold")
    for row in ranked:
        calm = row["calm_accuracy_percent"]
        table.add_row(
            str(row["strategy"]),
            f"{row['worst_accuracy_percent']:.1f}",
            str(row["worst_attack"]),
            str(row["worst_partition"]),
            f"{row['mean_accuracy_percent']:.1f}",
            "-" if calm is None else f"{calm:.1f}",
        )
    console.print(table)
    console.print(f"\nheld-out accuracy in percent; every cell: {report}")
