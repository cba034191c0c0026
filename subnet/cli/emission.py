"""`subnet emission`: what a subnet's schedule will mint, era by era, with dates."""

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.run_files import find_ledger, has_ledger

if TYPE_CHECKING:
    from tokenomics import Token
    from tokenomics.emission import Schedule
    from tokenomics.projection import Stretch

_BAR = 10
"""Characters of the plot of the supply."""


def emission(
    path: Annotated[
        Path | None,
        typer.Argument(help="A subnet's folder or subnet.toml, or a run's folder: then from where the run is now."),
    ] = None,
    round_seconds: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=1e9,
            help="How long a round takes.  [default: a run's own pace so far; else the spec's deadline_s]",
        ),
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Project a schedule: eras, dates, the supply curve and the last payout, if every round pays all it may."""
    from subnet.cli.demo import example
    from tokenomics.projection import project

    outlook = _outlook(path or example("digits"), round_seconds)
    stretches = list(project(outlook.schedule, settled=outlook.settled, minted=outlook.minted))
    if json_output:
        typer.echo(json.dumps(_document(outlook, stretches)))
    else:
        _show(outlook, stretches)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outlook:
    """From where a projection starts: Unix time in seconds, rounds and base units behind it."""

    name: str
    token: "Token"
    schedule: "Schedule"
    start: float
    settled: int
    minted: int
    round_seconds: float

    def began(self, number: int) -> str:
        """Return when a round begins, in UTC; a year beyond 9999 is only named."""
        seconds = self.start + (number - 1 - self.settled) * self.round_seconds
        if seconds > _LAST_DATE:
            return f"year {1970 + int(seconds / 31_556_952):,}"
        return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M")


_LAST_DATE = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


def _outlook(path: Path, round_seconds: float | None) -> _Outlook:
    from subnet.spec import load_spec

    if has_ledger(path):
        return _from_run(find_ledger(path), round_seconds)
    spec = load_spec(path)
    return _Outlook(
        name=spec.subnet.name,
        token=spec.token.token(),
        schedule=spec.token.build(),
        start=time.time(),
        settled=0,
        minted=0,
        round_seconds=round_seconds or spec.rounds.deadline_s,
    )


def _from_run(file: Path, round_seconds: float | None) -> _Outlook:
    from tokenomics.ledger import Ledger

    with Ledger.open(file, read_only=True) as ledger:
        genesis, rows = ledger.genesis, list(ledger.rounds())
    since = rows[-1].settled_at if rows else genesis.created_at
    pace = (since - genesis.created_at) / len(rows) if rows else 0.0
    return _Outlook(
        name=genesis.subnet,
        token=genesis.token,
        schedule=genesis.schedule,
        start=since,
        settled=len(rows),
        minted=rows[-1].supply if rows else 0,
        round_seconds=round_seconds or max(1.0, pace),
    )


def _document(outlook: _Outlook, stretches: "list[Stretch]") -> dict[str, Any]:
    eras = [
        {
            "era": one.era,
            "first_round": one.first_round,
            "last_round": one.last_round,
            "begins": outlook.began(one.first_round),
            "emission": one.emission,
            "minted": one.minted,
            "supply": one.supply,
        }
        for one in stretches
    ]
    last = stretches[-1] if stretches else None
    return {
        "subnet": outlook.name,
        "unit": outlook.token.symbol,
        "decimals": outlook.token.decimals,
        "cap": outlook.schedule.cap,
        "settled": outlook.settled,
        "minted": outlook.minted,
        "round_seconds": outlook.round_seconds,
        "eras": eras,
        "last_payout": {"round": last.last_round, "date": outlook.began(last.last_round)} if last else None,
        "final_supply": last.supply if last else outlook.minted,
    }


def _show(outlook: _Outlook, stretches: "list[Stretch]") -> None:
    from rich.console import Console
    from rich.table import Table

    from tokenomics import Amount

    console = Console(highlight=False)
    cap = outlook.schedule.cap

    def amount(units: int) -> str:
        return str(Amount(units, outlook.token)).removesuffix(f" {outlook.token.symbol}")

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("era", justify="right")
    for name in ("from round", "begins (UTC)", "a round", "supply at end"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("of the cap", no_wrap=True)
    for one in stretches:
        filled = one.supply * _BAR // cap
        table.add_row(
            str(one.era),
            f"{one.first_round:,}",
            outlook.began(one.first_round),
            amount(one.emission),
            amount(one.supply),
            "█" * filled + "·" * (_BAR - filled),
        )
    at = f" after {outlook.settled:,} rounds and {amount(outlook.minted)}" if outlook.settled else ""
    console.print(
        f"{outlook.name}: at most {Amount(cap, outlook.token)}, a round every {outlook.round_seconds:g} s{at}\n"
    )
    if not stretches:
        console.print("nothing is left to mint")
        return
    console.print(table)
    last = stretches[-1]
    console.print(
        f"\nlast payout: round {last.last_round:,}, {outlook.began(last.last_round)}; "
        f"{amount(last.supply)} {outlook.token.symbol} in all.\n"
        "If every round pays all that it may. What a round can't pay is never minted by height, and put off by supply."
    )
