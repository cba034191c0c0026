"""`subnet simulate`: a whole subnet on one machine."""

import json
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from subnet.errors import StoppedError

Rounds = Annotated[int | None, typer.Option(min=1, max=1_000_000, help="Rounds to settle.  [default: the spec's]")]
Seed = Annotated[
    int | None, typer.Option(min=0, max=2**31 - 1, help="Makes the run repeatable.  [default: the spec's]")
]
Out = Annotated[
    Path | None, typer.Option(help="The run's folder; a run in it goes on.  [default: a new one below runs/]")
]


class EngineName(StrEnum):
    """Where the Flower apps run."""

    inprocess = "inprocess"
    flower = "flower"


def simulate(
    path: Annotated[Path, typer.Argument(help="A subnet's folder, or its subnet.toml.")],
    rounds: Rounds = None,
    clients: Annotated[
        str | None,
        typer.Option(help="Who takes part, as KIND=COUNT,...: 'honest=8,sign_flip=2,stale=1'.  [default: the spec's]"),
    ] = None,
    partition: Annotated[
        str | None, typer.Option(help="Data split: 'iid' or 'dirichlet:ALPHA'.  [default: the spec's]")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="In this process, or on Flower's simulation engine (Ray); same results.")
    ] = EngineName.inprocess,
    seed: Seed = None,
    out: Out = None,
    ledger_url: Annotated[
        str | None,
        typer.Option(
            envvar="SUBNET_LEDGER_URL",
            metavar="URL",
            help="Keep the ledger on PostgreSQL: postgresql://USER@HOST/DATABASE, with the password in PGPASSWORD or"
            " ~/.pgpass.  [default: a SQLite file in the run's folder]",
        ),
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Play the same clients with this strategy beside it, without gates.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of tables.")] = False,
) -> None:
    """Play a subnet on this machine: honest, weak and cheating clients, a real ledger, real Flower apps.

    A run that was interrupted goes on with the same command from its last settled round.
    """
    play(
        path,
        rounds=rounds,
        clients=clients,
        partition=partition,
        engine=engine,
        seed=seed,
        out=out,
        ledger_url=ledger_url,
        compare=compare,
        json_output=json_output,
    )


def play(
    path: Path,
    *,
    rounds: int | None = None,
    clients: str | None = None,
    partition: str | None = None,
    engine: EngineName = EngineName.inprocess,
    seed: int | None = None,
    out: Path | None = None,
    ledger_url: str | None = None,
    compare: str | None = None,
    json_output: bool = False,
) -> None:
    """Play a scenario and show it; settings that are None come from the spec."""
    started = time.monotonic()
    from subnet.spec import load_spec

    spec = load_spec(path)  # before anything slow, so that a mistake is told at once
    if ledger_url:
        from tokenomics.ledger.place import parse_url

        parse_url(ledger_url)
    from subnet.cli.screen import Quiet, Screen
    from subnet.engine.companion import Companion
    from subnet.engine.simulate import Scenario, default_folder, quiet, settled_rounds
    from subnet.engine.simulate import simulate as run
    from subnet.report import report

    scenario = Scenario(
        spec=spec,
        app_dir=(path if path.is_dir() else path.parent).resolve(),
        cast=clients or spec.simulation.clients,
        partition=partition or spec.simulation.partition,
        seed=spec.simulation.seed if seed is None else seed,
        n_rounds=rounds or spec.rounds.count,
    )
    kinds = scenario.kinds()
    folder = out or default_folder(scenario, Path("runs"))
    scenario.check()
    companion = Companion(scenario, folder / compare, strategy=compare) if compare else None
    screen = Quiet(companion) if json_output else Screen(folder, scenario, kinds, companion)
    try:
        with quiet(), screen:  # what participants do wrong is on the screen and on receipts
            run(scenario, folder, engine=engine.value, observer=screen, ledger_url=ledger_url or None)
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped: {settled_rounds(folder)} of {scenario.n_rounds} rounds are settled in {folder}",
            remedy="give the same command again: it goes on from there",
        ) from None
    result = report(folder, kinds=kinds, n_rounds=scenario.n_rounds, seconds=time.monotonic() - started)
    if companion:
        result["compare"] = companion.to_json()
    if json_output:
        typer.echo(json.dumps(result))
    else:
        screen.summary(result)
