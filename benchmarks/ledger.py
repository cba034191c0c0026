"""What the ledger costs: settling beside the bare inserts of the same rows, verifying beside reading and hashing.

`python -m benchmarks.ledger [--payments 1000] [--rounds 100] [--vesting 20] [--repeat 5] [--cpu]`

The bare inserts go by plain sqlite3's `executemany` into tables of the same columns without triggers, in one
transaction, with the same durability (WAL, synchronous=FULL). They and a settlement take turns, and the medians are
compared. Two more figures say what that consists of: writing the checkpoint's file, and the bare inserts with as many
rows a statement as settling has. Reading and hashing is one pass over all rows by plain sqlite3, each row as JSON into
one SHA-256; it and verifying take turns, too. Bars: settling at least half as fast as the bare inserts, verifying in
less than 3 times the time of reading and hashing. The exit status is 1 if one is missed. With `--cpu` all times are the
processor's, for a machine that others use meanwhile; waiting for the disk isn't in them.
"""

# ruff: noqa: S608 - the statements are put together from this file's own constants

import argparse
import contextlib
import hashlib
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from tokenomics import HeightSchedule, Shares, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, ReceiptEntry, Settlement, verify_ledger
from tokenomics.ledger.checkpoint import write_checkpoint
from tokenomics.ledger.writing import ROWS_A_STATEMENT

SIGNER = Keypair.from_seed(bytes(32))
Clock: TypeAlias = Callable[[], float]
TABLES = ("rounds", "receipts", "postings")
WAYS = ("settled", "bare", "bulk", "checkpoint")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    wanted = _parser().parse_args(arguments)
    clock = time.thread_time if wanted.cpu else time.perf_counter
    with tempfile.TemporaryDirectory(prefix="ledger-bench-") as folder:
        path = Path(folder) / "ledger.sqlite"
        found = settle(path, wanted.payments, wanted.rounds, vesting=wanted.vesting, clock=clock)
        settled, bare, bulk, checkpoint = (1e3 * statistics.median(found[name]) for name in WAYS)
        print(
            f"settling {wanted.payments:,} payments, vesting {wanted.vesting}: {settled:.1f} ms; bare inserts of the"
            f" same rows {bare:.1f} ms: {bare / settled:.2f} as fast, .5 wanted"
        )
        print(
            f"the checkpoint's file {checkpoint:.1f} ms; bare inserts, many rows a statement, {bulk:.1f} ms; the ledger"
            f" takes {path.stat().st_size / 1e6:.1f} MB"
        )
        verified, hashed = [], []
        for _ in range(wanted.repeat):
            verified.append(_timed(lambda: _sound(path), clock))
            hashed.append(_timed(lambda: read_and_hash(path), clock))
        times = statistics.median(verified) / statistics.median(hashed)
        print(
            f"verifying {wanted.rounds * wanted.payments:,} payments: {statistics.median(verified):.2f} s; reading and"
            f" hashing their rows {statistics.median(hashed):.2f} s: {times:.2f} times, less than 3 wanted"
        )
    return 0 if bare / settled >= 0.5 and times < 3 else 1


def settle(path: Path, n_payments: int, n_rounds: int, *, vesting: int, clock: Clock) -> dict[str, list[float]]:
    """Settle rounds, and after each do what it is compared with; returns the seconds of each way, by its name."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    hotkeys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(n_payments)]
    with (
        Ledger.create(path, _genesis(vesting), SIGNER) as ledger,
        contextlib.closing(sqlite3.connect(path)) as source,
        contextlib.closing(sqlite3.connect(path.with_name("bare.sqlite"))) as bare,
        contextlib.closing(sqlite3.connect(path.with_name("bulk.sqlite"))) as bulk,
    ):
        for target in (bare, bulk):
            _prepare(source, target)
        for number in range(1, n_rounds + 1):
            settlement = _settlement(number, hotkeys)
            found["settled"].append(_timed(lambda one=settlement: ledger.settle(one, SIGNER), clock))
            rows = {
                table: source.execute(f"SELECT * FROM {table} WHERE round = ?", (number,)).fetchall()
                for table in TABLES
            }
            found["bare"].append(_timed(lambda given=rows: _insert(bare, given), clock))
            found["bulk"].append(_timed(lambda given=rows: _insert_many(bulk, given), clock))
            signed = ledger.checkpoint
            found["checkpoint"].append(_timed(lambda one=signed: write_checkpoint(path, one), clock))
    return found


def read_and_hash(path: Path) -> str:
    """Read every row by plain sqlite3 and hash it."""
    digest = hashlib.sha256()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for table in TABLES:
            for row in connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2"):
                digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def _prepare(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Give the bare file the ledger's tables and durability, but neither triggers nor foreign keys."""
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    for table in TABLES:
        (sql,) = source.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        target.execute(sql)
    target.commit()


def _insert(target: sqlite3.Connection, rows: dict[str, list[tuple[object, ...]]]) -> None:
    with target:
        for table, found in rows.items():
            marks = ", ".join("?" * len(found[0]))
            target.executemany(f"INSERT INTO {table} VALUES ({marks})", found)


def _insert_many(target: sqlite3.Connection, rows: dict[str, list[tuple[object, ...]]]) -> None:
    with target:
        for table, found in rows.items():
            marks = f"({', '.join('?' * len(found[0]))})"
            for start in range(0, len(found), ROWS_A_STATEMENT):
                some = found[start : start + ROWS_A_STATEMENT]
                values = [value for row in some for value in row]
                target.execute(f"INSERT INTO {table} VALUES {', '.join([marks] * len(some))}", values)


def _sound(path: Path) -> None:
    found = verify_ledger(path)
    assert found.ok, found.errors


def _genesis(vesting: int) -> Genesis:
    return Genesis(
        subnet="bench",
        spec_hash="00" * 32,
        validator=SIGNER.public,
        owner="owner",
        token=Token("BEN"),
        schedule=HeightSchedule(subsidy=10**12, interval=1000),
        shares=Shares(),
        vesting=vesting,
        model_hash="00" * 32,
        validation_root="00" * 32,
        created_at=0,
    )


def _settlement(number: int, hotkeys: Sequence[str]) -> Settlement:
    entries = tuple(
        ReceiptEntry(hotkey=hotkey, receipt_hash=hotkey, status="accepted", score=1 + place, struck=False)
        for place, hotkey in enumerate(hotkeys)
    )
    return Settlement(
        round=number,
        base_hash="00" * 32,
        model_hash="00" * 32,
        record_hash="00" * 32,
        settled_at=number,
        entries=entries,
        unpaid_score=0,
        pays=True,
    )


def _timed(work: Callable[[], object], clock: Clock) -> float:
    began = clock()
    work()
    return clock() - began


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.ledger", description=__doc__.partition("\n")[0])
    parser.add_argument("--payments", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--vesting", type=int, default=20)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--cpu", action="store_true", help="measure the processor's time, not the clock's")
    return parser


if __name__ == "__main__":
    sys.exit(main())
