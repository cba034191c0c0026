"""Connecting to the ledger's PostgreSQL server, and saying in plain words what the server refuses."""

import os
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event

from tokenomics.errors import LedgerCorruptError, LedgerError, LedgerRaceError
from tokenomics.ledger.place import ServerPlace, parse_url

LOCK_TIMEOUT_MS: Final = 5_000
"""How long a writer waits for another before it gives up."""
CONNECT_TIMEOUT_S: Final = 10

_UNREACHABLE: Final = (
    LedgerError,
    "the server can't be reached, or lets nobody in",
    "check that it runs, and host, port, database and user; the password is taken from PGPASSWORD or ~/.pgpass",
)
_GONE: Final = (
    LedgerError,
    "the server went away",
    "start it and go on; a round that was being settled is there whole or not at all",
)
_RACE: Final = (
    LedgerRaceError,
    "another validator wrote at the same time",
    "let one validator settle a subnet; open the ledger to see how far it is, and verify it",
)
# by SQLSTATE, or its first two characters, the class (https://www.postgresql.org/docs/current/errcodes-appendix.html)
_REMEDIES: Final[dict[str, tuple[type[LedgerError], str, str]]] = {
    "53100": (LedgerError, "the server's disk is full", "free some space there; nothing of the round was written"),
    "58030": (LedgerError, "the server's disk can't be read or written", "check that disk"),
    "55P03": (LedgerError, "another connection is writing to it", "stop the other validator, or try again"),
    "40001": _RACE,
    "40P01": _RACE,
    "23505": _RACE,
    "25006": (LedgerError, "it may only be read", "write to the primary server, not to a standby"),
    "42501": (LedgerError, "access is denied", "grant the user CREATE on the database, or the rights on its schema"),
    "42P01": (LedgerCorruptError, "its tables aren't there", "restore them from a backup, or check the database"),
    "3F000": (LedgerCorruptError, "its schema isn't there", "restore it from a backup, or check the database"),
    "08": _GONE,
    "57": _GONE,
    "23": (LedgerError, "a rule of the ledger forbids this", "settle whole rounds, in order"),
    "XX": (LedgerCorruptError, "it is damaged", "restore it from a backup"),
}


def server_engine(place: ServerPlace, *, read_only: bool) -> Engine:
    """Return an engine whose connections see one ledger's schema.

    Args:
        place: where it is.
        read_only: only look, also at a server that is too careless to write to.

    Raises:
        LedgerError: the driver isn't installed.
    """
    try:
        url = parse_url(place.url)
        engine = create_engine(url, pool_pre_ping=True, connect_args=_parameters(url))
    except ModuleNotFoundError as error:
        remedy = "pip install 'flower-subnet[postgres]'"
        raise LedgerError(f"a ledger on PostgreSQL needs the module {error.name}", remedy=remedy) from error

    @event.listens_for(engine, "connect", insert=True)  # before SQLAlchemy asks for the default schema
    def _connected(connection: Any, _record: object) -> None:
        connection.autocommit = True
        with connection.cursor() as cursor:
            _set_up(cursor, place.schema, read_only=read_only)
        connection.autocommit = False

    return engine


def _parameters(url: URL) -> dict[str, str]:
    """Return libpq's parameters beside those of the URL."""
    found = {"connect_timeout": str(CONNECT_TIMEOUT_S)}
    if "PGREQUIREAUTH" not in os.environ:
        # a folder from elsewhere can name any server: none gets to read a password
        found["require_auth"] = "!password,!md5"
    return {name: value for name, value in found.items() if name not in url.query}


def _set_up(cursor: Any, schema: str, *, read_only: bool) -> None:
    settings = {"search_path": f'"{schema}"', "lock_timeout": str(LOCK_TIMEOUT_MS)}
    for name, value in settings.items():
        cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
    if read_only:
        return
    # a server may ask for more than `on`, so only what promises less is changed
    cursor.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    cursor.execute("SELECT current_setting('fsync'), current_setting('server_encoding')")
    fsync, encoding = cursor.fetchone()
    if fsync != "on":
        message = "the PostgreSQL server runs with fsync off: a power cut can lose settled rounds"
        raise LedgerError(message, remedy="set fsync = on in postgresql.conf and reload it")
    if encoding != "UTF8":
        message = f"the PostgreSQL database has the encoding {encoding}, not UTF8"
        raise LedgerError(message, remedy="make one with `createdb --encoding UTF8 --template template0`")


def translate(error: BaseException, path: Path, *, lost: bool) -> LedgerError:
    """Return what psycopg raised as the ledger's own error.

    Args:
        error: psycopg's.
        path: the ledger's.
        lost: whether there was a connection, and no longer is.
    """
    state = getattr(error, "sqlstate", None)
    known = _GONE if lost else _UNREACHABLE if state is None else _REMEDIES.get(state) or _REMEDIES.get(state[:2])
    kind, problem, remedy = known or (LedgerError, "PostgreSQL refuses", "see the message")
    said = " ".join(str(error).split())
    return kind(f"ledger {path} on PostgreSQL: {problem} ({said})", remedy=remedy)
