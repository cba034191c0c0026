"""Reading the ledger's rows, within a transaction that the caller opened."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import ColumnElement, Connection, Table, bindparam, exists, func, select

from tokenomics.errors import LedgerCorruptError
from tokenomics.ledger import schema
from tokenomics.ledger.order import ORDER_KINDS
from tokenomics.ledger.planning import Tip, genesis_tip
from tokenomics.ledger.records import Genesis, Posting, ReceiptEntry, RoundRow
from tokenomics.ledger.sums import halves, whole
from tokenomics.ledger.vesting import (
    BURN,
    NOTHING_PENDING,
    PARTICIPANT_PREFIX,
    PENDING_PREFIX,
    Earnings,
    Movement,
    Pending,
)

PAGE_SIZE: Final = 256
"""Rounds read at a time."""

PostingRow: TypeAlias = tuple[Any, ...]
"""Position, account, kind and amount of a posting as stored; what they are isn't checked."""

_BOOLS: Final[Mapping[Any, Any]] = {0: False, 1: True}
"""What a column of 0 or 1 stands for; anything else stays as it is, and is refused by the record."""

_MAX_GENESIS_CHARACTERS: Final = 65_536


def _has_prefix(table: Table, prefix: str) -> ColumnElement[bool]:
    return func.substr(table.c.account, 1, len(prefix)) == prefix


_PENDING_PAY: Final = select(
    func.substr(schema.postings.c.account, len(PENDING_PREFIX) + 1), schema.postings.c.amount
).where(
    schema.postings.c.round == bindparam("number"),
    schema.postings.c.kind == "emission",
    _has_prefix(schema.postings, PENDING_PREFIX),
)
"""What a round paid whom, pending then. Put together once, since every settlement asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenesisRow:
    """The first row as stored."""

    document: str
    head: str
    signature: str

    def parse(self) -> Genesis:
        """Return the genesis that the document writes down.

        Raises:
            TokenomicsError: it isn't one.
        """
        try:
            return Genesis.from_dict(json.loads(self.document[:_MAX_GENESIS_CHARACTERS]))
        except (ValueError, RecursionError) as error:
            raise LedgerCorruptError("the genesis isn't JSON", remedy="restore the ledger from a backup") from error


def read_genesis(connection: Connection) -> GenesisRow:
    """Return the first row.

    Raises:
        LedgerCorruptError: there isn't exactly one, or it isn't text.
    """
    found = connection.execute(select(schema.genesis)).mappings().fetchmany(2)
    row = {name: found[0][name] for name in ("document", "head", "signature")} if len(found) == 1 else {}
    if not row or not all(isinstance(value, str) for value in row.values()):
        raise LedgerCorruptError("the ledger hasn't one readable genesis row", remedy="restore it from a backup")
    return GenesisRow(**row)


def read_tip(connection: Connection, genesis: Genesis) -> Tip:
    """Return where the ledger ends."""
    last = connection.execute(select(schema.rounds).order_by(schema.rounds.c.round.desc()).limit(1)).mappings().first()
    return genesis_tip(genesis) if last is None else tip_of(_round_row(last))


def tip_of(row: RoundRow) -> Tip:
    """Return the tip of a ledger that ends with this round."""
    return Tip(round=row.round, head=row.head, log_root=row.log_root, model_hash=row.model_hash, supply=row.supply)


def read_rounds(connection: Connection, start: int, limit: int) -> Iterator[RoundRow]:
    """Yield up to `limit` rounds in order, from `start` on.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    table = schema.rounds
    query = select(table).where(table.c.round >= start).order_by(table.c.round).limit(limit)
    for row in connection.execute(query).mappings():
        yield _round_row(row)


def read_receipts(connection: Connection, number: int, hotkey: str | None = None) -> list[ReceiptEntry]:
    """Return a round's receipt entries by hotkey, or the one of `hotkey`.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    table = schema.receipts
    columns = (table.c.hotkey, table.c.receipt_hash, table.c.status, table.c.score, table.c.struck)
    query = select(*columns).where(table.c.round == number).order_by(table.c.hotkey)
    if hotkey is not None:
        query = query.where(table.c.hotkey == hotkey)
    return [
        ReceiptEntry(hotkey=key, receipt_hash=digest, status=status, score=score, struck=_BOOLS.get(struck, struck))
        for key, digest, status, score, struck in connection.execute(query).all()
    ]


def read_postings(connection: Connection, number: int) -> list[Posting]:
    """Return a round's postings by position.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    return postings_of(read_posting_rows(connection, number))


def read_posting_rows(connection: Connection, number: int) -> list[PostingRow]:
    """Return a round's postings by position as they are stored, unchecked."""
    table = schema.postings
    query = select(table.c.position, table.c.account, table.c.kind, table.c.amount)
    query = query.where(table.c.round == number).order_by(table.c.position)
    return list(map(tuple, connection.execute(query).all()))


def postings_of(rows: Iterable[PostingRow]) -> list[Posting]:
    """Return stored postings as records.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    return [
        Posting(position=position, account=account, kind=kind, amount=amount)
        for position, account, kind, amount in rows
    ]


def read_pending(
    connection: Connection, genesis: Genesis, height: int, *, struck: Collection[str] | None = None
) -> Pending:
    """Return what is pending after round `height`, from the postings of the last rounds.

    Args:
        connection: within a transaction.
        genesis: for its vesting.
        height: the last settled round.
        struck: read no more than the next settlement needs, in which these hotkeys are struck; everything when None.
    """
    if not genesis.vesting:
        return NOTHING_PENDING
    table, first = schema.postings, height - genesis.vesting + 1
    due = connection.execute(_PENDING_PAY, {"number": first}).all()
    found = Pending({first: dict(due)})
    moved: dict[int, list[Movement]] = {}
    for condition in _later(first + 1, height, struck):  # a posting that two of them find counts once
        query = select(table.c.round, table.c.account, table.c.kind, table.c.amount).where(condition)
        for number, account, kind, amount in connection.execute(query.where(_has_prefix(table, PENDING_PREFIX))):
            moved.setdefault(number, []).append((account, kind, amount))
    for number in sorted(moved):
        found = found.after(number, moved[number], vesting=genesis.vesting)
    return found


def _later(first: int, last: int, struck: Collection[str] | None) -> list[ColumnElement[bool]]:
    """Return which of some rounds' postings are wanted; of the struck everything, of others what was voided."""
    table = schema.postings
    within = table.c.round.between(first, last)
    if struck is None:
        return [within & (table.c.kind != "release")]
    is_void = table.c.kind == "void"
    burns = exists().where(table.c.round == schema.rounds.c.round, table.c.account == BURN, is_void)
    burning = select(schema.rounds.c.round).where(schema.rounds.c.round.between(first, last), burns)
    voided = table.c.round.in_(burning) & is_void
    accounts = [f"{PENDING_PREFIX}{hotkey}" for hotkey in struck]
    return [voided, within & table.c.account.in_(accounts)] if accounts else [voided]


def read_earnings(connection: Connection, height: int) -> dict[str, Earnings]:
    """Return what came of everybody's pay in the rounds up to `height`, by hotkey."""
    table = schema.postings
    sums: dict[str, Counter[str]] = {}
    for prefix in (PENDING_PREFIX, PARTICIPANT_PREFIX):
        query = select(table.c.account, table.c.kind, *halves(table.c.amount))
        query = query.where(table.c.round <= height, _has_prefix(table, prefix))
        for account, kind, *parts in connection.execute(query.group_by(table.c.account, table.c.kind)):
            found, amount = sums.setdefault(account.removeprefix(prefix), Counter()), whole(*parts)
            own = "moved" if kind in ORDER_KINDS else "vested"
            found[own if prefix == PARTICIPANT_PREFIX else "pending"] += amount
            if kind == "void":
                found["voided"] -= amount
    return {
        hotkey: Earnings(vested=found["vested"], pending=found["pending"], voided=found["voided"], moved=found["moved"])
        for hotkey, found in sorted(sums.items())
    }


def read_balance(connection: Connection, account: str, height: int) -> int:
    """Return an account's balance after round `height`, in base units; 0 where it has no postings."""
    table = schema.postings
    query = select(*halves(table.c.amount)).where(table.c.round <= height, table.c.account == account)
    return whole(*connection.execute(query).one())


def read_moved(connection: Connection, accounts: Collection[str], height: int) -> list[tuple[int, Posting]]:
    """Return the postings of some accounts up to round `height`, each with its round, in order."""
    table = schema.postings
    query = select(table).where(table.c.round <= height, table.c.account.in_(accounts))
    rows = connection.execute(query.order_by(table.c.round, table.c.position)).mappings()
    return [(row["round"], Posting(**_without_round(row))) for row in rows]


def read_entries(connection: Connection, hotkey: str, height: int) -> dict[int, ReceiptEntry]:
    """Return a participant's receipt entries up to round `height`, by round."""
    table = schema.receipts
    query = select(table).where(table.c.round <= height, table.c.hotkey == hotkey).order_by(table.c.round)
    rows = connection.execute(query).mappings()
    return {row["round"]: ReceiptEntry(**_without_round(_with_bool(row, "struck"))) for row in rows}


def read_hotkeys(connection: Connection) -> list[str]:
    """Return every hotkey that has a receipt, ascending."""
    column = schema.receipts.c.hotkey
    return list(connection.execute(select(column).distinct().order_by(column)).scalars())


def read_voiding(connection: Connection, hotkey: str, first: int, last: int) -> int | None:
    """Return the first of some rounds that voided a hotkey's pending pay; None where none did."""
    table = schema.postings
    voided = table.c.round.between(first, last) & (table.c.kind == "void")
    query = select(func.min(table.c.round)).where(voided, table.c.account == f"{PENDING_PREFIX}{hotkey}")
    found: int | None = connection.execute(query).scalar()
    return found


def read_balances(connection: Connection) -> dict[str, int]:
    """Return the sum of each account's postings."""
    table = schema.postings
    query = select(table.c.account, *halves(table.c.amount)).group_by(table.c.account).order_by(table.c.account)
    return {account: whole(*parts) for account, *parts in connection.execute(query)}


def read_orphans(connection: Connection, table: Table) -> list[int]:
    """Return the rounds (at most 10) that a table has rows of, but that were never settled."""
    settled = select(schema.rounds.c.round)
    query = select(table.c.round).distinct().where(table.c.round.not_in(settled)).order_by(table.c.round).limit(10)
    return list(connection.execute(query).scalars())


def _round_row(row: Mapping[Any, Any]) -> RoundRow:
    return RoundRow(**_with_bool(row, "pays"))


def _with_bool(row: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Return a row with its column of 0 or 1 as a bool; anything else stays as it is, and is refused by the record."""
    return {**row, name: _BOOLS.get(row[name], row[name])}


def _without_round(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "round"}
