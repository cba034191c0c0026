"""`subnet earnings`: what is a participant's own, what is still pending and until when, and what strikes have cost."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.cli.ledger import ledger_path
from subnet.errors import RunError

if TYPE_CHECKING:
    from rich.table import Table

    from tokenomics import Token
    from tokenomics.ledger import Earnings, Pending


def earnings(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or its ledger.sqlite.")],
    hotkey: Annotated[
        str, typer.Argument(metavar="[HOTKEY]", help="A participant's hotkey, or its first digits.  [default: all]")
    ] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what participants have earned: what is theirs, what is pending and until which round, what was voided."""
    from rich.console import Console
    from rich.table import Table

    from tokenomics import Amount
    from tokenomics.ledger import Ledger

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        genesis, height = ledger.genesis, ledger.height
        pending = ledger.pending(until=height)
        found = {name: one for name, one in ledger.earnings(until=height).items() if name.startswith(hotkey.lower())}
    if hotkey and not found:
        raise RunError(
            f"no hotkey that begins with {hotkey!r} has been paid in {height} rounds",
            remedy="leave it out to see everybody; `subnet explain` says why a round paid nothing",
        )
    releases = {name: _releases(pending, name, vesting=genesis.vesting) for name in found}
    if json_output:
        participants = [
            {
                "hotkey": name,
                "vested": one.vested,
                "pending": one.pending,
                "voided": one.voided,
                "releases": [{"round": number, "amount": amount} for number, amount in releases[name].items()],
            }
            for name, one in found.items()
        ]
        head = {"subnet": genesis.subnet, "unit": genesis.token.symbol, "decimals": genesis.token.decimals}
        typer.echo(json.dumps({**head, "round": height, "vesting": genesis.vesting, "participants": participants}))
        return
    console = Console(highlight=False)
    console.print(earnings_table(found, genesis.token))
    if len(found) == 1 and any(releases.values()):
        table = Table("released in round", "amount", box=None, header_style="bold")
        for number, amount in next(iter(releases.values())).items():
            table.add_row(str(number), str(Amount(amount, genesis.token)))
        console.print()
        console.print(table)
    if genesis.vesting:
        console.print(f"\n[dim]pay is pending for {genesis.vesting} rounds; a strike voids all that is pending[/]")


def earnings_table(earnings: Mapping[str, "Earnings"], token: "Token") -> "Table":
    """Return a table of what is vested, pending and voided, whoever was paid most first."""
    from rich.table import Table

    from tokenomics import Amount

    table = Table("participant", "vested", "pending", "voided", box=None, header_style="bold")
    for hotkey, one in sorted(earnings.items(), key=lambda item: (-item[1].paid, item[0])):
        table.add_row(hotkey[:12], *(str(Amount(units, token)) for units in (one.vested, one.pending, one.voided)))
    return table


def _releases(pending: "Pending", hotkey: str, *, vesting: int) -> dict[int, int]:
    """Return what each round to come will release to a hotkey, unless a strike voids it."""
    return {
        paid_in + vesting: amounts[hotkey] for paid_in, amounts in sorted(pending.by_round.items()) if hotkey in amounts
    }
