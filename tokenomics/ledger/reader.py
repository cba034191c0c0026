"""Reading a ledger: what was settled, what it paid, and where it ends."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Engine

from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerError
from tokenomics.ledger.checkpoint import Checkpoint
from tokenomics.ledger.connection import transaction
from tokenomics.ledger.log import genesis_leaf, origin_of, round_leaf
from tokenomics.ledger.order import SignedOrder
from tokenomics.ledger.order_rows import find_order, read_book, read_ordered, read_orders
from tokenomics.ledger.planning import Tip, genesis_tip, round_content
from tokenomics.ledger.records import Posting, ReceiptEntry, RoundRow
from tokenomics.ledger.rows import (
    PAGE_SIZE,
    GenesisRow,
    read_balance,
    read_balances,
    read_earnings,
    read_entries,
    read_hotkeys,
    read_moved,
    read_pending,
    read_postings,
    read_receipts,
    read_rounds,
    read_tip,
    read_voiding,
    tip_of,
)
from tokenomics.ledger.spending import Book
from tokenomics.ledger.vesting import PARTICIPANT_PREFIX, PENDING_PREFIX, Earnings, Payout, Pending, payout
from tokenomics.merkle import leaf_hash
from tokenomics.note import TreeHead, VerifierKey


class Reader:
    """What can be asked of a ledger that is open. Each answer is of whole rounds, read in one transaction.

    Every method may raise `LedgerError` where the database can't be read, with the remedy.
    """

    def __init__(self, *, path: Path, engine: Engine, row: GenesisRow) -> None:
        self.path = path
        self.genesis = row.parse()
        self._row = row
        self._engine = engine

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
        accounts = [f"{prefix}{hotkey}" for prefix in (PENDING_PREFIX, PARTICIPANT_PREFIX)]
        with transaction(self._engine, self.path) as connection:
            return read_moved(connection, accounts, until)

    def moved_on(self, account: str, *, until: int) -> list[tuple[int, Posting]]:
        """Return an account's postings up to round `until`, each with its round, in order."""
        with transaction(self._engine, self.path) as connection:
            return read_moved(connection, [account], until)

    def balance(self, account: str, *, until: int) -> int:
        """Return an account's balance after round `until`, in base units; 0 where nothing was posted to it."""
        with transaction(self._engine, self.path) as connection:
            return read_balance(connection, account, until)

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
            orders = self.orders(row.round) if row.orders_root else []
            content = round_content(row, self.receipts(row.round), self.postings(row.round), orders)
            sealed = {"head": row.head, "log_root": row.log_root, "signature": row.signature}
            yield canonical_json({**content, **sealed}) + b"\n"

    def _tip(self) -> Tip:
        with transaction(self._engine, self.path) as connection:
            return read_tip(connection, self.genesis)

    def _row_at(self, number: int) -> RoundRow | None:
        with transaction(self._engine, self.path) as connection:
            return next((row for row in read_rounds(connection, number, 1) if row.round == number), None)

    def _tree(self, number: int, root: str) -> TreeHead:
        return TreeHead(origin=origin_of(self.genesis), size=number + 1, root=root)

    def _checkpoint_at(self, tip: Tip) -> Checkpoint:
        row = self._row_at(tip.round)
        signature = self._row.signature if row is None else row.signature
        tree = self._tree(tip.round, tip.log_root)
        return Checkpoint.of(tree, validator=self.genesis.validator, signature=signature)
