"""`subnet ledger`: show a run's ledger, and check that nobody altered it."""

import json
import re
from pathlib import Path
from typing import Annotated

import typer

from subnet.errors import RunError
from subnet.run_files import find_ledger

app = typer.Typer(help="Show, check and prove what is in a run's ledger.", no_args_is_help=True)

_KEY = re.compile(r"[0-9a-f]{64}")

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
    from tokenomics.ledger.migrate import refuse_older

    refuse_older(ledger_path(folder))
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


@app.command("copy")
def copy(
    folder: Folder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The SQLite file to make; its checkpoint goes beside it.")
    ],
    json_output: Json = False,
) -> None:
    """Copy a ledger into a new SQLite file: one on a server for an auditor, or any to keep."""
    from tokenomics.ledger import copy_ledger

    last = copy_ledger(ledger_path(folder), file)
    if json_output:
        typer.echo(json.dumps({"file": str(file), "rounds": last.round, "root": last.tree.root}))
    else:
        typer.echo(f"{file}: {last.round} rounds, log root {last.tree.root}")


@app.command("upgrade")
def upgrade(folder: Folder, json_output: Json = False) -> None:
    """Bring the tables of a ledger that an older flower-subnet made to the revision of this one; no row changes."""
    from tokenomics.ledger.migrate import upgrade as bring_up

    before, after = bring_up(ledger_path(folder))
    if json_output:
        typer.echo(json.dumps({"before": before, "after": after}))
    else:
        typer.echo(f"revision {after} already" if before == after else f"from {before} to revision {after}")


@app.command("key")
def key(folder: Folder) -> None:
    """Print the key that the ledger's proofs and checkpoints are checked with: NAME+ID+KEY, to be published."""
    from tokenomics.ledger import Ledger

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        typer.echo(str(ledger.key))


@app.command("prove")
def prove(
    folder: Folder,
    round_number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="The round's number.")],
    whose: Annotated[
        str,
        typer.Argument(
            metavar="WHOSE",
            help="A participant's hotkey, or its first digits; or another account, as `subnet statement` takes it.",
        ),
    ],
) -> None:
    """Print the proof of what a round recorded of somebody and moved for it; `subnet verify` checks it."""
    from subnet.cli.whose import is_account, one_account
    from tokenomics.ledger import Ledger, prove_account, prove_payment

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        if is_account(whose):
            typer.echo(json.dumps(prove_account(ledger, round_number, one_account(ledger, whose)), indent=1))
            return
        known = {entry.hotkey for entry in ledger.receipts(round_number)} | set(ledger.earnings())
        found = sorted(one for one in known if one.startswith(whose.lower()))
        if len(found) > 1:
            raise RunError(f"{whose} begins {len(found)} hotkeys", remedy="give more digits")
        typer.echo(json.dumps(prove_payment(ledger, round_number, found[0] if found else whose), indent=1))


@app.command("prove-order")
def prove_settled(
    folder: Folder,
    coldkey: Annotated[str, typer.Argument(metavar="COLDKEY", help="Whose order: 64 hexadecimal digits.")],
    nonce: Annotated[int, typer.Argument(metavar="NONCE", min=1, help="The order's nonce.")],
) -> None:
    """Print the proof that a coldkey's order was settled, for whoever was paid by it."""
    from tokenomics.ledger import Ledger, prove_order

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        typer.echo(json.dumps(prove_order(ledger, coldkey.lower(), nonce), indent=1))


@app.command("consistency")
def consistency(
    folder: Folder,
    earlier: Annotated[int, typer.Argument(metavar="FROM", min=0, help="The earlier round; 0 is the genesis.")],
    later: Annotated[int | None, typer.Argument(metavar="TO", min=0, help="The later round.  [default: last]")] = None,
) -> None:
    """Print the proof that the log at one round begins with all of it at an earlier one."""
    from tokenomics.ledger import Ledger, prove_growth

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        typer.echo(json.dumps(prove_growth(ledger, earlier, later), indent=1))


@app.command("submit")
def submit(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    order: Annotated[Path, typer.Argument(metavar="ORDER", help="What `subnet wallet transfer --out` wrote.")],
) -> None:
    """Hand in a signed order: the run's next round settles or refuses it."""
    from subnet.orders import Inbox, read_order

    ledger_path(folder)
    typer.echo(f"{Inbox(folder).submit(read_order(order))}: waits for the next round")


@app.command("orders")
def orders(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")], json_output: Json = False
) -> None:
    """Show what has become of the orders that were handed in: settled, refused and why, or waiting."""
    from subnet.orders import Inbox
    from tokenomics import Amount
    from tokenomics.ledger import Ledger

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        token = ledger.genesis.token
    outcomes = Inbox(folder).outcomes()
    if json_output:
        typer.echo(json.dumps([{"file": one.name, **one.to_dict()} for one in outcomes]))
        return
    for one in outcomes:
        state = one.state if one.round is None else f"{one.state} in round {one.round}"
        if one.signed is None:
            typer.echo(f"{state}: {one.name}: {one.why}")
            continue
        order = one.signed.order
        accounts = (_KEY.sub(lambda key: key[0][:12], name) for name in (order.source, order.destination))
        words = f"{order.kind} {Amount(order.amount, token)} from {' to '.join(accounts)}"
        typer.echo(f"{state}: {words} (nonce {order.nonce})" + (f": {one.why}" if one.why else ""))
    if not outcomes:
        typer.echo("no order has been handed in")


def ledger_path(folder: Path) -> Path:
    """Return the path that the ledger in a run's folder goes by.

    Raises:
        RunError: there is none.
    """
    from tokenomics.ledger.place import ledger_exists

    return folder if ledger_exists(folder) else find_ledger(folder)
