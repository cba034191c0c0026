"""A statement as CSV: all of it for a spreadsheet, and what was received in the form that Koinly imports."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from tokenomics.statement.lines import MOVED, Balance
from tokenomics.statement.period import utc
from tokenomics.statement.statement import Statement

COLUMNS: Final = (
    *("time", "round", "kind", "amount", "unit", "vested", "pending", "earned_in", "receipt_hash"),
    *("subnet", "hotkey", "log_origin", "log_size", "log_root", "leaf_index", "proof"),
    "counterparty",
)
"""`vested` and `pending` are balances after the line; a round's leaf in the log has the round's number. `hotkey` is an
account's name where the statement isn't a participant's."""

KOINLY_COLUMNS: Final = (
    *("Date", "Sent Amount", "Sent Currency", "Received Amount", "Received Currency", "Fee Amount", "Fee Currency"),
    *("Net Worth Amount", "Net Worth Currency", "Label", "Description", "TxHash"),
)

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell of text that begins so is read as a formula by some spreadsheets (OWASP, "CSV Injection")."""


def to_csv(statement: Statement, proof_names: dict[int, str] | None = None) -> str:
    """Return a statement as CSV (RFC 4180): a row for the opening balance, one a line, one for the closing balance.

    Amounts are exact decimals of the token, never negative: the kind says the direction.

    Args:
        statement: to write down.
        proof_names: the proof's file by round, where there are such files.
    """
    names = proof_names or {}
    tail = (statement.subnet, statement.whose, statement.tree.origin, str(statement.tree.size), statement.tree.root)

    def edge(kind: str, seconds: int, number: int, balance: Balance) -> tuple[str, ...]:
        unit = statement.token.symbol
        return (utc(seconds), str(number), kind, "", unit, *_both(statement, balance), "", "", *tail, "", "", "")

    rows = [edge("opening", statement.began_at, statement.first, statement.opening)]
    rows += [
        (
            utc(line.settled_at),
            str(line.round),
            line.kind,
            statement.decimal(line.amount),
            statement.token.symbol,
            *_both(statement, balance),
            "" if line.earned_in is None else str(line.earned_in),
            line.receipt_hash,
            *tail,
            str(line.round),
            names.get(line.round, ""),
            line.counterparty,
        )
        for line, balance in zip(statement.lines, statement.balances, strict=True)
    ]
    return _write([COLUMNS, *rows, edge("closing", statement.ended_at, statement.last, statement.closing)])


def to_koinly(statement: Statement) -> str:
    """Return what became the participant's own, as Koinly's universal CSV: a deposit with the tag `Reward` each.

    What orders moved is in it as deposits and withdrawals without a tag: whether they were to oneself, the ledger
    doesn't know.

    Pay that is pending was not received yet, and what a strike voided never was: neither is in it. Pay without vesting
    was received when its round was settled, other pay when it was released. There is no price in it, nor a fee.

    Source: Koinly's help pages "How to create a custom CSV file with your data" and "What are tags?".
    """
    rows = []
    for line in statement.lines:
        if line.kind in MOVED:
            units = (statement.decimal(line.amount), statement.token.symbol)
            sides = ("", "", *units) if line.vested > 0 else (*units, "", "")
            words = f"{statement.subnet}: {line.kind}, {line.counterparty}"
            rows.append((utc(line.settled_at), *sides, "", "", "", "", "", words, line.receipt_hash))
        elif line.vested > 0:
            words = f"{statement.subnet}: pay of round {line.earned_in} to {statement.name}"
            received = (statement.decimal(line.vested), statement.token.symbol)
            rows.append((utc(line.settled_at), "", "", *received, "", "", "", "", "Reward", words, line.receipt_hash))
    return _write([KOINLY_COLUMNS, *rows])


def safe_cell(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: with an apostrophe before it where one could.

    >>> safe_cell("=1+1")
    "'=1+1"
    """
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _both(statement: Statement, balance: Balance) -> tuple[str, str]:
    return statement.decimal(balance.vested), statement.decimal(balance.pending)


def _write(rows: Iterable[Sequence[str]]) -> str:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return stream.getvalue()
