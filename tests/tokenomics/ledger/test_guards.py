"""What others do to a ledger meanwhile: programs that read it, write to it, fill the disk or win the race."""
# ruff: noqa: S608 - the statements are the tests' own

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from tests.tokenomics.ledger.database import Database
from tokenomics.errors import LedgerError, LedgerRaceError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Ledger,
    ReceiptEntry,
    connection,
    store,
    verify_ledger,
)
from tokenomics.ledger.planning import SealedRound

Make = Callable[..., Any]
TABLES = {"genesis": "head", "rounds": "minted", "receipts": "score", "postings": "amount"}


def test_a_reader_beside_a_writer_sees_whole_rounds_and_changes_nothing(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with Ledger.open(path) as ledger, Ledger.open(path, read_only=True) as reader:
        ledger.settle(make_settlement(7), validator)
        assert (reader.height, reader.head) == (7, ledger.head)
        with pytest.raises(LedgerError, match="read only"):
            reader.settle(make_settlement(8), validator)


@pytest.mark.only("sqlite")
def test_a_busy_ledger_says_that_another_process_writes(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 20)
    with Ledger.open(path) as ledger, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=f"^ledger {path}: another process is writing") as caught:
            ledger.settle(make_settlement(7), validator)
        assert caught.value.remedy
        other.execute("ROLLBACK")
        ledger.settle(make_settlement(7), validator)
        assert ledger.height == 7


@pytest.mark.only("sqlite")
def test_nobody_else_writes_between_what_a_settlement_reads_and_what_it_writes(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.seal
    tried: list[str] = []

    def interrupted(*arguments: Any) -> Any:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            tried.append("BEGIN IMMEDIATE")
        return real(*arguments)

    with Ledger.open(path) as ledger:
        monkeypatch.setattr(store, "seal", interrupted)
        ledger.settle(make_settlement(7), validator)
    assert tried


@pytest.mark.parametrize(("n_lost", "height"), [(0, 7), (1, 7), (3, 7), (4, 6), (5, 6)])
def test_whoever_loses_a_race_tries_four_times(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch, n_lost: int, height: int
) -> None:
    """Lost as on a server that lets another transaction go first; it is told when it gives up."""
    real = store.write_round
    lost: list[int] = []

    def lose(connection: Any, sealed: SealedRound) -> None:
        if len(lost) < n_lost:
            lost.append(sealed.row.round)
            raise LedgerRaceError("another was first", remedy="try again")
        real(connection, sealed)

    with Ledger.open(path) as ledger:
        monkeypatch.setattr(store, "write_round", lose)
        with contextlib.nullcontext() if height == 7 else pytest.raises(LedgerRaceError, match="another was first"):
            ledger.settle(make_settlement(7), validator)
        assert (ledger.height, lost) == (height, [7] * min(n_lost, 4))


@pytest.mark.only("sqlite")
def test_a_full_disk_leaves_the_ledger_as_it_was(path: Path, make_settlement: Make, validator: Keypair) -> None:
    """SQLite is told that the file may not grow, and reports it as it reports a full disk."""
    many = tuple(
        ReceiptEntry(hotkey=f"{index:064x}", receipt_hash="00" * 32, status="missing", score=0, struck=False)
        for index in range(2000)
    )
    with Ledger.open(path) as ledger:
        before = list(ledger.dump())
        ledger._engine.dispose()

        def limit(raw: sqlite3.Connection, _: object) -> None:
            raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")

        event.listen(ledger._engine, "connect", limit)
        with pytest.raises(LedgerError, match="disk is full") as caught:
            ledger.settle(make_settlement(7, entries=many), validator)
        assert "space" in caught.value.remedy
        assert list(ledger.dump()) == before
    assert verify_ledger(path).ok


@pytest.mark.parametrize(("table", "column"), TABLES.items())
def test_rows_are_never_changed_nor_deleted_nor_replaced_even_by_other_programs(
    database: Database, path: Path, table: str, column: str
) -> None:
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
    if database.kind == "sqlite":
        statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    else:
        statements.append(f"UPDATE {table} SET {column} = {column} WHERE false")
        statements.append(f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING")
        statements += [f"TRUNCATE {table} CASCADE", f"DELETE FROM ONLY {table}"]
    for statement in statements:
        with pytest.raises(database.refused):
            database.run(path, statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO postings VALUES (3, 9, 'owner:x', 'emission', -1)", "sealed"),
        (
            f"INSERT INTO postings VALUES (7, 0, 'participant:{'00' * 32}', 'emission', 1)",
            "without an accepted receipt",
        ),
        (f"INSERT INTO receipts VALUES (3, '{'00' * 32}', '', 'missing', 0, 0)", "sealed"),
        (f"INSERT INTO receipts VALUES (7, '{'00' * 32}', '', 'rejected', 1, 0)", "(?i)check constraint"),
        (
            "INSERT INTO rounds SELECT 8, era, 0, 0, 0, supply, 1, 0, '', '', '', 0, '','', '', '', '', '' FROM rounds",
            "in order",
        ),
        (
            "INSERT INTO rounds SELECT 7, era, 5, 5, 0, supply, 1, 0, '', '', '', 0, '','', '', '', '', '' FROM rounds",
            "sum to zero",
        ),
    ],
)
def test_rows_that_break_a_rule_are_refused_even_from_other_programs(
    database: Database, path: Path, statement: str, reason: str
) -> None:
    with pytest.raises(database.refused, match=reason):
        database.run(path, statement)


def test_an_amount_is_an_integer_even_from_other_programs(database: Database, path: Path) -> None:
    refused = sqlite3.IntegrityError if database.kind == "sqlite" else psycopg.errors.InvalidTextRepresentation
    with pytest.raises(refused, match=r"much|cannot store TEXT"):
        database.run(path, "INSERT INTO postings VALUES (7, 0, 'issuance', 'emission', 'much')")
