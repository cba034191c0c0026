"""Opening the ledger's database, and SQLite's file above all; saying in plain words what SQLite refuses."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.ledger import postgres
from tokenomics.ledger.place import find_server

BUSY_TIMEOUT_MS = 5_000
"""How long a writer waits for another before it gives up."""

_REMEDIES: Final[dict[int, tuple[type[LedgerError], str, str]]] = {
    sqlite3.SQLITE_FULL: (LedgerError, "the disk is full", "free some space; nothing of the round was written"),
    sqlite3.SQLITE_IOERR: (LedgerError, "the disk can't be read or written", "check the disk and its free space"),
    sqlite3.SQLITE_BUSY: (LedgerError, "another process is writing to it", "stop the other process, or try again"),
    sqlite3.SQLITE_LOCKED: (LedgerError, "another connection is writing to it", "close the other one, or try again"),
    sqlite3.SQLITE_READONLY: (LedgerError, "it may only be read", "check owner and permissions of file and folder"),
    sqlite3.SQLITE_CANTOPEN: (LedgerError, "it can't be opened", "check that file and folder are there and are yours"),
    sqlite3.SQLITE_PERM: (LedgerError, "access is denied", "check owner and permissions of file and folder"),
    sqlite3.SQLITE_CONSTRAINT: (LedgerError, "a rule of the ledger forbids this", "settle whole rounds, in order"),
    sqlite3.SQLITE_NOTADB: (LedgerCorruptError, "it is no database", "give the ledger's own file, or a backup"),
    sqlite3.SQLITE_CORRUPT: (LedgerCorruptError, "it is damaged", "restore it from a backup"),
}


def open_engine(path: Path, *, read_only: bool) -> Engine:
    """Return an engine on the ledger at `path`: its file, or the server that is named there.

    Args:
        path: the ledger's; nothing is ever made here.
        read_only: change nothing, and also read where nothing may be written.

    Raises:
        LedgerError: there is no ledger, or the server's driver isn't installed.
    """
    server = find_server(path)
    return (
        file_engine(path, read_only=read_only)
        if server is None
        else postgres.server_engine(server, read_only=read_only)
    )


def file_engine(path: Path, *, read_only: bool) -> Engine:
    """Return an engine on an existing SQLite file. Its transactions are immediate with the option `writes=True`."""

    def connect() -> sqlite3.Connection:
        return _connect_read_only(path) if read_only else _connect(path)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextlib.contextmanager
def transaction(engine: Engine, path: Path, *, writes: bool = False) -> Iterator[Connection]:
    """Open a connection with one transaction: committed at the end, or rolled back by any error.

    What it reads is one state of the database, and where it writes it is serializable.

    Raises:
        LedgerRaceError: PostgreSQL let another validator's transaction go first; only where this one writes.
        LedgerError: the database refuses; the message says why, the remedy what to do.
    """
    options: dict[str, Any] = {"writes": writes}
    if engine.dialect.name == "postgresql":
        options = {
            "isolation_level": "SERIALIZABLE" if writes else "REPEATABLE READ",
            "postgresql_readonly": not writes,
        }
    with plain_errors(path), engine.connect() as connection:
        connection = connection.execution_options(**options)  # noqa: PLW2901 - SQLAlchemy's own idiom
        with connection.begin():
            yield connection


@contextlib.contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn what a database and its driver raise into the ledger's own errors.

    Raises:
        LedgerError: whatever was refused within.
    """
    try:
        yield
    except DBAPIError as error:
        cause = error.orig or error
        if isinstance(cause, sqlite3.Error):
            raise _translate(cause, path) from error
        raise postgres.translate(cause, path, lost=error.connection_invalidated) from error
    except sqlite3.Error as error:
        raise _translate(error, path) from error


def _translate(error: BaseException, path: Path) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", None)
    # the low byte is the primary result code, the rest says more (https://sqlite.org/rescode.html)
    known = None if code is None else _REMEDIES.get(code & 0xFF)
    kind, problem, remedy = known or (LedgerError, "SQLite refuses", "see the message")
    return kind(f"ledger {path}: {problem} ({error})", remedy=remedy)


def _connect(path: Path) -> sqlite3.Connection:
    connection = _raw(path, "mode=rw")
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _connect_read_only(path: Path) -> sqlite3.Connection:
    connection = _raw(path, "mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        connection.close()
        # where nothing may be written SQLite can't make the WAL's index; without a WAL it isn't needed either
        wal = path.with_name(f"{path.name}-wal")
        unwritable = error.sqlite_errorcode & 0xFF in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY}
        if not unwritable or not path.is_file() or (wal.exists() and wal.stat().st_size):
            raise
        connection = _raw(path, "mode=ro&immutable=1")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    connection.execute("PRAGMA query_only=ON")
    return connection


def _raw(path: Path, options: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{options}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_MS / 1000,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        connection.execute("PRAGMA trusted_schema=OFF")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
