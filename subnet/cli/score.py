"""`subnet score`: a run that has been played, scored again by other rules."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.cells import progress
from subnet.cli.demo import example

if TYPE_CHECKING:
    from subnet.state import Fixture


def score(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, finished or not.")],
    scorer: Annotated[
        list[str] | None,
        typer.Option(help="A scorer; may be given several times.  [default: every one that there is]"),
    ] = None,
    subnet: Annotated[
        Path | None,
        typer.Option(help="The subnet's folder, which holds the task.  [default: found by the run's name and task]"),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of tables.")] = False,
) -> None:
    """Score a run again: who would have been paid what under other scorers.

    The stored updates are scored again on the same held-out batches, and paid by the same rules and split. The models
    are those that were trained: another scorer changes who is paid, not what was learnt or how anyone behaved.
    """
    import torch

    from subnet.reopen import reopened
    from subnet.rescore import rescore
    from subnet.scoreboard import summary
    from subnet.scoring import registry

    torch.set_num_threads(1)  # as in a run: the number of threads changes the last bits
    with reopened(folder, subnet_folders(subnet)) as fixture:
        names = list(dict.fromkeys(scorer or registry.SCORERS))
        scorers = [registry.named(name, fixture.spec.scoring) for name in names]
        with progress("rounds", quiet=json_output) as on_round:
            outcomes = rescore(fixture, scorers, on_round=on_round)
        kinds = _kinds(folder, fixture)
        result = summary(fixture, outcomes, kinds)
    if json_output:
        typer.echo(json.dumps(result))
    elif outcomes:
        _show(result, kinds)
    else:
        typer.echo("no round is settled yet")


def subnet_folders(named: Path | None) -> list[Path]:
    """Return where a run's subnet may be: where it is said to be, or here, below examples/, or with this package."""
    if named is not None:
        return [named]
    here = Path()
    return [here, *sorted((here / "examples").glob("*")), *sorted(example("digits").parent.glob("*"))]


def _kinds(folder: Path, fixture: "Fixture") -> dict[str, str]:
    """Return the kind of client by hotkey where the run was a simulation, which knows; otherwise nothing."""
    from subnet.run import read_plan

    plan = read_plan(folder)
    if "cast" not in plan:
        return {}
    from subnet.engine.simulate import Scenario

    scenario = Scenario(
        spec=fixture.spec,
        app_dir=folder,
        cast=plan["cast"],
        partition=plan["partition"],
        seed=plan["seed"],
        n_rounds=1,
    )
    return scenario.kinds()


def _show(result: Mapping[str, Any], kinds: Mapping[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from subnet.cli.screen import name_clients

    names = name_clients(kinds)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for title in ("client", "hotkey"):
        table.add_column(title if kinds or title == "hotkey" else "", no_wrap=True)
    for title in ("paid", *(name.replace("_", " ") for name in result["scorers"])):
        table.add_column(title, justify="right")
    for one in result["participants"]:
        cheat = kinds.get(one["hotkey"], "honest") != "honest"
        client = names.get(one["hotkey"], "")
        table.add_row(client, one["hotkey"][:8], *_percents([one]), style="red" if cheat else "")
    if kinds:
        cheats = [one for one in result["participants"] if one["kind"] != "honest"]
        table.add_row("all cheats", "", *_percents(cheats), style="bold")
    for key, form in (("losses", "{:.0f}"), ("gradients", "{:.0f}"), ("seconds", "{:.2f}")):
        cells = [form.format(result["cost_per_round"][name][key]) for name in result["scorers"]]
        table.add_row(key, "", "", *cells, style="dim")
    console = Console(highlight=False)
    console.print(table)
    console.print(_caption(len(result["rounds"])), style="dim")
    if not result["exact"]:
        console.print(_INEXACT, style="yellow")


_INEXACT = (
    "This machine's sums differ from the validator's in the last bits, so the run's own scorer can differ from what was"
    " paid by as much."
)


def _caption(n_rounds: int) -> str:
    return (
        f"\nShares of the participants' pay over {n_rounds} rounds, in percent; below them what scoring a round costs,"
        " in losses and gradients of one batch. The models are those that were trained: another scorer changes who is"
        " paid, not what was learnt."
    )


def _percents(participants: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what these were paid together, and would be under each scorer."""
    columns = zip(*([one["paid_share"], *one["share"].values()] for one in participants), strict=True)
    return [f"{100 * sum(column):.1f}" for column in columns]
