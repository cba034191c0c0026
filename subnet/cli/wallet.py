"""`subnet wallet`: a coldkey that owns the money and a hotkey that signs contributions."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Make a wallet, or show its public keys.", no_args_is_help=True)

PASSWORD_VARIABLE = "SUBNET_WALLET_PASSWORD"  # noqa: S105 (the variable's name, not a password)


@app.command("new")
def new(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder that will hold the wallet.")],
    name: Annotated[str, typer.Option(help="The wallet's name: a folder of its own in DIR.")] = "default",
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Leave the coldkey unencrypted: for tests and trials only.")
    ] = False,
) -> None:
    """Make a wallet; the coldkey is encrypted with a password, asked for or read from SUBNET_WALLET_PASSWORD."""
    from tokenomics.keys import Wallet

    password = None if no_password else os.environ.get(PASSWORD_VARIABLE)
    if password is None and not no_password:
        password = typer.prompt("Password for the coldkey", hide_input=True, confirmation_prompt=True)
    wallet = Wallet.create(directory, name=name, password=password)
    typer.echo(f"wallet   {directory / name}")
    typer.echo(f"hotkey   {wallet.hotkey.keypair.public}")
    typer.echo(f"coldkey  {wallet.coldkey.public}")


@app.command("show")
def show(
    path: Annotated[Path, typer.Argument(metavar="WALLET", help="A wallet's folder.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show a wallet's public keys; no password is needed."""
    from tokenomics.keys import load_hotkey

    hotkey = load_hotkey(path)
    if json_output:
        typer.echo(json.dumps({"hotkey": hotkey.keypair.public, "coldkey": hotkey.coldkey, "binding": hotkey.binding}))
        return
    typer.echo(f"hotkey   {hotkey.keypair.public}")
    typer.echo(f"coldkey  {hotkey.coldkey}")
