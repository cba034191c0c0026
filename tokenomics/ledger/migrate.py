"""Which revision a ledger's tables are at, and bringing them to the one that this program knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect

from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.ledger import schema
from tokenomics.ledger.connection import open_engine, transaction
from tokenomics.ledger.place import url_path

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "alembic_version"
_NONE: Final = "none"
_UNNUMBERED: Final = "version 3"
"""What the files were called that had the tables of revision 0001, before there were revisions."""


def revision_of(connection: Connection) -> str:
    """Return the revision that a ledger's tables are at; of a file from before there were any, `version N`."""
    if inspect(connection).has_table(VERSION_TABLE):
        found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalars().all()  # noqa: S608
        return ", ".join(map(str, found)) or _NONE
    if connection.dialect.name == "sqlite":
        return f"version {connection.exec_driver_sql('PRAGMA user_version').scalar()}"
    return _NONE


def check_revision(connection: Connection, path: Path) -> None:
    """Refuse a ledger whose tables are at another revision than this program's.

    Raises:
        LedgerCorruptError: there are no tables, or none that alembic made.
        LedgerError: they are; the remedy says which way out there is.
    """
    found = revision_of(connection)
    if found == _NONE:
        more = f", mend {url_path(path)}, or grant this user USAGE on its schema and SELECT on its tables"
        remedy = f"restore a backup{more if connection.dialect.name == 'postgresql' else ''}"
        raise LedgerCorruptError(f"ledger {path} has no tables of any revision", remedy=remedy)
    if found != schema.REVISION:
        message = f"{path} has ledger revision {found:.40}, and this program knows {schema.REVISION}"
        raise LedgerError(message, remedy=_remedy(found))


def refuse_older(path: Path) -> None:
    """Refuse a ledger of an earlier revision, before somebody takes its other tables for damage.

    Anything else that may be wrong with it is left to whoever looks closer.

    Raises:
        LedgerError: `upgrade` would bring it up.
    """
    engine = open_engine(path, read_only=True)
    try:
        with transaction(engine, path) as connection:
            found = revision_of(connection)
            if found != schema.REVISION and found in _upgradable():
                check_revision(connection, path)
    except LedgerCorruptError:
        return
    finally:
        engine.dispose()


def upgrade(path: Path) -> tuple[str, str]:
    """Bring a ledger's tables to this program's revision, in one transaction. No row changes.

    Args:
        path: the ledger's; no validator may be at work.

    Returns:
        The revisions before and after.

    Raises:
        LedgerError: there is no ledger, it is newer than this program, or too old.
    """
    engine = open_engine(path, read_only=False)
    try:
        with transaction(engine, path, writes=True) as connection:
            before = revision_of(connection)
            if before not in _upgradable():
                check_revision(connection, path)
            run_migrations(connection, stamp="0001" if before == _UNNUMBERED else None)
            return before, revision_of(connection)
    finally:
        engine.dispose()


def run_migrations(connection: Connection, *, schema_name: str | None = None, stamp: str | None = None) -> None:
    """Bring tables to the newest revision, within a transaction that the caller opened.

    Args:
        connection: within a transaction.
        schema_name: PostgreSQL's schema where it was made in this very transaction.
        stamp: the revision that tables without one are at.
    """
    from alembic import command

    config = _config()
    config.attributes.update(connection=connection, schema_name=schema_name)
    if stamp:
        command.stamp(config, stamp)
    command.upgrade(config, "head")


def known_revisions() -> list[str]:
    """Return all revisions, newest first."""
    from alembic.script import ScriptDirectory

    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()]


def _upgradable() -> set[str]:
    return {*known_revisions(), _UNNUMBERED}


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    folder = str(Path(__file__).parent / "migrations").replace("%", "%%")
    config.set_main_option("script_location", folder)
    config.set_main_option("path_separator", "os")
    return config


def _remedy(found: str) -> str:
    if found in _upgradable():
        return "bring it up with `subnet ledger upgrade`, when no validator is at work"
    if found in {"version 1", "version 2"}:
        return "an older one is read by the flower-subnet that made it; play the run anew for this one"
    return "give a ledger; a newer one needs a newer flower-subnet"
