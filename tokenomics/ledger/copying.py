"""A ledger's file copied whole, while a validator may be writing to it."""

import contextlib
import sqlite3
from pathlib import Path

from tokenomics.errors import LedgerError
from tokenomics.ledger.connection import open_engine, plain_errors
from tokenomics.ledger.store import Ledger, rewrite_checkpoint


def copy_ledger(source: Path, target: Path) -> None:
    """Copy a ledger and its checkpoint, as of the last round that was settled when it began.

    The copy is one file with no write-ahead log beside it.

    Args:
        source: the ledger's file.
        target: the file to make, in a folder that exists.

    Raises:
        LedgerError: there is no ledger at `source`, it can't be read, or something is at `target` already.
        LedgerCorruptError: it is damaged, or rounds that its checkpoint names are missing.
    """
    if target.exists():
        raise LedgerError(f"{target} is there already", remedy="name a new file")
    Ledger.open(source, read_only=True).close()  # whole, as far as its checkpoint knows
    engine = open_engine(source, read_only=True)
    try:
        with (
            plain_errors(source),
            contextlib.closing(engine.raw_connection()) as whole,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            whole.driver_connection.backup(copy)  # type: ignore[union-attr]
            copy.execute("PRAGMA journal_mode=DELETE")
    finally:
        engine.dispose()
    rewrite_checkpoint(target)
