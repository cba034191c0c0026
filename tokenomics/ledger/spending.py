"""Which orders apply to a ledger, and what they move: pure functions that settling, verifying and wallets share."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, Self

from tokenomics._checks import is_hex
from tokenomics.ledger.accounts import (
    OWNER_PREFIX,
    PARTICIPANT_PREFIX,
    VALIDATOR_PREFIX,
    WALLET_PREFIX,
    escrow_account,
    hotkey_of,
    is_escrow_of,
    is_wallet,
)
from tokenomics.ledger.log import genesis_head
from tokenomics.ledger.order import SignedOrder
from tokenomics.ledger.records import Genesis
from tokenomics.ledger.vesting import Movement

RefusalReason = Literal[
    "other_subnet",
    "bad_signature",
    "expired",
    "nonce_used",
    "nonce_gap",
    "not_spendable",
    "no_title",
    "bad_title",
    "not_owner",
    "unknown_account",
    "unknown_validator",
    "overdraft",
]
"""Why an order doesn't apply."""

_PAYABLE: Final = (PARTICIPANT_PREFIX, OWNER_PREFIX, VALIDATOR_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An order that doesn't apply."""

    signed: SignedOrder
    reason: RefusalReason
    message: str
    """The reason in words, with the values that don't fit."""


@dataclass(slots=True, kw_only=True)
class Book:
    """What orders are judged by; `enter` changes it. An account that isn't in `balances` has never been paid."""

    balances: dict[str, int] = field(default_factory=dict)
    """Base units by account."""
    nonces: dict[str, int] = field(default_factory=dict)
    """The last order's nonce, by coldkey."""
    holders: dict[str, str] = field(default_factory=dict)
    """Coldkey by hotkey, of those accounts that an order has moved money from."""

    def copy(self) -> Self:
        """Return a book of its own with the same content."""
        return type(self)(balances=dict(self.balances), nonces=dict(self.nonces), holders=dict(self.holders))

    def grow(self, later: Self) -> None:
        """Enter all at once what later rounds have changed."""
        for account, amount in later.balances.items():
            self.balances[account] = self.balances.get(account, 0) + amount
        self.nonces |= later.nonces
        self.holders |= later.holders

    def enter(self, movements: Iterable[Movement], orders: Iterable[SignedOrder] = ()) -> None:
        """Enter what has been posted, and the orders among it."""
        for account, _kind, amount in movements:
            self.balances[account] = self.balances.get(account, 0) + amount
        for signed in orders:
            self.nonces[signed.order.coldkey] = signed.order.nonce
            hotkey = hotkey_of(signed.order.source)
            if hotkey is not None:
                self.holders[hotkey] = signed.order.coldkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a round's orders come to."""

    applied: tuple[SignedOrder, ...] = ()
    """In the order in which they apply."""
    movements: tuple[Movement, ...] = ()
    """For each of them what its source pays, then what its destination receives."""
    refused: tuple[Refusal, ...] = ()


def spend(genesis: Genesis, book: Book, orders: Iterable[SignedOrder], *, round: int) -> Spent:  # noqa: A002 - the field's term
    """Apply a round's orders, by coldkey and nonce; those that don't apply are left out whole.

    Args:
        genesis: the ledger's first row.
        book: after everything else that the round posts; it stays as it is.
        orders: in any order.
        round: the one that is settled.
    """
    running = book.copy()
    applied: list[SignedOrder] = []
    movements: list[Movement] = []
    refused: list[Refusal] = []
    for signed in sorted(orders, key=lambda one: (one.place, one.leaf)):
        found = refusal(genesis, running, signed, round=round)
        if found is not None:
            refused.append(found)
            continue
        moved = movements_of(signed)
        running.enter(moved, [signed])
        applied.append(signed)
        movements += moved
    return Spent(applied=tuple(applied), movements=tuple(movements), refused=tuple(refused))


def movements_of(signed: SignedOrder) -> list[Movement]:
    """Return the two sides of what an order moves."""
    order = signed.order
    return [(order.source, order.kind, -order.amount), (order.destination, order.kind, order.amount)]


def refusal(genesis: Genesis, book: Book, signed: SignedOrder, *, round: int) -> Refusal | None:  # noqa: A002
    """Say why an order doesn't apply; None where it does.

    Args:
        genesis: the ledger's first row.
        book: what it would be applied to.
        signed: the order.
        round: in which it would be settled.
    """
    checks = (_of_this_ledger, _in_time, _in_turn, _by_the_owner, _to_somebody, _in_funds)
    for check in checks:
        found = check(genesis, book, signed, round)
        if found is not None:
            reason, message = found
            return Refusal(signed=signed, reason=reason, message=message)
    return None


_Found = tuple[RefusalReason, str] | None


def _of_this_ledger(genesis: Genesis, _book: Book, signed: SignedOrder, _round: int) -> _Found:
    head = genesis_head(genesis)
    if signed.order.subnet != head:
        return "other_subnet", f"it is for ledger {signed.order.subnet[:12]}, and this one is {head[:12]}"
    if not signed.is_signed:
        return "bad_signature", f"the signature isn't that of coldkey {signed.order.coldkey[:12]}"
    return None


def _in_time(_genesis: Genesis, _book: Book, signed: SignedOrder, number: int) -> _Found:
    if number > signed.order.expires:
        return "expired", f"it held until round {signed.order.expires}, and this is round {number}"
    return None


def _in_turn(_genesis: Genesis, book: Book, signed: SignedOrder, _round: int) -> _Found:
    nonce, last = signed.order.nonce, book.nonces.get(signed.order.coldkey, 0)
    if nonce <= last:
        return (
            "nonce_used",
            f"nonce {nonce} of coldkey {signed.order.coldkey[:12]} is used already: its next is {last + 1}",
        )
    if nonce > last + 1:
        return "nonce_gap", f"nonce {nonce} of coldkey {signed.order.coldkey[:12]} leaves a gap: its next is {last + 1}"
    return None


def _by_the_owner(genesis: Genesis, book: Book, signed: SignedOrder, _round: int) -> _Found:
    order = signed.order
    if hotkey_of(order.source) is not None:
        return _by_the_holder(genesis, book.holders, signed)
    if order.source in {f"{OWNER_PREFIX}{genesis.owner}", f"{VALIDATOR_PREFIX}{genesis.validator}"}:
        if not is_hex(genesis.owner, 64):
            return "not_spendable", f"the genesis names the owner {genesis.owner!r}, which is no coldkey"
        owner = genesis.owner
    elif is_wallet(order.source):
        owner = order.source.removeprefix(WALLET_PREFIX)
    elif is_escrow_of(order.source, order.coldkey):
        owner = order.coldkey
    else:
        return "not_spendable", f"nobody can spend {order.source}"
    return _unless_owner(order.source, owner, order.coldkey)


def _by_the_holder(genesis: Genesis, holders: Mapping[str, str], signed: SignedOrder) -> _Found:
    """Check that a hotkey's account is the coldkey's: as the ledger knows already, or as the hotkey has signed."""
    order, hotkey = signed.order, hotkey_of(signed.order.source)
    assert hotkey is not None
    known = holders.get(hotkey)
    if signed.title is None:
        if known is None:
            return "no_title", f"it doesn't show that hotkey {hotkey[:12]} works for coldkey {order.coldkey[:12]}"
        return _unless_owner(order.source, known, order.coldkey)
    named = signed.title.holder(hotkey=hotkey, spec_hash=genesis.spec_hash)
    if named is None:
        return "bad_title", f"its title isn't an enrolment of hotkey {hotkey[:12]} in this subnet"
    return _unless_owner(order.source, named if known is None else known, order.coldkey)


def _unless_owner(account: str, owner: str, coldkey: str) -> _Found:
    if owner == coldkey:
        return None
    return "not_owner", f"{account} belongs to coldkey {owner[:12]}, not to {coldkey[:12]}"


def _to_somebody(genesis: Genesis, book: Book, signed: SignedOrder, _round: int) -> _Found:
    order = signed.order
    if order.kind == "stake" and order.destination != escrow_account(genesis.validator, order.coldkey):
        return "unknown_validator", f"{order.destination} isn't the escrow of validator {genesis.validator[:12]}"
    if order.kind != "transfer" or is_wallet(order.destination):
        return None
    if not order.destination.startswith(_PAYABLE):
        return "unknown_account", f"{order.destination} can't be paid: name wallet:COLDKEY, or who was paid before"
    if order.destination not in book.balances:
        return "unknown_account", f"{order.destination} has never been paid, so it may be nobody's"
    return None


def _in_funds(_genesis: Genesis, book: Book, signed: SignedOrder, _round: int) -> _Found:
    order = signed.order
    has = book.balances.get(order.source, 0)
    if has < order.amount:
        return "overdraft", f"{order.source} has {has} base units, not {order.amount}"
    return None
