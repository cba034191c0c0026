"""Writing a round's rows, within a transaction that the caller opened."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table

from tokenomics.ledger import schema
from tokenomics.ledger.order_rows import order_values
from tokenomics.ledger.planning import SealedRound

ROWS_A_STATEMENT: Final = 250
"""Rows inserted at a time."""


def write_round(connection: Connection, sealed: SealedRound) -> None:
    """Write a round: receipts and orders, then the postings that they justify, then the row that seals all."""
    number = sealed.row.round
    receipts = [
        value
        for one in sealed.receipts
        for value in (number, one.hotkey, one.receipt_hash, one.status, one.score, int(one.struck))
    ]
    postings = [
        value
        for position, (account, kind, amount) in enumerate(sealed.movements)
        for value in (number, position, account, kind, amount)
    ]
    orders = [value for position, one in enumerate(sealed.orders) for value in order_values(number, position, one)]
    _insert_all(connection, schema.receipts, receipts)
    if orders:
        _insert_all(connection, schema.orders, orders)
    _insert_all(connection, schema.postings, postings)
    row = {column.name: getattr(sealed.row, column.name) for column in schema.rounds.columns}
    _insert_all(connection, schema.rounds, list((row | {"pays": int(sealed.row.pays)}).values()))


def _insert_all(connection: Connection, table: Table, values: Sequence[Any]) -> None:
    """Insert whole rows, many a statement: one a statement, as `executemany` has it, takes half as long again.

    Args:
        connection: in a transaction.
        table: where to.
        values: those of all columns of the first row, then those of the second, and so on.
    """
    if connection.dialect.name == "postgresql":
        _insert_columns(connection, table, values)
        return
    names = ", ".join(table.columns.keys())
    marks = f"({', '.join(['?'] * len(table.columns))})"
    step = ROWS_A_STATEMENT * len(table.columns)
    for start in range(0, len(values), step):
        some = tuple(values[start : start + step])
        rows = ", ".join([marks] * (len(some) // len(table.columns)))
        statement = f"INSERT INTO {table.name} ({names}) VALUES {rows}"  # noqa: S608 - names of the schema, and marks
        connection.exec_driver_sql(statement, some)


def _insert_columns(connection: Connection, table: Table, values: Sequence[Any]) -> None:
    """Insert rows in one statement, an array a column: a statement a row takes PostgreSQL twice the time."""
    names = table.columns.keys()
    kinds = ["bigint" if column.type is schema.INTEGER else "text" for column in table.columns]
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in zip(names, kinds, strict=True))
    statement = f"INSERT INTO {table.name} ({', '.join(names)}) SELECT * FROM unnest({arrays})"  # noqa: S608
    columns = {name: list(values[place :: len(names)]) for place, name in enumerate(names)}
    connection.exec_driver_sql(statement, columns)
