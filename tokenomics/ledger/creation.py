"""Making a ledger's tables and first row: whole, or not at all."""

import contextlib
import errno
import os
import secrets
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Connection, insert

from tokenomics._files import sync_folder
from tokenomics.errors import LedgerError
from tokenomics.ledger import migrate, schema
from tokenomics.ledger.connection import file_engine, plain_errors, transaction
from tokenomics.ledger.place import ServerPlace, write_server
from tokenomics.ledger.planning import SealedRound
from tokenomics.ledger.postgres import server_engine
from tokenomics.ledger.rows import GenesisRow
from tokenomics.ledger.writing import write_round


def make_file(path: Path, row: GenesisRow, rounds: Iterable[SealedRound] = ()) -> None:
    """Make a ledger's SQLite file, under a temporary name first and then renamed; everyone may read it.

    Args:
        path: where.
        row: the genesis.
        rounds: those that it has already, in order.

    Raises:
        OSError, LedgerError: the folder can't be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _fill_file(temporary, row, rounds)
        temporary.rename(path)
        sync_folder(path.parent)
    finally:
        for suffix in ("", "-wal", "-shm"):
            temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)


def make_schema(path: Path, row: GenesisRow, place: ServerPlace) -> None:
    """Make a ledger's schema on a server in one transaction, then the file at `<path>.url` that names it.

    A crash in between leaves a schema that no folder knows, and harms nothing.

    Raises:
        OSError: the folder can't be written to.
        LedgerError: the server can't be reached or refuses.
    """
    if not path.parent.is_dir():  # before anything is made that nobody would find again
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    engine = server_engine(place, read_only=False)
    try:
        with transaction(engine, path, writes=True) as connection:
            connection.exec_driver_sql(f'CREATE SCHEMA "{place.schema}"')
            _make_tables(connection, row, schema_name=place.schema)
    finally:
        engine.dispose()
    write_server(path, place)


def _make_tables(connection: Connection, row: GenesisRow, *, schema_name: str | None = None) -> None:
    migrate.run_migrations(connection, schema_name=schema_name)
    values = {"id": 0, "document": row.document, "head": row.head, "signature": row.signature}
    connection.execute(insert(schema.genesis), values)


def _fill_file(path: Path, row: GenesisRow, rounds: Iterable[SealedRound]) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644))
    engine = file_engine(path, read_only=False)
    try:
        with transaction(engine, path, writes=True) as connection:
            _make_tables(connection, row)
            for sealed in rounds:
                write_round(connection, sealed)
    finally:
        engine.dispose()
    # the last connection to close moves the WAL into the file; make sure that the file now stands alone
    with plain_errors(path), contextlib.closing(sqlite3.connect(path)) as connection:
        busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:
        raise LedgerError(f"ledger {path} is held by another process", remedy="stop it and try again")
