"""From scores to a sealed round: pure functions that settling and verifying share."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import Any

from tokenomics._checks import check_integer
from tokenomics.canonical import canonical_json
from tokenomics.emission import HeightSchedule
from tokenomics.errors import LedgerConflictError, LedgerError
from tokenomics.ledger.log import Log, genesis_head, genesis_leaf, round_leaf
from tokenomics.ledger.order import ORDER_KINDS, SignedOrder
from tokenomics.ledger.records import (
    ISSUANCE,
    Genesis,
    Posting,
    ReceiptEntry,
    RoundRow,
    Settlement,
    leaves_of,
)
from tokenomics.ledger.spending import Book, Refusal, Spent, spend
from tokenomics.ledger.vesting import PARTICIPANT_PREFIX, PENDING_PREFIX, Movement, Pending, earner, moved_on
from tokenomics.merkle import merkle_root
from tokenomics.split import RoundSplit, divide_round


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundPlan:
    """What a round would pay."""

    round: int
    era: int
    emission: int
    """Base units that the schedule allows this round."""
    split: RoundSplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Tip:
    """Where a ledger ends: what the next round must build on."""

    round: int
    head: str
    log_root: str
    model_hash: str
    supply: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedRound:
    """A round with its receipts (by hotkey) and postings, ready to be written; unsigned, its signature is empty."""

    row: RoundRow
    receipts: tuple[ReceiptEntry, ...]
    movements: tuple[Movement, ...]
    """What its postings move, by position: thousands, so they are made into records only where one is wanted."""
    orders: tuple[SignedOrder, ...] = ()
    """Those that apply, by coldkey and nonce."""
    refused: tuple[Refusal, ...] = field(default=(), compare=False)
    """Those that were left out, of which nothing is written."""

    @property
    def postings(self) -> tuple[Posting, ...]:
        """The postings as records, made at each call."""
        return tuple(
            Posting(position=position, account=account, kind=kind, amount=amount)
            for position, (account, kind, amount) in enumerate(self.movements)
        )


def plan_round(
    genesis: Genesis,
    *,
    round: int,  # noqa: A002 - the field's term
    minted: int,
    scores: Mapping[str, int],
    unpaid_score: int,
    pays: bool,
) -> RoundPlan:
    """Say what a round would pay; nothing is written.

    Args:
        genesis: schedule and shares.
        round: 1 or more; by height, round r has the emission of height r - 1.
        minted: base units minted by all rounds before.
        scores: payable scores by hotkey, integers from 0.
        unpaid_score: score above somebody's cap; its part isn't minted.
        pays: False where the round's model was refused: then nothing is minted.

    Raises:
        LedgerError: round or minted are out of range.
        SplitError: a score isn't a non-negative integer.
    """
    check_integer("round", round, minimum=1, error=LedgerError)
    check_integer("minted", minted, maximum=genesis.schedule.cap, error=LedgerError)
    schedule = genesis.schedule
    if isinstance(schedule, HeightSchedule):
        era, emission = schedule.era(height=round - 1), schedule.emission(height=round - 1)
    else:
        era, emission = schedule.era(minted=minted), schedule.emission(minted=minted)
    payable = scores if pays else dict.fromkeys(scores, 0)
    split = divide_round(emission=emission, shares=genesis.shares, scores=payable, unpaid_score=unpaid_score)
    return RoundPlan(round=round, era=era, emission=emission, split=split)


def genesis_tip(genesis: Genesis) -> Tip:
    """Return the tip of a ledger without rounds."""
    root = Log([genesis_leaf(genesis)]).root
    return Tip(round=0, head=genesis_head(genesis), log_root=root, model_hash=genesis.model_hash, supply=0)


def check_follows(tip: Tip, settlement: Settlement) -> None:
    """Refuse what doesn't build on the ledger's tip.

    Raises:
        LedgerConflictError: the round is settled already, or would leave a gap.
        LedgerError: it starts from another model than the round before ended with.
    """
    if settlement.round != tip.round + 1:
        problem = "is settled already" if settlement.round <= tip.round else "would leave a gap"
        message = f"round {settlement.round} {problem}: the ledger ends at round {tip.round}"
        raise LedgerConflictError(message, remedy=f"settle round {tip.round + 1}")
    if settlement.base_hash != tip.model_hash:
        raise LedgerError(
            f"round {settlement.round} starts from model {settlement.base_hash[:12]}, but round {tip.round} ended with "
            f"{tip.model_hash[:12]}",
            remedy="train from the model that the ledger names",
        )


def seal(
    genesis: Genesis, tip: Tip, settlement: Settlement, pending: Pending, log: Log, book: Book | None = None
) -> SealedRound:
    """Compute everything that the ledger records of a round, but for the signature.

    Args:
        genesis: the ledger's first row.
        tip: where the ledger ends.
        pending: what is pending there.
        log: the log up to there.
        settlement: what to settle; that it builds on the tip is `check_follows`'s business.
        book: what the settlement's orders are judged by, as it is there; may be left out if there are none.

    Raises:
        TokenomicsError: amounts or scores are out of range.
    """
    receipts = tuple(sorted(settlement.entries, key=attrgetter("hotkey")))
    plan = plan_round(
        genesis,
        round=settlement.round,
        minted=tip.supply,
        scores={entry.hotkey: entry.score for entry in receipts},
        unpaid_score=settlement.unpaid_score,
        pays=settlement.pays,
    )
    struck = {entry.hotkey for entry in receipts if entry.struck}
    movements = (
        *_emitted(genesis, plan.split),
        *moved_on(pending, plan.round, vesting=genesis.vesting, struck=struck),
    )
    spent = _spent(genesis, book, movements, settlement)
    movements = (*movements, *spent.movements)
    check_integer("the largest posting", max(map(itemgetter(2), movements), default=0), error=LedgerError)
    receipt_leaves = [one.leaf for one in receipts]
    posting_leaves = leaves_of(movements)
    order_leaves = [one.leaf for one in spent.applied]
    row = RoundRow(
        round=plan.round,
        era=plan.era,
        emission=plan.emission,
        minted=plan.split.minted,
        unminted=plan.split.unminted,
        supply=tip.supply + plan.split.minted,
        pays=settlement.pays,
        unpaid_score=settlement.unpaid_score,
        base_hash=settlement.base_hash,
        model_hash=settlement.model_hash,
        record_hash=settlement.record_hash,
        settled_at=settlement.settled_at,
        receipts_root=merkle_root(receipt_leaves),
        postings_root=merkle_root(posting_leaves),
        orders_root=merkle_root(order_leaves) if order_leaves else "",
        head=tip.head,
        log_root=tip.log_root,
        signature="",
    )
    row = replace(row, head=head_of(tip.head, row, receipt_leaves, posting_leaves, order_leaves))
    row = replace(row, log_root=log.then(round_leaf(row)).root)
    problems = invariant_problems(genesis, row, receipts, movements)
    if problems:
        raise LedgerError(f"round {plan.round}: {'; '.join(problems)}", remedy="report this: it can't happen")
    return SealedRound(row=row, receipts=receipts, movements=movements, orders=spent.applied, refused=spent.refused)


def _spent(genesis: Genesis, book: Book | None, movements: Sequence[Movement], settlement: Settlement) -> Spent:
    """Apply a settlement's orders, after all that the round posts besides."""
    if not settlement.orders:
        return Spent()
    assert book is not None, "a settlement with orders is sealed with the book that they are judged by"
    there = book.copy()
    there.enter(movements)
    return spend(genesis, there, settlement.orders, round=settlement.round)


def head_of(
    previous: str,
    row: RoundRow,
    receipts: Sequence[bytes],
    postings: Sequence[bytes],
    orders: Sequence[bytes] = (),
) -> str:
    """Return the link of the hash chain: the hash of a round's whole content and of the head before.

    Args:
        previous: the head before.
        row: the round's; its own head, log root and signature aren't looked at.
        receipts: the receipt entries' leaves, by hotkey.
        postings: the postings' leaves, by position.
        orders: the signed orders' leaves, by coldkey and nonce.
    """
    # the canonical bytes of {"orders": [...], "postings": [...], "previous": ..., "receipts": [...], "round": {...}},
    # without "orders" where there are none; a part at a time
    digest = hashlib.sha256(b"flower-subnet/ledger-round/v3\x00{")
    if orders:
        digest.update(b'"orders":[' + b",".join(orders) + b"],")
    digest.update(b'"postings":[')
    digest.update(b",".join(postings))
    digest.update(f'],"previous":"{previous}","receipts":['.encode())
    digest.update(b",".join(receipts))
    digest.update(b'],"round":' + canonical_json(row.content) + b"}")
    return digest.hexdigest()


def round_content(
    row: RoundRow,
    receipts: Sequence[ReceiptEntry],
    postings: Sequence[Posting],
    orders: Sequence[SignedOrder] = (),
) -> dict[str, Any]:
    """Return a round as plain data, without its head, log root and signature; no orders where there are none."""
    entries: dict[str, Any] = {"receipts": list(map(asdict, receipts)), "postings": list(map(asdict, postings))}
    if orders:
        entries["orders"] = [one.to_dict() for one in orders]
    return {"round": row.content, **entries}


def invariant_problems(
    genesis: Genesis, row: RoundRow, receipts: Sequence[ReceiptEntry], movements: Sequence[Movement]
) -> list[str]:
    """Say which of the rules that hold in every round a round breaks, without recomputing its split."""
    problems = []
    sums: dict[str, int] = {}
    accounts: dict[str, list[str]] = {}
    for account, kind, amount in movements:
        sums[kind] = sums.get(kind, 0) + amount
        accounts.setdefault(kind, []).append(account)
    if total := sum(sums.values()):
        problems.append(f"its postings sum to {total}, not 0")
    kinds = ("release", "void", *ORDER_KINDS)
    problems += [f"its {kind} postings sum to {sums[kind]}, not 0" for kind in kinds if sums.get(kind)]
    issued = -sum(amount for account, _, amount in movements if account == ISSUANCE)
    if issued != row.minted:
        problems.append(f"its postings issue {issued}, but it says that it minted {row.minted}")
    if row.minted + row.unminted != row.emission:
        problems.append(f"minted {row.minted} and unminted {row.unminted} don't make the emission {row.emission}")
    if row.supply > genesis.schedule.cap:
        problems.append(f"the supply is {row.supply}, above the cap {genesis.schedule.cap}")
    if any(len(set(paid)) != len(paid) for kind, paid in accounts.items() if kind not in ORDER_KINDS):
        problems.append("an account is paid twice")
    prefix = earner("", vesting=genesis.vesting)
    earners = {f"{prefix}{entry.hotkey}" for entry in receipts if entry.score and entry.status == "accepted"}
    strangers = [account for account in accounts.get("emission", ()) if account not in earners]
    return problems + [
        f"{account} is paid without an accepted receipt"
        for account in strangers
        if account.startswith((PARTICIPANT_PREFIX, PENDING_PREFIX))
    ]


def _emitted(genesis: Genesis, split: RoundSplit) -> list[Movement]:
    """Write a division down in double entry: issuance first, and nothing for whoever gets nothing."""
    others = {
        ISSUANCE: -split.minted,
        f"owner:{genesis.owner}": split.owner,
        f"validator:{genesis.validator}": split.validator,
    }
    prefix = earner("", vesting=genesis.vesting)
    return [
        *((account, "emission", amount) for account, amount in others.items() if amount),
        *[(f"{prefix}{hotkey}", "emission", amount) for hotkey, amount in split.participants.items() if amount],
    ]
