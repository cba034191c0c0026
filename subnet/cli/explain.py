"""`subnet explain`: a receipt in words."""

import json
from pathlib import Path
from typing import Annotated

import typer

from subnet.cli.ledger import ledger_path
from subnet.errors import RunError


def explain(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A run's folder.")],
    round_number: Annotated[int, typer.Argument(metavar="ROUND", min=1, help="The round's number.")],
    hotkey: Annotated[str, typer.Argument(metavar="HOTKEY", help="The participant's hotkey, or its first digits.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print the receipt itself.")] = False,
) -> None:
    """Say what a participant's contribution to a round was worth, what it earned, and why."""
    from subnet.receipts import explain as in_words
    from subnet.store import Store
    from tokenomics.ledger import Ledger

    with Ledger.open(ledger_path(folder), read_only=True) as ledger:
        if not 1 <= round_number <= ledger.height:
            raise RunError(f"round {round_number} isn't settled", remedy=f"name a round from 1 to {ledger.height}")
        entries = ledger.receipts(round_number)
        token = ledger.genesis.token
        found = [entry for entry in entries if entry.hotkey.startswith(hotkey.lower())]
        if len(found) != 1:
            known = ", ".join(entry.hotkey[:12] for entry in entries)
            problem = "no participant's" if not found else f"{len(found)} participants'"
            message = f"{problem} hotkey begins with {hotkey!r} in round {round_number}"
            raise RunError(message, remedy=f"use one of {known}")
        payout = ledger.payout(round_number, found[0].hotkey)
    receipt = Store(folder).get_json("receipts", found[0].receipt_hash)
    if json_output:
        typer.echo(json.dumps(receipt))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    console.print(f"[bold]round {round_number}, hotkey {found[0].hotkey}[/]")
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    for heading, sentence in in_words(receipt, token, payout):
        table.add_row(f"[dim]{heading}[/]", sentence)
    console.print(table)
    console.print(f"  [dim]receipt[/] {found[0].receipt_hash} [dim](in the ledger)[/]")
