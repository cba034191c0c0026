"""Reading the ledger's rows, within a transaction that the caller opened."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, cast, func, insert, or_, select

from tokenomics.errors import LedgerCorruptError
from tokenomics.ledger import schema
from tokenomics.ledger.order import ORDER_KINDS
from tokenomics.ledger.order_rows import order_row
from tokenomics.ledger.planning import SealedRound, Tip, genesis_tip
from tokenomics.ledger.records import Genesis, Posting, ReceiptEntry, RoundRow
from tokenomics.ledger.vesting import NOTHING_PENDING, PARTICIPANT_PREFIX, PENDING_PREFIX, Earnings, Pending

PAGE_SIZE: Final = 256
"""Rounds read at a time."""

_BOOLS: Final[Mapping[Any, Any]] = {0: False, 1: True}
"""What a column of 0 or 1 stands for; anything else stays as it is, and is refused by the record."""

_MAX_GENESIS_CHARACTERS: Final = 65_536


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
        for key, digest, status, score, struck in connection.execute(query)
    ]


def read_postings(connection: Connection, number: int) -> list[Posting]:
    """Return a round's postings by position.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    table = schema.postings
    query = select(table.c.position, table.c.account, table.c.kind, table.c.amount)
    query = query.where(table.c.round == number).order_by(table.c.position)
    return [
        Posting(position=position, account=account, kind=kind, amount=amount)
        for position, account, kind, amount in connection.execute(query)
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
    found = NOTHING_PENDING
    if not genesis.vesting:
        return found
    table, first = schema.postings, height - genesis.vesting + 1
    query = select(table.c.round, table.c.account, table.c.kind, table.c.amount).order_by(table.c.round)
    query = query.where(table.c.round.between(first, height), _has_prefix(table, PENDING_PREFIX))
    if struck is not None:
        accounts = [f"{PENDING_PREFIX}{hotkey}" for hotkey in struck]
        query = query.where(or_(table.c.round == first, table.c.kind == "void", table.c.account.in_(accounts)))
    for number, rows in groupby(connection.execute(query), key=itemgetter(0)):
        found = found.after(number, (row[1:] for row in rows), vesting=genesis.vesting)
    return found


def read_earnings(connection: Connection, height: int) -> dict[str, Earnings]:
    """Return what came of everybody's pay in the rounds up to `height`, by hotkey."""
    table = schema.postings
    sums: dict[str, Counter[str]] = {}
    for prefix in (PENDING_PREFIX, PARTICIPANT_PREFIX):
        query = select(table.c.account, table.c.kind, _sum(table.c.amount))
        query = query.where(table.c.round <= height, _has_prefix(table, prefix))
        for account, kind, amount in connection.execute(query.group_by(table.c.account, table.c.kind)):
            found = sums.setdefault(account.removeprefix(prefix), Counter())
            own = "moved" if kind in ORDER_KINDS else "vested"
            found[own if prefix == PARTICIPANT_PREFIX else "pending"] += amount
            if kind == "void":
                found["voided"] -= amount
    return {
        hotkey: Earnings(vested=found["vested"], pending=found["pending"], voided=found["voided"], moved=found["moved"])
        for hotkey, found in sorted(sums.items())
    }


def read_moved(connection: Connection, hotkey: str, height: int) -> list[tuple[int, Posting]]:
    """Return a participant's postings up to round `height`, each with its round, in order."""
    table = schema.postings
    accounts = [f"{prefix}{hotkey}" for prefix in (PENDING_PREFIX, PARTICIPANT_PREFIX)]
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
    query = select(table.c.account, _sum(table.c.amount)).group_by(table.c.account).order_by(table.c.account)
    return {row[0]: row[1] for row in connection.execute(query)}


def read_orphans(connection: Connection, table: Table) -> list[int]:
    """Return the rounds (at most 10) that a table has rows of, but that were never settled."""
    settled = select(schema.rounds.c.round)
    query = select(table.c.round).distinct().where(table.c.round.not_in(settled)).order_by(table.c.round).limit(10)
    return list(connection.execute(query).scalars())


def write_round(connection: Connection, sealed: SealedRound) -> None:
    """Write a round: receipts and orders, then the postings that they justify, then the row that seals all."""
    number = sealed.row.round
    receipts = [
        {
            "round": number,
            "hotkey": one.hotkey,
            "receipt_hash": one.receipt_hash,
            "status": one.status,
            "score": one.score,
            "struck": int(one.struck),
        }
        for one in sealed.receipts
    ]
    postings = [
        {"round": number, "position": one.position, "account": one.account, "kind": one.kind, "amount": one.amount}
        for one in sealed.postings
    ]
    orders = [order_row(number, position, one) for position, one in enumerate(sealed.orders)]
    for table, written in ((schema.receipts, receipts), (schema.orders, orders), (schema.postings, postings)):
        if written:
            _insert_all(connection, table, written)
    row = {column.name: getattr(sealed.row, column.name) for column in schema.rounds.columns}
    connection.execute(insert(schema.rounds), row | {"pays": int(sealed.row.pays)})


def _insert_all(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have every column, past SQLAlchemy's look at each: a third of the time of a round."""
    if connection.dialect.name == "postgresql":
        _insert_columns(connection, table, rows)
        return
    statement = insert(table).compile(dialect=connection.dialect)
    order = statement.positiontup or ()
    given: list[Any] = [tuple(row[name] for name in order) for row in rows]
    connection.exec_driver_sql(str(statement), given)


def _insert_columns(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows in one statement, an array a column: a statement a row takes PostgreSQL twice the time."""
    names = [column.name for column in table.columns]
    kinds = ["bigint" if column.type is schema.INTEGER else "text" for column in table.columns]
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in zip(names, kinds, strict=True))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608
    connection.exec_driver_sql(statement, {name: [row[name] for row in rows] for name in names})


def _round_row(row: Mapping[Any, Any]) -> RoundRow:
    return RoundRow(**_with_bool(row, "pays"))


def _with_bool(row: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Return a row with its column of 0 or 1 as a bool; anything else stays as it is, and is refused by the record."""
    return {**row, name: _BOOLS.get(row[name], row[name])}


def _sum(column: Column[int]) -> ColumnElement[int]:
    """Return a sum as an integer of 64 bits: PostgreSQL's own is a decimal."""
    return cast(func.sum(column), schema.INTEGER)


def _has_prefix(table: Table, prefix: str) -> ColumnElement[bool]:
    return func.substr(table.c.account, 1, len(prefix)) == prefix


def _without_round(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "round"}
