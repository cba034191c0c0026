"""`subnet wallet transfer`, `stake`, `unstake`, `burn`, `balance`: a coldkey's money in a run's ledger."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from subnet.cli.ledger import ledger_path
from subnet.cli.wallet import Folder, Json, NoPassword, unlock
from subnet.errors import RunError

if TYPE_CHECKING:
    from subnet.orders import Inbox
    from tokenomics.keys import Hotkey
    from tokenomics.ledger import Book, Ledger, SignedOrder, Title

VALID_ROUNDS = 100
"""For so many rounds an order holds unless it says otherwise."""

Run = Annotated[Path, typer.Option("--run", metavar="RUN", help="The run's folder, or a copy of it.")]
Quantity = Annotated[str, typer.Option("--amount", metavar="1.5", help="How much, in tokens.")]
Source = Annotated[
    str,
    typer.Option(
        "--from",
        metavar="ACCOUNT",
        help="What pays: hotkey (what the wallet's hotkey earned), wallet, owner, validator, or an account's name.",
    ),
]
Expires = Annotated[
    int | None,
    typer.Option("--expires", min=1, metavar="ROUND", help="The last round that may settle it.  [default: in 100]"),
]
Nonce = Annotated[
    int | None, typer.Option("--nonce", min=1, help="Its place among the coldkey's orders.  [default: the next]")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="Write the order there, to be handed in with `subnet ledger submit`."),
]


def transfer(
    path: Folder,
    run: Run,
    amount: Quantity,
    to: Annotated[
        str, typer.Option("--to", metavar="COLDKEY", help="Who receives it: a coldkey, or an account's name.")
    ],
    source: Source = "hotkey",
    expires: Expires = None,
    nonce: Nonce = None,
    out: Out = None,
    no_password: NoPassword = False,
    json_output: Json = False,
) -> None:
    """Sign with the coldkey an order to transfer money, and hand it in: the run's next round settles it.

    Pending pay can't be spent. Signing changes nothing in the ledger; `subnet ledger orders` says what became of it.
    """
    draft = _Draft(path, run, kind="transfer", amount=amount, expires=expires, nonce=nonce, out=out)
    draft.send(source, _payee(to), no_password=no_password, json_output=json_output)


def stake(
    path: Folder,
    run: Run,
    amount: Quantity,
    source: Source = "hotkey",
    expires: Expires = None,
    nonce: Nonce = None,
    out: Out = None,
    no_password: NoPassword = False,
    json_output: Json = False,
) -> None:
    """Order that money be staked to the run's validator: it lies in escrow until it is unstaked."""
    draft = _Draft(path, run, kind="stake", amount=amount, expires=expires, nonce=nonce, out=out)
    draft.send(source, "escrow", no_password=no_password, json_output=json_output)


def unstake(
    path: Folder,
    run: Run,
    amount: Quantity,
    expires: Expires = None,
    nonce: Nonce = None,
    out: Out = None,
    no_password: NoPassword = False,
    json_output: Json = False,
) -> None:
    """Order that staked money come back to the coldkey's own account, at once."""
    draft = _Draft(path, run, kind="unstake", amount=amount, expires=expires, nonce=nonce, out=out)
    draft.send("escrow", "wallet", no_password=no_password, json_output=json_output)


def burn(
    path: Folder,
    run: Run,
    amount: Quantity,
    source: Source = "hotkey",
    expires: Expires = None,
    nonce: Nonce = None,
    out: Out = None,
    no_password: NoPassword = False,
    json_output: Json = False,
) -> None:
    """Order that money be burned: it belongs to nobody ever after, and isn't minted again."""
    draft = _Draft(path, run, kind="burn", amount=amount, expires=expires, nonce=nonce, out=out)
    draft.send(source, "burn", no_password=no_password, json_output=json_output)


def balance(path: Folder, run: Run, json_output: Json = False) -> None:
    """Show what a wallet's coldkey has in a run's ledger, account by account; no password is needed."""
    from subnet.enrolments import Enrolments
    from tokenomics import Amount
    from tokenomics.keys import load_hotkey
    from tokenomics.ledger import Ledger

    coldkey = load_hotkey(path).coldkey
    with Ledger.open(ledger_path(run), read_only=True) as ledger:
        book, genesis = ledger.book(), ledger.genesis
    own = {f"wallet:{coldkey}", f"escrow:{genesis.validator}:{coldkey}"}
    if genesis.owner == coldkey:
        own |= {f"owner:{coldkey}", f"validator:{genesis.validator}"}
    for hotkey, found in Enrolments(run).coldkeys().items():
        own |= {f"participant:{hotkey}", f"pending:{hotkey}"} if found == coldkey else set()
    held = {account: book.balances[account] for account in sorted(own) if account in book.balances}
    next_nonce = book.nonces.get(coldkey, 0) + 1
    if json_output:
        head = {"unit": genesis.token.symbol, "decimals": genesis.token.decimals}
        typer.echo(json.dumps({"coldkey": coldkey, **head, "next_nonce": next_nonce, "accounts": held}))
        return
    typer.echo(f"coldkey     {coldkey}")
    typer.echo(f"next nonce  {next_nonce}")
    for account, units in held.items():
        typer.echo(f"{account}  {Amount(units, genesis.token)}")
    if not held:
        typer.echo("no account of it has been paid yet")


class _Draft:
    """An order that is being made: who, where, how much."""

    def __init__(
        self,
        path: Path,
        run: Path,
        *,
        kind: Any,
        amount: str,
        expires: int | None,
        nonce: int | None,
        out: Path | None,
    ) -> None:
        from tokenomics.keys import load_hotkey

        self.wallet, self.run, self.kind, self.amount = path, run, kind, amount
        self.expires, self.nonce, self.out = expires, nonce, out
        self.hotkey: Hotkey = load_hotkey(path)

    def send(self, source: str, destination: str, *, no_password: bool, json_output: bool) -> None:
        """Make the order, have it signed, look whether it would apply, and hand it in or write it down."""
        from subnet.orders import BOOK_PATH, Inbox
        from tokenomics import Amount
        from tokenomics.ledger import Ledger, Order
        from tokenomics.ledger.log import genesis_head

        inbox = Inbox(self.run if self.run.is_dir() else self.run.parent)
        if (inbox.folder.parent / BOOK_PATH).exists():
            raise RunError(f"{self.run} is settled on a chain: its money doesn't move in its ledger")
        if self.out is not None and self.out.exists():
            raise RunError(f"{self.out} is there already", remedy="choose another name")
        with Ledger.open(ledger_path(self.run), read_only=True) as ledger:
            genesis, height = ledger.genesis, ledger.height
            book = self._book(ledger, inbox)
            order = Order(
                subnet=genesis_head(genesis),
                kind=self.kind,
                coldkey=self.hotkey.coldkey,
                source=self._account(source, ledger),
                destination=self._account(destination, ledger),
                amount=Amount.parse(self.amount, genesis.token).base_units,
                nonce=book.nonces.get(self.hotkey.coldkey, 0) + 1 if self.nonce is None else self.nonce,
                expires=height + VALID_ROUNDS if self.expires is None else self.expires,
            )
            title = self._title(order.source, book, inbox)
            signed = order.sign(unlock(self.wallet, no_password).coldkey, title=title)
            _check(ledger, book, signed)
        file = self._deliver(inbox, signed)
        if json_output:
            typer.echo(json.dumps({"file": str(file), **signed.to_dict()}))
            return
        typer.echo(f"{order.kind:<8} {Amount(order.amount, genesis.token)}")
        typer.echo(f"from     {order.source}")
        typer.echo(f"to       {order.destination}")
        typer.echo(f"nonce    {order.nonce}, holds until round {order.expires}")
        typer.echo(f"file     {file}" + ("" if self.out else ", waits for the next round"))

    def _book(self, ledger: "Ledger", inbox: "Inbox") -> "Book":
        """Return what the order is judged by: the ledger once the coldkey's orders that wait are settled."""
        from tokenomics.ledger.spending import spend

        book = ledger.book()
        waiting = [one.signed for one in inbox.outcomes() if one.state == "waiting" and one.signed is not None]
        own = [signed for signed in waiting if signed.order.coldkey == self.hotkey.coldkey]
        spent = spend(ledger.genesis, book, own, round=ledger.height + 1)
        book.enter(spent.movements, spent.applied)
        return book

    def _account(self, name: str, ledger: "Ledger") -> str:
        """Return the account that a short name stands for."""
        genesis, coldkey = ledger.genesis, self.hotkey.coldkey
        short = {
            "hotkey": f"participant:{self.hotkey.keypair.public}",
            "wallet": f"wallet:{coldkey}",
            "owner": f"owner:{genesis.owner}",
            "validator": f"validator:{genesis.validator}",
            "escrow": f"escrow:{genesis.validator}:{coldkey}",
        }
        return short.get(name, name)

    def _title(self, source: str, book: "Book", inbox: "Inbox") -> "Title | None":
        """Return what shows whose a hotkey's account is; None where the ledger knows, or it isn't a hotkey's."""
        from subnet.enrolments import Enrolments
        from tokenomics.ledger import Title
        from tokenomics.ledger.accounts import hotkey_of

        hotkey = hotkey_of(source)
        if hotkey is None or hotkey in book.holders:
            return None
        enrolment = Enrolments(inbox.folder.parent).signed(hotkey)
        if enrolment is None:
            raise RunError(
                f"hotkey {hotkey[:12]} hasn't enrolled in {self.run}, so nothing shows whose {source} is",
                remedy="name an account with --from; a copy of the run needs its enrolments folder, too",
            )
        return Title(document=enrolment.document, signature=enrolment.signature)

    def _deliver(self, inbox: "Inbox", signed: "SignedOrder") -> Path:
        from subnet.store import write_atomically

        if self.out is None:
            return inbox.submit(signed)
        write_atomically(self.out, signed.leaf)
        return self.out


def _payee(name: str) -> str:
    """Return the account that is meant: a coldkey's, or what is an account's name already.

    Raises:
        RunError: it is neither.
    """
    from tokenomics.ledger.accounts import is_wallet, wallet_account

    account = name if ":" in name else wallet_account(name.lower())
    if account != name and not is_wallet(account):
        remedy = "ask whom you pay for what `subnet wallet show` prints"
        raise RunError(f"{name!r:.80} is no coldkey of 64 hexadecimal digits, nor an account's name", remedy=remedy)
    return account


def _check(ledger: "Ledger", book: "Book", signed: "SignedOrder") -> None:
    """Refuse an order that the next round would leave out.

    Raises:
        OrderError: it would.
    """
    from tokenomics.errors import OrderError
    from tokenomics.ledger import refusal

    found = refusal(ledger.genesis, book, signed, round=ledger.height + 1)
    if found is not None:
        remedy = "`subnet wallet balance` shows what the coldkey has and which nonce is next"
        raise OrderError(f"the next round would refuse it: {found.message}", remedy=remedy)
