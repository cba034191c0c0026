"""The ledger: who owns what, and why, settled one whole round at a time."""

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, Engine

from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerCorruptError, LedgerError, LedgerRaceError
from tokenomics.keys import Keypair
from tokenomics.ledger import creation, migrate
from tokenomics.ledger.checkpoint import Checkpoint, checkpoint_path, read_checkpoint, tidy, write_checkpoint
from tokenomics.ledger.connection import open_engine, transaction
from tokenomics.ledger.log import Log, genesis_leaf, origin_of, round_leaf
from tokenomics.ledger.order_rows import read_book
from tokenomics.ledger.place import ServerPlace, ledger_exists, url_path
from tokenomics.ledger.planning import SealedRound, Tip, check_follows, genesis_tip, seal
from tokenomics.ledger.reader import Reader
from tokenomics.ledger.records import Genesis, Settlement
from tokenomics.ledger.rows import (
    PAGE_SIZE,
    GenesisRow,
    read_genesis,
    read_pending,
    read_rounds,
    read_tip,
    tip_of,
)
from tokenomics.ledger.spending import Book, Refusal
from tokenomics.ledger.writing import write_round
from tokenomics.note import TreeHead

_MAX_ATTEMPTS: Final = 4
"""How often a round is tried again where PostgreSQL let another transaction go first."""


class Ledger(Reader):
    """A subnet's money: double entry, append-only, each round chained to the one before and signed.

    Made by `create` or `open`; a context manager. It goes by the path of its SQLite file, also where its tables are on
    a PostgreSQL server and only that server's URL, and the checkpoint, lie there.
    """

    def __init__(self, *, path: Path, engine: Engine, row: GenesisRow, read_only: bool) -> None:
        super().__init__(path=path, engine=engine, row=row)
        self._read_only = read_only
        self._checkpoint_due = False
        self._log = Log([genesis_leaf(self.genesis)])
        self._book, self._booked = Book(), 0

    @classmethod
    def create(cls, path: Path, genesis: Genesis, signer: Keypair, *, url: str | None = None) -> Self:
        """Make a new ledger, whole or not at all.

        Args:
            path: the file to make, in a folder that exists.
            genesis: the first row.
            signer: the genesis's validator.
            url: `postgresql+psycopg://USER@HOST/DATABASE`, without a password, for a ledger in a new schema of that
                database; `<path>.url` then names it. SQLite when None.

        Raises:
            LedgerError: something of a ledger is there already, folder or server can't be written to, the URL can't be
                used, or the signer isn't the validator.
        """
        _check_signer(genesis, signer)
        _check_free(path)
        tip = genesis_tip(genesis)
        checkpoint = Checkpoint.sign(TreeHead(origin=origin_of(genesis), size=1, root=tip.log_root), signer)
        document = canonical_json(genesis.to_dict()).decode()
        row = GenesisRow(document=document, head=tip.head, signature=checkpoint.signature)
        with _makeable(path):
            if url is None:
                creation.make_file(path, row)
            else:
                creation.make_schema(path, row, ServerPlace.new(url, genesis.subnet))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> Self:
        """Open a ledger, and compare it with its checkpoint file.

        A crash between a round and its checkpoint leaves the file one round behind: it is then written anew.

        Args:
            path: the ledger's file, or where that would be if the ledger weren't on a server.
            read_only: change nothing, for a reader beside a running validator.

        Raises:
            LedgerError: there is no ledger, it is of another revision, or it can't be read.
            LedgerCorruptError: it is damaged, or rounds that its checkpoint names are missing.
        """
        if not ledger_exists(path):
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
            on_refused: told of each order that was left out, once the round is settled and its checkpoint written.

        Returns:
            The round's checkpoint, which is also in the file beside the ledger.

        Raises:
            LedgerConflictError: the round is settled already, maybe by another validator just now, or would leave a
                gap.
            LedgerError: it starts from another model, somebody else signs, or the ledger can't be written to. Only
                where the message says that this round "is settled" was it written, and its checkpoint file was not;
                where it says so of the round before, that file is still due, and this round wasn't written; where it
                says that the server went away, the round may have been.
        """
        if self._read_only:
            raise LedgerError(f"ledger {self.path} was opened to be read only", remedy="open it without read_only")
        _check_signer(self.genesis, signer)
        if self._checkpoint_due:
            write_checkpoint(self.path, self.checkpoint)
        checkpoint, refused = self._write(settlement, signer)
        self._checkpoint_due = True
        write_checkpoint(self.path, checkpoint)
        self._checkpoint_due = False
        for refusal in refused:
            on_refused(refusal)
        return checkpoint

    def _write(self, settlement: Settlement, signer: Keypair) -> tuple[Checkpoint, tuple[Refusal, ...]]:
        """Write a round. Whoever lost a race looks again, and is then told by `check_follows` what was settled."""
        for _ in range(_MAX_ATTEMPTS - 1):
            with contextlib.suppress(LedgerRaceError):
                return self._write_once(settlement, signer)
        return self._write_once(settlement, signer)

    def _write_once(self, settlement: Settlement, signer: Keypair) -> tuple[Checkpoint, tuple[Refusal, ...]]:
        with transaction(self._engine, self.path, writes=True) as connection:
            tip = read_tip(connection, self.genesis)
            check_follows(tip, settlement)
            struck = {entry.hotkey for entry in settlement.entries if entry.struck}
            pending = read_pending(connection, self.genesis, tip.round, struck=struck)
            book = self._book_up_to(connection, tip) if settlement.orders else None
            sealed = seal(self.genesis, tip, settlement, pending, self._log_up_to(connection, tip), book)
            checkpoint = Checkpoint.sign(self._tree(settlement.round, sealed.row.log_root), signer)
            write_round(connection, replace(sealed, row=replace(sealed.row, signature=checkpoint.signature)))
        return checkpoint, sealed.refused

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
        if not self._read_only:
            tidy(self.path)


def copy_ledger(path: Path, to: Path) -> Checkpoint:
    """Copy a ledger into a new SQLite file, with its checkpoint beside it: for an auditor, or to keep.

    Args:
        path: the ledger's, whether a file or on a server; a validator may be at work.
        to: the file to make, in a folder that exists.

    Returns:
        The copy's checkpoint.

    Raises:
        LedgerError: there is no ledger, it breaks its own rules, or something is at `to` already.
    """
    _check_free(to)
    with Ledger.open(path, read_only=True) as source, _makeable(to):
        last = source.checkpoint
        rounds = (
            SealedRound(
                row=row,
                receipts=tuple(source.receipts(row.round)),
                movements=tuple((one.account, one.kind, one.amount) for one in source.postings(row.round)),
                orders=tuple(source.orders(row.round)),
            )
            for row in itertools.islice(source.rounds(), last.round)
        )
        creation.make_file(to, source._row, rounds)  # noqa: SLF001 - the genesis as it was written and signed
        write_checkpoint(to, last)
    return last


def rewrite_checkpoint(path: Path) -> Checkpoint:
    """Write a lost checkpoint file anew from the ledger's own last round.

    Only for a ledger that is known to be whole: with this, rounds cut off its end are no longer missed.

    Args:
        path: the ledger's file.

    Raises:
        LedgerError: there is no ledger, or it can't be read.
    """
    engine = open_engine(path, read_only=True)
    try:
        row = _first_row(engine, path)
        checkpoint = Ledger(path=path, engine=engine, row=row, read_only=True).checkpoint
    finally:
        engine.dispose()
    write_checkpoint(path, checkpoint)
    return checkpoint


def _check_free(path: Path) -> None:
    for leftover in (path, path.with_name(f"{path.name}-wal"), url_path(path), checkpoint_path(path)):
        if leftover.exists():
            raise LedgerError(f"{leftover} is there already", remedy="open that ledger, or choose another folder")


@contextlib.contextmanager
def _makeable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        message = f"ledger {path} can't be made: {error.strerror}"
        raise LedgerError(message, remedy="make its folder, and check that it is yours") from error


def _check_signer(genesis: Genesis, signer: Keypair) -> None:
    if signer.public != genesis.validator:
        raise LedgerError(
            f"{signer.public[:12]} signs, but the ledger's validator is {genesis.validator[:12]}",
            remedy="use the wallet with which the ledger was made",
        )


def _first_row(engine: Engine, path: Path) -> GenesisRow:
    with transaction(engine, path) as connection:
        migrate.check_revision(connection, path)
        return read_genesis(connection)
