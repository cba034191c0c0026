"""A statement's lines: each credit, release, void and order of one participant, from the ledger's postings."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal, TypeAlias

from tokenomics.errors import LedgerCorruptError
from tokenomics.ledger import Posting, SignedOrder
from tokenomics.ledger.order import ORDER_KINDS
from tokenomics.ledger.vesting import PENDING_PREFIX

LineKind: TypeAlias = Literal["credit", "release", "void", "received", "sent", "staked", "unstaked", "burned"]
"""`credit`: a round's pay. `release`: pending pay that became the participant's own. `void`: lost to a strike. The
others by an order: what came from another account, and what was transferred to another, staked, unstaked (what an
escrow lets go) or burned."""

MOVED: Final[tuple[LineKind, ...]] = ("received", "sent", "staked", "unstaked", "burned")
"""The kinds that an order makes."""

_ORDERED: Final[dict[str, LineKind]] = {
    "transfer": "sent",
    "stake": "staked",
    "unstake": "unstaked",
    "burn": "burned",
}
_KINDS: Final[dict[str, LineKind]] = {"emission": "credit", "release": "release", "void": "void"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """What a participant or another account has, in base units."""

    vested: int = 0
    """Its own, to be spent."""
    pending: int = 0
    """Not yet released; a strike would void it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One movement of a participant's money. Amounts are base units."""

    round: int
    """The round whose settlement moved it."""
    settled_at: int
    """When that was: Unix time in seconds."""
    kind: LineKind
    vested: int
    """By how much what is its own changed."""
    pending: int
    """By how much what is pending changed; a release moves the same from pending to vested."""
    earned_in: int | None
    """The round that paid it; None for a void, which can be the pay of many rounds, and for what an order moved."""
    receipt_hash: str
    """Of the receipt that says why, of the round that paid or of the strike; of the signed order for what one moved.
    Empty for the parts of owner and validator, for which there is no receipt."""
    counterparty: str = ""
    """The other account of an order; empty for all else."""

    @property
    def amount(self) -> int:
        """How much was moved; above 0."""
        return max(abs(self.vested), abs(self.pending))

    def after(self, balance: Balance) -> Balance:
        """Return what a balance is after this line."""
        return Balance(vested=balance.vested + self.vested, pending=balance.pending + self.pending)


def lines_of(
    moved: Iterable[tuple[int, Posting]],
    *,
    settled_at: Mapping[int, int],
    receipt_hashes: Mapping[int, str] | None,
    vesting: int,
    ordered: Mapping[int, Sequence[SignedOrder]] | None = None,
) -> list[Line]:
    """Return a participant's or another account's lines, in the order in which the ledger moved the money.

    Args:
        moved: all of its postings with their rounds, in order, as `Ledger.moved` or `Ledger.moved_on` gives them.
        settled_at: when each round was settled: Unix time in seconds.
        receipt_hashes: of its receipts, by round; None for an account that has none.
        vesting: rounds for which pay is pending.
        ordered: the orders that its account paid or received by, by round, as `Ledger.ordered` gives them.

    Raises:
        LedgerCorruptError: a posting is of a kind that participants don't have, pay has no receipt, or what was moved
            no order.
    """
    lines = []
    waiting = {number: iter(orders) for number, orders in (ordered or {}).items()}
    for (number, kind), postings in groupby(moved, key=lambda one: (one[0], one[1].kind)):
        if kind in ORDER_KINDS:
            orders = waiting.get(number, iter(()))
            lines += [_ordered(number, one, next(orders, None), settled_at[number]) for _, one in postings]
            continue
        if kind not in _KINDS:
            raise LedgerCorruptError(
                f"round {number} has a posting of kind {kind!r:.40}", remedy="see `subnet ledger verify`"
            )
        changes = Counter[str]()
        for _, posting in postings:
            changes["pending" if posting.account.startswith(PENDING_PREFIX) else "vested"] += posting.amount
        earned_in = {"emission": number, "release": number - vesting}.get(kind)
        explained_in = number if earned_in is None else earned_in
        if receipt_hashes is not None and explained_in not in receipt_hashes:
            raise LedgerCorruptError(
                f"round {number} moved pay of round {explained_in}, which has no receipt for it",
                remedy="see `subnet ledger verify`",
            )
        lines.append(
            Line(
                round=number,
                settled_at=settled_at[number],
                kind=_KINDS[kind],
                earned_in=earned_in,
                receipt_hash="" if receipt_hashes is None else receipt_hashes[explained_in],
                vested=changes["vested"],
                pending=changes["pending"],
            )
        )
    return lines


def _ordered(number: int, posting: Posting, signed: SignedOrder | None, settled_at: int) -> Line:
    """Return the line of one side of an order."""
    if signed is None or signed.order.kind != posting.kind or signed.order.amount != abs(posting.amount):
        raise LedgerCorruptError(
            f"round {number} moved {posting.amount} on {posting.account} by no order",
            remedy="see `subnet ledger verify`",
        )
    order = signed.order
    pays = posting.amount < 0
    return Line(
        round=number,
        settled_at=settled_at,
        kind=_ORDERED[order.kind] if pays else "received",
        vested=posting.amount,
        pending=0,
        earned_in=None,
        receipt_hash=signed.hash,
        counterparty=order.destination if pays else order.source,
    )
