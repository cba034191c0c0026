"""Is this ledger what its validator signed? Everything recomputed from the file alone, whatever was done to it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection

from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerError, TokenomicsError
from tokenomics.ledger import schema
from tokenomics.ledger.checkpoint import Checkpoint, checkpoint_path, read_checkpoint
from tokenomics.ledger.connection import open_engine, transaction
from tokenomics.ledger.integrity import schema_problems
from tokenomics.ledger.log import Log, genesis_leaf, origin_of, round_leaf
from tokenomics.ledger.order import ORDER_KINDS, SignedOrder
from tokenomics.ledger.order_rows import read_book, read_orders
from tokenomics.ledger.place import ledger_exists
from tokenomics.ledger.planning import Tip, check_follows, genesis_tip, head_of, invariant_problems, seal
from tokenomics.ledger.records import Genesis, Posting, ReceiptEntry, RoundRow, Settlement
from tokenomics.ledger.rows import (
    PAGE_SIZE,
    PostingRow,
    postings_of,
    read_genesis,
    read_orphans,
    read_posting_rows,
    read_receipts,
    read_rounds,
    tip_of,
)
from tokenomics.ledger.spending import Book
from tokenomics.ledger.vesting import NOTHING_PENDING, Pending
from tokenomics.note import TreeHead

MAX_ERRORS: Final = 100
"""No more are reported: one change early in a long ledger could otherwise give millions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What `verify_ledger` found."""

    ok: bool
    """Whether nothing is wrong."""
    rounds: int
    """Rounds that were read."""
    head: str
    """The head of the last round read; empty when not even the genesis could be."""
    errors: list[str]
    """What is wrong and in which round, in order; at most `MAX_ERRORS`."""
    log_errors: list[str]
    """Those of them that concern the chain, the log's roots, the signatures and the checkpoint file."""


def verify_ledger(path: Path, *, validator: str | None = None) -> Verification:
    """Recompute a whole ledger and compare: chain, signatures, emissions, splits, sums, cap, and the checkpoint file.

    The ledger is opened to be read only, and nothing in it is trusted: this never raises for what it holds.

    Args:
        path: the ledger's, whether a file or on a server; its checkpoint file is looked for beside it.
        validator: the hotkey whose ledger it should be. Without it, a history that somebody rewrote with a key of
            their own is found to be sound.
    """
    check = _Check(path=path, validator=validator)
    with check.noting(""):
        check.run()
    errors = check.errors[:MAX_ERRORS]
    return Verification(
        ok=not errors,
        rounds=check.n_rounds,
        head=check.head,
        errors=errors,
        log_errors=[problem for problem in errors if problem in check.log_errors],
    )


@dataclass(slots=True, kw_only=True)
class _Check:
    """One pass over a ledger, and what it found so far."""

    path: Path
    validator: str | None
    errors: list[str] = field(default_factory=list)
    log_errors: list[str] = field(default_factory=list)
    n_rounds: int = 0
    head: str = ""
    log: Log = field(default_factory=Log)
    """Up to the last round read."""
    log_differs: bool = False
    """Whether a round's root was another already: all later ones are then too, and only the first is told."""
    pending: Pending = NOTHING_PENDING
    """As it should be after the last round read: so a wrong posting is named in its own round only."""
    book: Book | None = None
    """What orders are judged by, as recorded up to the last round read; None before the first round with any."""

    @contextlib.contextmanager
    def noting(self, where: str, *, in_log: bool = False) -> Iterator[None]:
        """Note an error within as a finding, maybe one that concerns the log, and go on after it."""
        try:
            yield
        except (TokenomicsError, OSError) as error:
            (self._log_error if in_log else self.errors.append)(f"{where}{error}")

    def _log_error(self, problem: str) -> None:
        self.errors.append(problem)
        self.log_errors.append(problem)

    def run(self) -> None:
        """Look at everything; what is found is in `errors`."""
        if not ledger_exists(self.path):
            raise LedgerError(f"there is no ledger at {self.path}")
        checkpoint = None
        with self.noting("checkpoint: ", in_log=True):
            # before the ledger: a validator at work writes the round first, so this can't be ahead of it
            checkpoint = read_checkpoint(self.path)
        engine = open_engine(self.path, read_only=True)
        try:
            with transaction(engine, self.path) as connection:
                self.errors += schema_problems(connection)
                self._check_content(connection, checkpoint)
        finally:
            engine.dispose()

    def _check_content(self, connection: Connection, checkpoint: Checkpoint | None) -> None:
        row = read_genesis(connection)
        self.head = row.head
        with self.noting("genesis: ", in_log=True):
            genesis = row.parse()
            tip = genesis_tip(genesis)
            if row.document.encode(errors="replace") != canonical_json(genesis.to_dict()) or row.head != tip.head:
                self._log_error(f"genesis: its head is {row.head:.64}, recomputed {tip.head}")
            if self.validator is not None and genesis.validator != self.validator:
                self._log_error(f"genesis: the validator is {genesis.validator}, not {self.validator}")
            self.log = Log([genesis_leaf(genesis)])
            self._check_signature(genesis, 0, tip.log_root, row.signature)
            roots = self._check_rounds(connection, genesis, tip, wanted=checkpoint.round if checkpoint else 0)
            self._check_orphans(connection)
            self._check_file(genesis, checkpoint, roots)

    def _check_rounds(self, connection: Connection, genesis: Genesis, tip: Tip, *, wanted: int) -> dict[int, str]:
        """Check every round on top of the recorded one before; return the roots at the last and the `wanted` one."""
        roots = {tip.round: tip.log_root}
        start = 1
        while len(self.errors) < MAX_ERRORS:
            page: list[RoundRow] = []
            with self.noting(f"round {start} or a later one: "):
                page.extend(read_rounds(connection, start, PAGE_SIZE))
            for row in page:
                with self.noting(f"round {row.round}: "):
                    self._check_round(connection, genesis, tip, row)
                self.n_rounds += 1
                self.head = row.head
                tip = tip_of(row)
                roots = {number: root for number, root in roots.items() if number == wanted} | {tip.round: tip.log_root}
            if len(page) < PAGE_SIZE:
                break
            start = page[-1].round + 1
        return roots

    def _check_round(self, connection: Connection, genesis: Genesis, tip: Tip, row: RoundRow) -> None:
        where = f"round {row.round}: "
        log, self.log = self.log, self.log.then(round_leaf(row))
        receipts = read_receipts(connection, row.round)
        posted = read_posting_rows(connection, row.round)
        orders = read_orders(connection, genesis, row.round)
        if orders and self.book is None:
            self.book = read_book(connection, until=tip.round)
        self._check_signature(genesis, row.round, row.log_root, row.signature)
        settlement = Settlement(
            round=row.round,
            base_hash=row.base_hash,
            model_hash=row.model_hash,
            record_hash=row.record_hash,
            settled_at=row.settled_at,
            entries=tuple(receipts),
            unpaid_score=row.unpaid_score,
            pays=row.pays,
            orders=tuple(orders),
        )
        with self.noting(where):
            check_follows(tip, settlement)
        try:
            sealed = seal(genesis, tip, settlement, self.pending, log, self.book)
        except TokenomicsError:
            self._check_hashes(genesis, tip, row, receipts, postings_of(posted), orders)
            raise
        finally:
            self._enter(posted, orders)
        self.pending = self.pending.after(row.round, sealed.movements, vesting=genesis.vesting)
        if (
            row == replace(sealed.row, signature=row.signature)
            and tuple(receipts) == sealed.receipts
            and tuple(orders) == sealed.orders
            and posted == [(position, *moved) for position, moved in enumerate(sealed.movements)]
        ):
            return  # row, receipts and postings are those that genesis, scores, orders and the rounds before give
        postings = postings_of(posted)
        self._check_hashes(genesis, tip, row, receipts, postings, orders)
        self.errors += [f"{where}order {_named(one.signed)}: {one.message}" for one in sealed.refused]
        names = ("era", "emission", "minted", "unminted", "supply", "receipts_root", "postings_root", "orders_root")
        for name in names:
            recorded, expected = getattr(row, name), getattr(sealed.row, name)
            if recorded != expected:
                self.errors.append(f"{where}{name} is {recorded}, recomputed {expected}")
        self.errors += [f"{where}{problem}" for problem in _differences(postings, sealed.postings)]

    def _enter(self, posted: list[PostingRow], orders: list[SignedOrder]) -> None:
        """Keep the book of what is recorded, once there is one."""
        if self.book is not None:
            sound = [row for row in posted if isinstance(row[1], str) and isinstance(row[3], int)]
            self.book.enter(((account, kind, amount) for _, account, kind, amount in sound), orders)

    def _check_hashes(
        self,
        genesis: Genesis,
        tip: Tip,
        row: RoundRow,
        receipts: list[ReceiptEntry],
        postings: list[Posting],
        orders: list[SignedOrder],
    ) -> None:
        """Say which rules a round breaks, and which of its hashes aren't those of its content."""
        where = f"round {row.round}: "
        moved = [(posting.account, posting.kind, posting.amount) for posting in postings]
        self.errors += [f"{where}{problem}" for problem in invariant_problems(genesis, row, receipts, moved)]
        leaves = ([one.leaf for one in receipts], [one.leaf for one in postings], [one.leaf for one in orders])
        recomputed = head_of(tip.head, row, *leaves)
        if row.head != recomputed:
            self._log_error(f"{where}its head is {row.head}, but its content and the head before give {recomputed}")
        elif row.log_root != self.log.root and not self.log_differs:
            self._log_error(f"{where}its log root is {row.log_root}, but the log of all rounds has {self.log.root}")
        self.log_differs = self.log_differs or row.log_root != self.log.root

    def _check_signature(self, genesis: Genesis, number: int, root: str, signature: str) -> None:
        with self.noting(f"round {number}: ", in_log=True):
            tree = TreeHead(origin=origin_of(genesis), size=number + 1, root=root)
            checkpoint = Checkpoint.of(tree, validator=genesis.validator, signature=signature)
            if not checkpoint.verify(genesis.validator):
                self._log_error(f"round {number}: the signature isn't the validator's")

    def _check_orphans(self, connection: Connection) -> None:
        for table in (schema.receipts, schema.postings, schema.orders):
            numbers = read_orphans(connection, table)
            self.errors += [f"round {n}: {table.name} of a round that was never settled" for n in numbers]

    def _check_file(self, genesis: Genesis, checkpoint: Checkpoint | None, roots: dict[int, str]) -> None:
        last = max(roots)
        if checkpoint is None:
            if last > 0:
                self._log_error(f"checkpoint: there is no sound {checkpoint_path(self.path)}: is the end missing?")
            return
        number = checkpoint.round
        if checkpoint.tree.origin != origin_of(genesis) or not checkpoint.verify(genesis.validator):
            self._log_error(f"checkpoint: that of round {number} isn't signed by the validator for this subnet")
        if number > last:
            self._log_error(f"round {number}: the checkpoint names it, but the ledger ends at round {last}")
        elif roots.get(number) != checkpoint.tree.root:
            self._log_error(f"round {number}: the checkpoint has another root, {checkpoint.tree.root}")


def _differences(recorded: list[Posting], expected: tuple[Posting, ...]) -> list[str]:
    """Say where postings differ from those that genesis and scores give."""
    found = {_key(posting): posting for posting in recorded}
    due = {_key(posting): posting for posting in expected}
    problems = []
    for key in found.keys() | due.keys():
        account, kind, _ = key
        is_posted, is_due = found.get(key), due.get(key)
        if is_posted != is_due:
            posted = f"is paid {_amount(is_posted)}" if kind == "emission" else f"has {_amount(is_posted)} of {kind}"
            problems.append(f"{account} {posted}, due {_amount(is_due)}")
    return sorted(problems)


def _key(posting: Posting) -> tuple[str, str, int]:
    """What tells a posting of a round from the others: orders may move one account's money more than once."""
    return posting.account, posting.kind, posting.position if posting.kind in ORDER_KINDS else -1


def _named(signed: SignedOrder) -> str:
    coldkey, nonce = signed.place
    return f"{nonce} of coldkey {coldkey[:12]}"


def _amount(posting: Posting | None) -> str:
    return "nothing" if posting is None else f"{posting.amount} (posting {posting.position})"
