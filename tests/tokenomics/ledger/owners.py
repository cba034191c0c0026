"""Wallets that own accounts of a test's ledger, their titles and orders, and rounds in which these are settled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tokenomics.canonical import canonical_json
from tokenomics.keys import Keypair, Wallet
from tokenomics.ledger import Genesis, Ledger, Order, ReceiptEntry, Settlement, SignedOrder, Title
from tokenomics.ledger.log import genesis_head
from tokenomics.ledger.order import ORDER_KINDS

ALICE, BOB, CAROL = (Wallet.from_seed(bytes.fromhex(digest(name))) for name in ("alice", "bob", "carol"))


def participant(wallet: Wallet) -> str:
    """The account of what a wallet's hotkey has earned."""
    return f"participant:{wallet.hotkey.keypair.public}"


def purse(wallet: Wallet) -> str:
    """The account of a wallet's coldkey."""
    return f"wallet:{wallet.coldkey.public}"


def escrow(wallet: Wallet, genesis: Genesis) -> str:
    """The account of what a wallet has staked to the ledger's validator."""
    return f"escrow:{genesis.validator}:{wallet.coldkey.public}"


def title_of(wallet: Wallet, **changes: Any) -> Title:
    """A hotkey's enrolment for its coldkey; keywords change fields before it is signed."""
    said = {
        "version": 1,
        "subnet": digest("spec"),
        "hotkey": wallet.hotkey.keypair.public,
        "coldkey": wallet.coldkey.public,
        "binding": wallet.binding,
        "challenge": "7",
    } | changes
    text = canonical_json(said)
    return Title(document=text.decode(), signature=wallet.hotkey.keypair.sign("enrolment", text))


def order_of(wallet: Wallet, genesis: Genesis, *, title: Title | None = None, **changes: Any) -> SignedOrder:
    """A signed order to transfer 10 base units from a hotkey's account to Carol's wallet; keywords change fields."""
    fields: dict[str, Any] = {
        "subnet": genesis_head(genesis),
        "kind": "transfer",
        "coldkey": wallet.coldkey.public,
        "source": participant(wallet),
        "destination": purse(CAROL),
        "amount": 10,
        "nonce": 1,
        "expires": 100,
    }
    order = Order(**(fields | changes))
    if title is None and order.source == participant(wallet):
        title = title_of(wallet)
    return order.sign(wallet.coldkey, title=title)


def entry(number: int, wallet: Wallet, score: int, *, struck: bool = False) -> ReceiptEntry:
    """A wallet's line of a round."""
    hotkey = wallet.hotkey.keypair.public
    receipt = digest((number, hotkey))
    return ReceiptEntry(hotkey=hotkey, receipt_hash=receipt, status="accepted", score=score, struck=struck)


def settlement(number: int, *orders: SignedOrder, **changes: Any) -> Settlement:
    """A round in which Alice earns twice what Bob does, and these orders; keywords change fields."""
    fields: dict[str, Any] = {
        "round": number,
        "base_hash": digest(f"model {number - 1}"),
        "model_hash": digest(f"model {number}"),
        "record_hash": digest(("record", number)),
        "settled_at": 1_700_000_000 + number,
        "entries": (entry(number, ALICE, 20), entry(number, BOB, 10)),
        "unpaid_score": 0,
        "pays": True,
        "orders": orders,
    }
    return Settlement(**(fields | changes))


def settle_orders(
    path: Path, genesis: Genesis, validator: Keypair, *, create: Callable[..., Ledger] = Ledger.create
) -> Path:
    """Settle five rounds, in which Alice transfers 10, stakes 50, takes 20 of it back and burns 5, and is sent 7."""
    mine = escrow(ALICE, genesis)
    with create(path, genesis, validator) as ledger:
        ledger.settle(settlement(1), validator)
        stake = order_of(ALICE, genesis, kind="stake", destination=mine, amount=50, nonce=2)
        gift = order_of(BOB, genesis, destination=purse(ALICE), amount=7)
        ledger.settle(settlement(2, stake, order_of(ALICE, genesis), gift), validator)
        back = order_of(ALICE, genesis, kind="unstake", source=mine, destination=purse(ALICE), amount=20, nonce=3)
        ledger.settle(settlement(3, back), validator)
        ledger.settle(settlement(4), validator)
        burn = order_of(ALICE, genesis, kind="burn", destination="burn", amount=5, nonce=4)
        ledger.settle(settlement(5, burn), validator)
    return path


_ACCOUNTS = (
    *(account(wallet) for wallet in (ALICE, BOB, CAROL) for account in (participant, purse)),
    "burn",
    "issuance",
    "owner",
    "escrow",
)


def drawn_order(genesis: Genesis, data: st.DataObject) -> SignedOrder:
    """An order that may apply or not: of any kind, from and to anywhere, of a small or the largest amount."""
    wallet = data.draw(st.sampled_from([ALICE, BOB, CAROL]))
    names = {"owner": f"owner:{genesis.owner}", "escrow": escrow(wallet, genesis)}
    kind = data.draw(st.sampled_from(ORDER_KINDS))
    source, destination = (data.draw(st.sampled_from(_ACCOUNTS)) for _ in range(2))
    if kind == "burn":
        destination = "burn"
    elif kind == "stake":
        destination = "escrow"
    elif kind == "unstake":
        source, destination = "escrow", purse(wallet)
    if source == destination or (kind != "unstake" and source == "escrow"):
        source, destination = participant(wallet), purse(CAROL)
        kind = "transfer"
    return order_of(
        wallet,
        genesis,
        kind=kind,
        source=names.get(source, source),
        destination=names.get(destination, destination),
        amount=data.draw(st.integers(1, 150) | st.just(2**63 - 1)),
        nonce=data.draw(st.integers(1, 5)),
    )
