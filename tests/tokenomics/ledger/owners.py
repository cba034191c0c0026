"""Wallets that own accounts of a test's ledger, their titles and their orders."""

from typing import Any

from tests.tokenomics.ledger.conftest import digest
from tokenomics.canonical import canonical_json
from tokenomics.keys import Wallet
from tokenomics.ledger import Genesis, Order, SignedOrder, Title
from tokenomics.ledger.log import genesis_head

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
