"""`subnet wallet`: a coldkey that owns the money and a hotkey that signs contributions."""

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tokenomics.keys import Wallet

app = typer.Typer(help="Make, show, restore and use wallets: a coldkey and a hotkey.", no_args_is_help=True)

PASSWORD_VARIABLE = "SUBNET_WALLET_PASSWORD"  # noqa: S105 (the variable's name, not a password)
PHRASE_VARIABLE = "SUBNET_WALLET_PHRASE"
MESSAGE_DOMAIN = "message"
"""Domain of what `subnet wallet sign` signs: it can't pass for a contribution, a transfer or a checkpoint."""

Folder = Annotated[Path, typer.Argument(metavar="WALLET", help="A wallet's folder.")]
Directory = Annotated[Path, typer.Argument(metavar="DIR", help="The folder that will hold the wallet.")]
Name = Annotated[str, typer.Option(help="The wallet's name: a folder of its own in DIR.")]
NoPassword = Annotated[
    bool, typer.Option("--no-password", help="The coldkey isn't encrypted: for tests and trials only.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Message = Annotated[str | None, typer.Option("--message", help="The text.")]
File = Annotated[Path | None, typer.Option("--file", help="A file with the bytes, in place of a text; - for stdin.")]


@app.command("new")
def new(directory: Directory, name: Name = "default", no_password: NoPassword = False) -> None:
    """Make a wallet and show the coldkey's recovery phrase, once.

    The coldkey is encrypted with a password, asked for or read from SUBNET_WALLET_PASSWORD.
    """
    from tokenomics.keys import Wallet
    from tokenomics.recovery import phrase_of

    wallet = Wallet.create(directory, name=name, password=_new_password(no_password))
    _tell(directory / name, wallet)
    typer.echo(
        f"\nrecovery phrase of the coldkey: write it down, and show it to nobody\n\n{_lines(phrase_of(wallet.coldkey))}"
    )


@app.command("restore")
def restore(directory: Directory, name: Name = "default", no_password: NoPassword = False) -> None:
    """Make a wallet anew from its recovery phrase, with a new hotkey.

    The phrase is asked for, or read from SUBNET_WALLET_PHRASE; the password as for `new`.
    """
    from tokenomics.recovery import restore_wallet, seed_from_phrase

    phrase = os.environ.get(PHRASE_VARIABLE) or typer.prompt("Recovery phrase, 24 words", hide_input=True)
    seed_from_phrase(phrase)  # say what is wrong with it before a password is asked for
    wallet = restore_wallet(directory, name=name, phrase=phrase, password=_new_password(no_password))
    _tell(directory / name, wallet)


@app.command("simulated")
def simulated(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a simulated run.")],
    hotkey: Annotated[str, typer.Argument(metavar="HOTKEY", help="A client's hotkey, or its first digits.")],
    directory: Directory,
    name: Name = "default",
) -> None:
    """Write down the wallet of a simulated client, to try things out with: it follows from the run's seed.

    So it is nobody's secret, and its coldkey isn't encrypted.
    """
    from clients.cast import parse_cast
    from clients.seeds import seed_bytes
    from subnet.errors import RunError
    from subnet.run import read_plan
    from tokenomics._keyfile import write_wallet
    from tokenomics.keys import Wallet

    plan = read_plan(run)
    if "cast" not in plan:
        raise RunError(f"{run} isn't a simulation: its participants have wallets of their own", remedy="use theirs")
    n_clients = len(parse_cast(plan["cast"]))
    wallets = [Wallet.from_seed(seed_bytes("wallet", plan["seed"], index)) for index in range(n_clients)]
    found = [one for one in wallets if one.hotkey.keypair.public.startswith(hotkey.lower())]
    if len(found) != 1:
        remedy = "`subnet earnings RUN` shows who was paid"
        raise RunError(f"{hotkey!r:.80} begins the hotkeys of {len(found)} of {n_clients} clients", remedy=remedy)
    write_wallet(directory, name, found[0].documents(password=None))
    _tell(directory / name, found[0])


@app.command("show")
def show(path: Folder, json_output: Json = False) -> None:
    """Show a wallet's public keys; no password is needed."""
    from tokenomics.keys import load_hotkey

    hotkey = load_hotkey(path)
    if json_output:
        typer.echo(json.dumps({"hotkey": hotkey.keypair.public, "coldkey": hotkey.coldkey, "binding": hotkey.binding}))
        return
    typer.echo(f"hotkey   {hotkey.keypair.public}")
    typer.echo(f"coldkey  {hotkey.coldkey}")


@app.command("rotate")
def rotate(path: Folder, no_password: NoPassword = False) -> None:
    """Replace the hotkey by a new one that the coldkey signs; the old one's file is kept beside it."""
    from tokenomics.recovery import rotate_hotkey

    hotkey = rotate_hotkey(path, password=_password(no_password))
    typer.echo(f"hotkey   {hotkey.keypair.public}")
    typer.echo(f"coldkey  {hotkey.coldkey}")
    typer.echo("restart the node: it enrols with the new hotkey, for the same coldkey")


@app.command("export")
def export(
    path: Folder,
    no_password: NoPassword = False,
    phrase: Annotated[bool, typer.Option("--phrase", help="Show the coldkey's recovery phrase, a secret.")] = False,
) -> None:
    """Print what others may know of a wallet as JSON; with --phrase, its recovery phrase in place of that."""
    from tokenomics.keys import Wallet, load_hotkey
    from tokenomics.recovery import phrase_of

    if phrase:
        typer.echo(_lines(phrase_of(Wallet.load(path, _password(no_password)).coldkey)))
        return
    hotkey = load_hotkey(path)
    document = {
        "format": "flower-subnet-public-wallet",
        "version": 1,
        "hotkey": hotkey.keypair.public,
        "coldkey": hotkey.coldkey,
        "binding": hotkey.binding,
    }
    typer.echo(json.dumps(document, indent=2))


@app.command("sign")
def sign(
    path: Folder,
    message: Message = None,
    file: File = None,
    coldkey: Annotated[bool, typer.Option("--coldkey", help="Sign with the coldkey, not the hotkey.")] = False,
    no_password: NoPassword = False,
) -> None:
    """Sign a message with the hotkey, or with the coldkey; the signature is good for messages only."""
    from tokenomics.keys import Wallet, load_hotkey

    text = _bytes(message, file)
    pair = Wallet.load(path, _password(no_password)).coldkey if coldkey else load_hotkey(path).keypair
    typer.echo(json.dumps({"key": pair.public, "signature": pair.sign(MESSAGE_DOMAIN, text)}))


@app.command("bind-evm")
def bind_evm(
    path: Folder,
    address: Annotated[str, typer.Option(metavar="0x...", help="Your address on the chain.")],
    chain_id: Annotated[int, typer.Option(min=1, help="The chain's number: 1 for Ethereum.")],
    nonce: Annotated[
        int | None,
        typer.Option(
            min=0, help="A later binding needs a higher one to count.  [default: the time, in seconds since 1970]"
        ),
    ] = None,
    no_password: NoPassword = False,
) -> None:
    """Sign with the coldkey where its earnings are to be paid, and print the binding as one line of JSON.

    Give it to whoever runs `subnet settlement export`.
    """
    from tokenomics.keys import Wallet
    from tokenomics.settlement import EvmBinding, checksum_address

    checked = checksum_address(address)  # say what is wrong with it before a password is asked for
    chosen = int(time.time()) if nonce is None else nonce
    coldkey = Wallet.load(path, _password(no_password)).coldkey
    binding = EvmBinding.sign(coldkey, address=checked, chain_id=chain_id, nonce=chosen)
    typer.echo(json.dumps(binding.to_dict()))


@app.command("verify")
def verify(
    key: Annotated[str, typer.Option("--key", help="The public key: 64 hexadecimal digits.")],
    signature: Annotated[str, typer.Option("--signature", help="What `sign` printed: 128 hexadecimal digits.")],
    message: Message = None,
    file: File = None,
) -> None:
    """Check a signature over a message; exit 1 where it doesn't hold."""
    from tokenomics.keys import verify as holds

    if not holds(public=key, domain=MESSAGE_DOMAIN, message=_bytes(message, file), signature=signature):
        typer.echo("the signature doesn't hold")
        raise typer.Exit(1)
    typer.echo(f"signed by {key}")


def unlock(path: Path, no_password: bool) -> "Wallet":
    """Read a wallet with its coldkey, whose password is asked for or read from SUBNET_WALLET_PASSWORD."""
    from tokenomics.keys import Wallet

    return Wallet.load(path, _password(no_password))


def _tell(folder: Path, wallet: "Wallet") -> None:
    typer.echo(f"wallet   {folder}")
    typer.echo(f"hotkey   {wallet.hotkey.keypair.public}")
    typer.echo(f"coldkey  {wallet.coldkey.public}")


def _lines(phrase: str) -> str:
    """Return a phrase in lines of six words."""
    words = phrase.split()
    return "\n".join("  " + " ".join(words[start : start + 6]) for start in range(0, len(words), 6))


def _new_password(no_password: bool) -> str | None:
    if no_password:
        return None
    given = os.environ.get(PASSWORD_VARIABLE)
    return given or str(typer.prompt("Password for the coldkey", hide_input=True, confirmation_prompt=True))


def _password(no_password: bool) -> str | None:
    if no_password:
        return None
    return os.environ.get(PASSWORD_VARIABLE) or str(typer.prompt("Password of the coldkey", hide_input=True))


def _bytes(message: str | None, file: Path | None) -> bytes:
    """Return what is to be signed or checked.

    Raises:
        WalletError: neither or both are given, or the file can't be read.
    """
    from tokenomics.errors import WalletError

    if (message is None) == (file is None):
        raise WalletError("give a text or a file, and not both", remedy="use --message TEXT or --file PATH")
    if message is not None:
        return message.encode()
    assert file is not None
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise WalletError(f"{file} can't be read: {error.strerror}", remedy="check the path") from error
