"""`subnet ledger`: show a run's ledger, and check that nobody altered it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from subnet.errors import RunError
from subnet.run_files import LEDGER_NAME

app = typer.Typer(help="Show a run's ledger, or check that nothing in it was altered.", no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder, or its ledger.sqlite.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("show")
def show(folder: Folder, json_output: Json = False) -> None:
    """Show every round's emission, who holds what, and what of participants' pay is vested, pending and voided."""
    from dataclasses import asdict

    from subnet.cli.earnings import earnings_table
    from tokenomics import Amount
    from tokenomics.ledger import Ledger

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        rounds, balances, genesis = list(ledger.rounds()), ledger.balances(), ledger.genesis
        earnings = ledger.earnings()
    if json_output:
        document = {
            "subnet": genesis.subnet,
            "unit": genesis.token.symbol,
            "decimals": genesis.token.decimals,
            "rounds": [
                {"round": row.round, "era": row.era, "emission": row.emission, "minted": row.minted, "head": row.head}
                for row in rounds
            ],
            "balances": balances,
            "vesting": genesis.vesting,
            "earnings": {hotkey: asdict(one) for hotkey, one in earnings.items()},
        }
        typer.echo(json.dumps(document))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("round", "era", "emission", "minted", "not minted", "head", box=None, header_style="bold")
    for row in rounds:
        amounts = [str(Amount(units, genesis.token)) for units in (row.emission, row.minted, row.unminted)]
        table.add_row(str(row.round), str(row.era), *amounts, row.head[:16])
    console.print(table)
    accounts = Table("account", "balance", box=None, header_style="bold")
    for account, units in sorted(balances.items(), key=lambda item: (item[1] >= 0, -item[1], item[0])):
        if not account.startswith(("pending:", "participant:")):
            accounts.add_row(account, str(Amount(units, genesis.token)))
    console.print()
    console.print(accounts)
    console.print()
    console.print(earnings_table(earnings, genesis.token))


@app.command("verify")
def verify(folder: Folder, json_output: Json = False) -> None:
    """Recompute hashes, signatures, emission, split and sums; exit 1 when anything was altered."""
    from tokenomics.ledger import verify_ledger

    checked = verify_ledger(ledger_path(folder))
    if json_output:
        document = {"ok": checked.ok, "rounds": checked.rounds, "head": checked.head, "errors": checked.errors}
        typer.echo(json.dumps(document))
    elif checked.ok:
        typer.echo(f"in order: {checked.rounds} rounds, head {checked.head}")
    else:
        for problem in checked.errors:
            typer.echo(f"altered: {problem}")
    if not checked.ok:
        raise typer.Exit(1)


def ledger_path(folder: Path) -> Path:
    """Return the ledger's file in a run's folder.

    Raises:
        RunError: there is none.
    """
    path = folder if folder.is_file() else folder / LEDGER_NAME
    if not path.is_file():
        raise RunError(f"no {LEDGER_NAME} in {folder}", remedy="name the folder that a run has printed")
    return path
