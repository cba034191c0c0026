"""The ledger: who owns what, and why, settled one whole round at a time."""

import contextlib
import itertools
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, insert

from tokenomics._files import sync_folder
from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import schema
from tokenomics.ledger.checkpoint import Checkpoint, checkpoint_path, read_checkpoint, write_checkpoint
from tokenomics.ledger.connection import open_engine, plain_errors, transaction
from tokenomics.ledger.log import Log, genesis_leaf, origin_of, round_leaf
from tokenomics.ledger.order import SignedOrder
from tokenomics.ledger.order_rows import find_order, read_book, read_ordered, read_orders
from tokenomics.ledger.planning import Tip, check_follows, genesis_tip, round_content, seal
from tokenomics.ledger.records import Genesis, Posting, ReceiptEntry, RoundRow, Settlement
from tokenomics.ledger.rows import (
    PAGE_SIZE,
    GenesisRow,
    read_balances,
    read_earnings,
    read_entries,
    read_genesis,
    read_hotkeys,
    read_moved,
    read_pending,
    read_postings,
    read_receipts,
    read_rounds,
    read_tip,
    read_voiding,
    tip_of,
    write_round,
)
from tokenomics.ledger.spending import Book, Refusal
from tokenomics.ledger.vesting import Earnings, Payout, Pending, payout
from tokenomics.merkle import leaf_hash
from tokenomics.note import TreeHead, VerifierKey


class Ledger:
    """A subnet's money, in one file: double entry, append-only, each round chained to the one before and signed.

    Made by `create` or `open`; a context manager. Every method may raise `LedgerError` where SQLite can't read or
    write the file, with the remedy.
    """

    def __init__(self, *, path: Path, engine: Engine, row: GenesisRow, read_only: bool) -> None:
        self.path = path
        self.genesis = row.parse()
        self._row = row
        self._engine = engine
        self._read_only = read_only
        self._checkpoint_due = False
        self._log = Log([genesis_leaf(self.genesis)])
        self._book, self._booked = Book(), 0

    @classmethod
    def create(cls, path: Path, genesis: Genesis, signer: Keypair) -> Self:
        """Make a new ledger, whole under a temporary name first and then renamed.

        Args:
            path: the file to make, in a folder that exists.
            genesis: the first row.
            signer: the genesis's validator.

        Raises:
            LedgerError: something of a ledger is there already, the folder can't be written to, or the signer isn't
                the validator.
        """
        _check_signer(genesis, signer)
        for leftover in (path, path.with_name(f"{path.name}-wal"), checkpoint_path(path)):
            if leftover.exists():
                raise LedgerError(f"{leftover} is there already", remedy="open that ledger, or choose another folder")
        tip = genesis_tip(genesis)
        checkpoint = Checkpoint.sign(TreeHead(origin=origin_of(genesis), size=1, root=tip.log_root), signer)
        document = canonical_json(genesis.to_dict()).decode()
        row = GenesisRow(document=document, head=tip.head, signature=checkpoint.signature)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            _make_file(temporary, row)
            temporary.rename(path)
            sync_folder(path.parent)
        except OSError as error:
            message = f"ledger {path} can't be made: {error.strerror}"
            raise LedgerError(message, remedy="make its folder, and check that it is yours") from error
        finally:
            for suffix in ("", "-wal", "-shm"):
                temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open a ledger, and compare it with its checkpoint file.

        A crash between a round and its checkpoint leaves the file one round behind: it is then written anew.

        Args:
            path: the ledger's file.
            read_only: change nothing, for a reader beside a running validator.

        Raises:
            LedgerError: there is no ledger, it is of another version, or it can't be read.
            LedgerCorruptError: it is damaged, or rounds that its checkpoint names are missing.
        """
        if not path.is_file():
            raise LedgerError(f"there is no ledger at {path}", remedy="check the path, or start the subnet first")
        # before the ledger: a validator at work writes the round first, so what is read here can't be ahead of it
        checkpoint = read_checkpoint(path)
        engine = open_engine(path, read_only=read_only)
        try:
            row = _first_row(engine, path)
            ledger = cls(path=path, engine=engine, row=row, read_only=read_only)
            ledger._meet(checkpoint)
        except BaseException:
            engine.dispose()
            raise
        return ledger

    def close(self) -> None:
        """Close the file. What was settled is on the disk already."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def height(self) -> int:
        """The last settled round; 0 when there is only the genesis."""
        return self._tip().round

    @property
    def head(self) -> str:
        """The hash chain's head, 64 hexadecimal digits."""
        return self._tip().head

    @property
    def minted(self) -> int:
        """Base units minted by all rounds."""
        return self._tip().supply

    @property
    def checkpoint(self) -> Checkpoint:
        """The signed checkpoint of the last settled round."""
        return self._checkpoint_at(self._tip())

    @property
    def key(self) -> VerifierKey:
        """What its checkpoints are checked with: publish it where participants will look for it."""
        return VerifierKey(name=origin_of(self.genesis), public=self.genesis.validator)

    def checkpoint_of(self, round: int) -> Checkpoint:  # noqa: A002 - the field's term
        """Return the signed checkpoint of a settled round; of the genesis for 0.

        Raises:
            LedgerError: it isn't settled.
        """
        row = self._row_at(round) if round else None
        if round and row is None:
            raise LedgerError(f"round {round} isn't settled", remedy=f"name a round from 0 to {self.height}")
        return self._checkpoint_at(genesis_tip(self.genesis) if row is None else tip_of(row))

    def leaf_hashes(self, *, until: int) -> list[str]:
        """Return the hashes of the log's leaves, the genesis first, up to and with a settled round."""
        rows = itertools.islice(self.rounds(), until)
        return [leaf_hash(genesis_leaf(self.genesis)), *(leaf_hash(round_leaf(row)) for row in rows)]

    def settle(
        self,
        settlement: Settlement,
        signer: Keypair,
        *,
        on_refused: Callable[[Refusal], None] = lambda _refusal: None,
    ) -> Checkpoint:
        """Settle a round: compute what it pays from genesis and scores, and write all of it or nothing.

        Args:
            settlement: the round that follows the last one.
            signer: the genesis's validator.
            on_refused: told, once the round is settled, of each of its orders that was left out.

        Returns:
            The round's checkpoint, which is also in the file beside the ledger.

        Raises:
            LedgerConflictError: the round is settled already, or would leave a gap.
            LedgerError: it starts from another model, somebody else signs, or the ledger can't be written to. Only
                where the message says "is settled" was the round written, and its checkpoint file was not.
        """
        if self._read_only:
            raise LedgerError(f"ledger {self.path} was opened to be read only", remedy="open it without read_only")
        _check_signer(self.genesis, signer)
        if self._checkpoint_due:
            write_checkpoint(self.path, self.checkpoint)
        with transaction(self._engine, self.path, writes=True) as connection:
            tip = read_tip(connection, self.genesis)
            check_follows(tip, settlement)
            struck = {entry.hotkey for entry in settlement.entries if entry.struck}
            pending = read_pending(connection, self.genesis, tip.round, struck=struck)
            book = self._book_up_to(connection, tip) if settlement.orders else None
            sealed = seal(self.genesis, tip, settlement, pending, self._log_up_to(connection, tip), book)
            checkpoint = Checkpoint.sign(self._tree(settlement.round, sealed.row.log_root), signer)
            write_round(connection, replace(sealed, row=replace(sealed.row, signature=checkpoint.signature)))
        self._checkpoint_due = True
        write_checkpoint(self.path, checkpoint)
        self._checkpoint_due = False
        for refusal in sealed.refused:
            on_refused(refusal)
        return checkpoint

    def rounds(self, start: int = 1) -> Iterator[RoundRow]:
        """Yield the settled rounds in order, from round `start` on; rounds settled meanwhile come too."""
        while True:
            with transaction(self._engine, self.path) as connection:
                page = list(read_rounds(connection, start, PAGE_SIZE))
            yield from page
            if len(page) < PAGE_SIZE:
                return
            start = page[-1].round + 1

    def receipts(self, round: int) -> list[ReceiptEntry]:  # noqa: A002 - the field's term
        """Return a round's receipt entries, by hotkey; none for a round that isn't settled."""
        with transaction(self._engine, self.path) as connection:
            return read_receipts(connection, round)

    def receipt(self, round: int, hotkey: str) -> ReceiptEntry | None:  # noqa: A002 - the field's term
        """Return a participant's entry in a round, or None where it has none."""
        with transaction(self._engine, self.path) as connection:
            found = read_receipts(connection, round, hotkey)
        return found[0] if found else None

    def postings(self, round: int) -> list[Posting]:  # noqa: A002 - the field's term
        """Return a round's postings in order; none for a round that paid nothing or isn't settled."""
        with transaction(self._engine, self.path) as connection:
            return read_postings(connection, round)

    def orders(self, round: int) -> list[SignedOrder]:  # noqa: A002 - the field's term
        """Return a round's orders in the order in which they moved money; none for one that isn't settled."""
        with transaction(self._engine, self.path) as connection:
            return read_orders(connection, self.genesis, round)

    def ordered(self, account: str, *, until: int) -> dict[int, list[SignedOrder]]:
        """Return the orders up to round `until` that an account paid or received by, by round and in their order."""
        with transaction(self._engine, self.path) as connection:
            return read_ordered(connection, self.genesis, account, until)

    def find_order(self, coldkey: str, nonce: int) -> tuple[int, SignedOrder] | None:
        """Return a coldkey's order of a nonce, with the round that settled it; None where none has."""
        with transaction(self._engine, self.path) as connection:
            return find_order(connection, self.genesis, coldkey, nonce)

    def round_of(self, signed: SignedOrder) -> int | None:
        """Return the round that settled an order, whatever title it came with; None where none has."""
        found = self.find_order(*signed.place)
        return found[0] if found is not None and found[1].order == signed.order else None

    def book(self) -> Book:
        """Return what orders are judged by, as it is now: `spending.refusal` says whether one would apply."""
        with transaction(self._engine, self.path) as connection:
            return read_book(connection, until=read_tip(connection, self.genesis).round)

    def balances(self) -> dict[str, int]:
        """Return each account's balance in base units, by account. They sum to zero: issuance is minus the supply."""
        with transaction(self._engine, self.path) as connection:
            return read_balances(connection)

    def pending(self, *, until: int | None = None) -> Pending:
        """Return what was earned and isn't released yet, by round and hotkey.

        Args:
            until: as it was after this round; now when None.
        """
        with transaction(self._engine, self.path) as connection:
            height = read_tip(connection, self.genesis).round
            return read_pending(connection, self.genesis, height if until is None else min(until, height))

    def earnings(self, *, until: int | None = None) -> dict[str, Earnings]:
        """Return what is vested, pending and voided of everybody's pay, by hotkey.

        Args:
            until: as it was after this round; now when None.
        """
        with transaction(self._engine, self.path) as connection:
            height = read_tip(connection, self.genesis).round
            return read_earnings(connection, height if until is None else min(until, height))

    def hotkeys(self) -> list[str]:
        """Return everybody who has a receipt, ascending."""
        with transaction(self._engine, self.path) as connection:
            return read_hotkeys(connection)

    def moved(self, hotkey: str, *, until: int) -> list[tuple[int, Posting]]:
        """Return a participant's postings up to round `until`, each with its round, in order."""
        with transaction(self._engine, self.path) as connection:
            return read_moved(connection, hotkey, until)

    def entries(self, hotkey: str, *, until: int) -> dict[int, ReceiptEntry]:
        """Return a participant's receipt entries up to round `until`, by round."""
        with transaction(self._engine, self.path) as connection:
            return read_entries(connection, hotkey, until)

    def payout(self, round: int, hotkey: str) -> Payout:  # noqa: A002 - the field's term
        """Return what came of what a settled round paid a participant: released, still pending, or voided."""
        vesting = self.genesis.vesting
        with transaction(self._engine, self.path) as connection:
            height = read_tip(connection, self.genesis).round
            voided_in = read_voiding(connection, hotkey, round + 1, round + vesting)
        return payout(round, vesting=vesting, height=height, voided_in=voided_in)

    def dump(self) -> Iterator[bytes]:
        """Yield the whole ledger as canonical JSON lines: the genesis, then each round with receipts and postings.

        Two equal ledgers give equal bytes, whatever their files look like.
        """
        first = {"genesis": self.genesis.to_dict(), "head": self._row.head, "signature": self._row.signature}
        yield canonical_json(first) + b"\n"
        for row in self.rounds():
            parts = (
                self.receipts(row.round),
                self.postings(row.round),
                self.orders(row.round) if row.orders_root else (),
            )
            content = round_content(row, *parts)
            sealed = {"head": row.head, "log_root": row.log_root, "signature": row.signature}
            yield canonical_json({**content, **sealed}) + b"\n"

    def _tip(self) -> Tip:
        with transaction(self._engine, self.path) as connection:
            return read_tip(connection, self.genesis)

    def _row_at(self, number: int) -> RoundRow | None:
        with transaction(self._engine, self.path) as connection:
            return next((row for row in read_rounds(connection, number, 1) if row.round == number), None)

    def _log_up_to(self, connection: Connection, tip: Tip) -> Log:
        """Return the log that ends at the tip: the one known from before, grown by the rounds that came since."""
        if self._log.size > tip.round + 1:  # only where the file was put back to an earlier state meanwhile
            self._log = Log([genesis_leaf(self.genesis)])
        for first in range(self._log.size, tip.round + 1, PAGE_SIZE):
            for row in read_rounds(connection, first, PAGE_SIZE):
                self._log = self._log.then(round_leaf(row))
        if self._log.root != tip.log_root:
            message = f"ledger {self.path}: the log of its rounds isn't what round {tip.round} says"
            raise LedgerCorruptError(message, remedy="restore it from a backup; `verify_ledger` says more")
        return self._log

    def _book_up_to(self, connection: Connection, tip: Tip) -> Book:
        """Return what orders are judged by at the tip: what is known from before, grown by the rounds since."""
        if self._booked > tip.round:  # only where the file was put back to an earlier state meanwhile
            self._book, self._booked = Book(), 0
        self._book.grow(read_book(connection, since=self._booked, until=tip.round))
        self._booked = tip.round
        return self._book

    def _tree(self, number: int, root: str) -> TreeHead:
        return TreeHead(origin=origin_of(self.genesis), size=number + 1, root=root)

    def _checkpoint_at(self, tip: Tip) -> Checkpoint:
        row = self._row_at(tip.round)
        signature = self._row.signature if row is None else row.signature
        tree = self._tree(tip.round, tip.log_root)
        return Checkpoint.of(tree, validator=self.genesis.validator, signature=signature)

    def _meet(self, checkpoint: Checkpoint | None) -> None:
        """Compare with the checkpoint file, and bring that up to date where it may lag."""
        tip = self._tip()
        remedy = "restore ledger and checkpoint from one backup; `verify_ledger` says more"
        if checkpoint is None:
            if tip.round > 0:
                message = f"{checkpoint_path(self.path)} is missing, and the ledger is at round {tip.round}"
                raise LedgerCorruptError(message, remedy=f"{remedy}; `rewrite_checkpoint` if it is known to be whole")
        elif checkpoint.round > tip.round:
            message = f"ledger {self.path} ends at round {tip.round}, but its checkpoint is of round {checkpoint.round}"
            raise LedgerCorruptError(message, remedy=remedy)
        else:
            row = self._row_at(checkpoint.round)
            met = genesis_tip(self.genesis) if row is None else tip_of(row)
            if checkpoint.tree != self._tree(met.round, met.log_root):
                message = f"ledger {self.path} has another round {checkpoint.round} than its checkpoint"
                raise LedgerCorruptError(message, remedy=remedy)
        if not self._read_only and (checkpoint is None or checkpoint.round < tip.round):
            write_checkpoint(self.path, self._checkpoint_at(tip))


def rewrite_checkpoint(path: Path) -> Checkpoint:
    """Write a lost checkpoint file anew from the ledger's own last round.

    Only for a ledger that is known to be whole: with this, rounds cut off its end are no longer missed.

    Args:
        path: the ledger's file.

    Raises:
        LedgerError: there is no ledger, or it can't be read.
    """
    if not path.is_file():
        raise LedgerError(f"there is no ledger at {path}", remedy="check the path")
    engine = open_engine(path, read_only=True)
    try:
        row = _first_row(engine, path)
        checkpoint = Ledger(path=path, engine=engine, row=row, read_only=True).checkpoint
    finally:
        engine.dispose()
    write_checkpoint(path, checkpoint)
    return checkpoint


def _check_signer(genesis: Genesis, signer: Keypair) -> None:
    if signer.public != genesis.validator:
        raise LedgerError(
            f"{signer.public[:12]} signs, but the ledger's validator is {genesis.validator[:12]}",
            remedy="use the wallet with which the ledger was made",
        )


def _first_row(engine: Engine, path: Path) -> GenesisRow:
    with transaction(engine, path) as connection:
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
        if version != schema.SCHEMA_VERSION:
            message = f"{path} has ledger version {version}, and this program knows {schema.SCHEMA_VERSION}"
            older = isinstance(version, int) and 0 < version < schema.SCHEMA_VERSION
            remedy = "an older one is read by the flower-subnet that made it; play the run anew for this one"
            newer = "give a ledger's file; a newer one needs a newer flower-subnet"
            raise LedgerError(message, remedy=remedy if older else newer)
        return read_genesis(connection)


def _make_file(path: Path, row: GenesisRow) -> None:
    """Make the file with its tables and first row; everyone may read it, as the ledger is public."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    engine = open_engine(path, read_only=False)
    try:
        with transaction(engine, path, writes=True) as connection:
            schema.metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={schema.SCHEMA_VERSION}")
            values = {"id": 0, "document": row.document, "head": row.head, "signature": row.signature}
            connection.execute(insert(schema.genesis), values)
    finally:
        engine.dispose()
    # the last connection to close moves the WAL into the file; make sure that the file now stands alone
    with plain_errors(path), contextlib.closing(sqlite3.connect(path)) as connection:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise LedgerError(f"ledger {path} is held by another process", remedy="stop it and try again")
