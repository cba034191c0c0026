"""`subnet earnings`: what is a participant's own, what is pending and until when, what strikes cost, what may come."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.ledger import ledger_path
from subnet.errors import RunError

if TYPE_CHECKING:
    from rich.table import Table

    from subnet.cli.outlook import Details
    from tokenomics import Token
    from tokenomics.ledger import Earnings, Genesis, Pending


def earnings(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or its ledger.sqlite.")],
    hotkey: Annotated[
        str, typer.Argument(metavar="[HOTKEY]", help="A participant's hotkey, or its first digits.  [default: all]")
    ] = "",
    coldkey: Annotated[
        str,
        typer.Option(metavar="COLDKEY", help="All hotkeys that enrolled for this coldkey, or for its first digits."),
    ] = "",
    now: Annotated[
        str,
        typer.Option(metavar="TIME", help="Where the last 24 h, 7 d and 30 d end.  [default: the last settled round]"),
    ] = "",
    last: Annotated[int, typer.Option(min=1, max=10_000, help="How many rounds to list.")] = 10,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what participants have earned: what is theirs, what is pending and until which round, what was voided.

    For one hotkey or one coldkey also: the last 24 hours, 7 days and 30 days by the ledger's own clock, with the pay
    for an hour of a GPU where its contributions report GPU time; the last rounds, what each paid and what came of it;
    and what the schedule would pay through the next halving at the share of its last 20 rounds.
    """
    from subnet.cli.outlook import read_details
    from subnet.store import Store
    from tokenomics.ledger import Ledger

    if hotkey and coldkey:
        raise RunError("a hotkey and a coldkey were given", remedy="give one of them")
    path = ledger_path(folder)
    run = path.parent
    with Ledger.open(path, read_only=True) as ledger:
        genesis, height = ledger.genesis, ledger.height
        pending = ledger.pending(until=height)
        everybody = ledger.earnings(until=height)
        chosen = (
            _of_coldkey(run, coldkey) if coldkey else [name for name in everybody if name.startswith(hotkey.lower())]
        )
        found = {name: everybody[name] for name in chosen if name in everybody}
        if (hotkey or coldkey) and not found:
            whose = f"of coldkey {coldkey[:12]}" if coldkey else f"that begins with {hotkey!r}"
            raise RunError(
                f"no hotkey {whose} has been paid in {height} rounds",
                remedy="leave it out to see everybody; `subnet explain` says why a round paid nothing",
            )
        single = bool(coldkey) or (bool(hotkey) and len(found) == 1)
        store = Store(run) if (run / "receipts").is_dir() else None
        details = read_details(ledger, store, chosen, height=height, now=now) if single else None
    releases = {name: _releases(pending, name, vesting=genesis.vesting) for name in found}
    if json_output:
        head = {"subnet": genesis.subnet, "unit": genesis.token.symbol, "decimals": genesis.token.decimals}
        told = {"round": height, "vesting": genesis.vesting, "participants": _document(found, releases)}
        typer.echo(json.dumps(head | told | (details.document(last) if details else {})))
    else:
        _show(found, releases, details, last, genesis)


def _show(
    found: Mapping[str, "Earnings"],
    releases: Mapping[str, Mapping[int, int]],
    details: "Details | None",
    last: int,
    genesis: "Genesis",
) -> None:
    """Print what was found, and the details with the `last` rounds."""
    from rich.console import Console
    from rich.table import Table

    from tokenomics import Amount

    console = Console(highlight=False)
    console.print(earnings_table(found, genesis.token))
    if len(found) == 1 and any(releases.values()):
        table = Table("released in round", "amount", box=None, header_style="bold")
        for number, amount in next(iter(releases.values())).items():
            table.add_row(str(number), str(Amount(amount, genesis.token)))
        console.print()
        console.print(table)
    if details:
        details.show(console, last)
    if genesis.vesting:
        console.print(f"\n[dim]pay is pending for {genesis.vesting} rounds; a strike voids all that is pending[/]")


def earnings_table(earnings: Mapping[str, "Earnings"], token: "Token") -> "Table":
    """Return a table of what is vested, pending and voided, whoever was paid most first.

    Where orders have moved any of it, also by how much, and what is in the account.
    """
    from rich.table import Table

    from tokenomics import Amount

    moved = any(one.moved for one in earnings.values())
    more = ("moved", "balance") if moved else ()
    table = Table("participant", "vested", "pending", "voided", *more, box=None, header_style="bold")
    for hotkey, one in sorted(earnings.items(), key=lambda item: (-item[1].paid, item[0])):
        shown = (one.vested, one.pending, one.voided, *((one.moved, one.balance) if moved else ()))
        table.add_row(hotkey[:12], *(str(Amount(units, token)) for units in shown))
    return table


def _document(found: Mapping[str, "Earnings"], releases: Mapping[str, Mapping[int, int]]) -> list[dict[str, Any]]:
    return [
        {
            "hotkey": name,
            "vested": one.vested,
            "pending": one.pending,
            "voided": one.voided,
            "moved": one.moved,
            "releases": [{"round": number, "amount": amount} for number, amount in releases[name].items()],
        }
        for name, one in found.items()
    ]


def _of_coldkey(run: Path, prefix: str) -> list[str]:
    """Return the hotkeys that enrolled for the one coldkey that begins so.

    Raises:
        RunError: no coldkey does, or several do.
    """
    from subnet.enrolments import Enrolments

    owners = Enrolments(run).coldkeys()
    found = sorted({coldkey for coldkey in owners.values() if coldkey.startswith(prefix.lower())})
    if len(found) != 1:
        problem = f"begins {len(found)} coldkeys" if found else f"begins no coldkey of the {len(owners)} enrolments"
        raise RunError(
            f"{prefix!r:.80} {problem} in {run}",
            remedy="give more digits" if found else "give a coldkey that a hotkey enrolled for, or the hotkey itself",
        )
    return [hotkey for hotkey, coldkey in owners.items() if coldkey == found[0]]


def _releases(pending: "Pending", hotkey: str, *, vesting: int) -> dict[int, int]:
    """Return what each round to come will release to a hotkey, unless a strike voids it."""
    return {
        paid_in + vesting: amounts[hotkey] for paid_in, amounts in sorted(pending.by_round.items()) if hotkey in amounts
    }
