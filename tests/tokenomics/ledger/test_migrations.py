"""Revisions: what they make is what the program knows, an older ledger is brought up, a newer one is let be."""

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Column, Connection, MetaData, create_engine, text

from tests.tokenomics.ledger.database import Database, PostgresDatabase
from tests.tokenomics.ledger.older import Revision, put_file_back
from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.ledger import Ledger, schema, verify_ledger
from tokenomics.ledger.connection import transaction
from tokenomics.ledger.migrate import known_revisions, run_migrations, upgrade

Make = Callable[..., Any]


@pytest.fixture
def reading(path: Path) -> Iterator[Connection]:
    """A transaction on the ledger at `path`."""
    with Ledger.open(path, read_only=True) as ledger, transaction(ledger._engine, path) as connection:
        yield connection


def lines(sql: str) -> list[str]:
    """The lines of a CREATE TABLE, one a column or rule, also where it was altered or renamed since."""
    return [line.strip(" \t,") for line in re.split(r"\n|(?<=NOT NULL), ", sql.replace('"', ""))]


def put_back(database: Database, path: Path, revision: Revision = "0001") -> None:
    """Give a ledger the tables of an earlier revision, with the same rows, and rules of that time."""
    if not isinstance(database, PostgresDatabase):
        put_file_back(path, revision)
        return
    database.run(
        path,
        "ALTER TABLE postings DROP CONSTRAINT postings_pkey",
        "ALTER TABLE postings ADD PRIMARY KEY (round, position)",
        f"UPDATE alembic_version SET version_num = '{revision}'",  # noqa: S608
    )
    if revision == "0001":
        database.run(
            path,
            "DROP TABLE orders",
            "DROP INDEX postings_once",
            "ALTER TABLE postings DROP CONSTRAINT postings_kind_check",
            "ALTER TABLE postings ADD CHECK (kind IN ('emission', 'release', 'void'))",
            "ALTER TABLE postings ADD UNIQUE (round, account, kind)",
            "ALTER TABLE rounds DROP COLUMN orders_root",
        )


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_ledger_of_an_earlier_revision_is_brought_up_and_settles_on(
    database: Database, path: Path, make_settlement: Make, validator: Any, revision: Revision
) -> None:
    """Every byte that it told is told again; the old rules are gone and today's are there."""
    with Ledger.open(path) as ledger:
        told = list(ledger.dump())
    put_back(database, path, revision)
    with pytest.raises(LedgerError, match=f"revision {revision}, and this program knows 0003") as caught:
        Ledger.open(path)
    assert "subnet ledger upgrade" in caught.value.remedy
    assert upgrade(path) == (revision, "0003")
    assert verify_ledger(path).errors == []
    with Ledger.open(path) as ledger:
        assert list(ledger.dump()) == told
        ledger.settle(make_settlement(7), validator)
    assert verify_ledger(path).errors == []


def differences(connection: Connection, metadata: MetaData) -> list[Any]:
    """What alembic would write a revision for. It doesn't see that one index is PostgreSQL's alone."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    def is_here(_: object, name: str | None, *__: object) -> bool:
        return name != "postings_once" or connection.dialect.name == "postgresql"

    options = {"compare_type": True, "compare_server_default": True, "include_object": is_here}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


def test_the_revisions_make_the_tables_that_the_program_knows(reading: Connection) -> None:
    assert differences(reading, schema.metadata) == []
    changed = MetaData()
    for table in schema.metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["postings"].append_column(Column("memo", BigInteger))
    assert [difference[0] for difference in differences(reading, changed)] == ["add_column"]


def test_the_revisions_make_the_same_checks_and_keys(database: Database, path: Path, tmp_path: Path) -> None:
    """Which alembic doesn't compare."""
    if isinstance(database, PostgresDatabase):
        query = (
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = current_schema()::regnamespace AND conrelid::regclass::text <> 'alembic_version'"
        )
        found = {(table.rpartition(".")[2], definition) for table, definition in database.run(path, query)}
        engine = create_engine(database.url)
        with engine.connect() as connection:
            connection.exec_driver_sql("CREATE SCHEMA bare")
            connection.exec_driver_sql("SET search_path = bare")
            schema.metadata.create_all(connection, checkfirst=False)
            bare = {(table.rpartition(".")[2], one) for table, one in connection.exec_driver_sql(query)}
        engine.dispose()
    else:
        query = "SELECT name, sql FROM sqlite_schema WHERE type <> 'trigger' AND sql > '' AND name <> 'alembic_version'"
        found = {(name, line) for name, sql in database.run(path, query) for line in lines(sql)}
        engine = create_engine(f"sqlite:///{tmp_path / 'bare.sqlite'}")
        schema.metadata.create_all(engine)
        with engine.connect() as connection:
            rows = connection.execute(text(query)).all()
        engine.dispose()
        bare = {(name, line) for name, sql in rows for line in lines(sql)}
    assert len(found) > 12
    assert found == bare


def test_the_newest_revision_is_the_one_that_the_program_asks_for() -> None:
    assert known_revisions()[0] == schema.REVISION


@pytest.mark.only("sqlite")
def test_a_file_from_before_there_were_revisions_is_brought_up_with_every_byte_it_told(
    database: Database, path: Path
) -> None:
    """Such as `subnet` wrote them until then: the same tables, and 3 in the file's own version number."""
    with Ledger.open(path) as ledger:
        told = list(ledger.dump())
    put_back(database, path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TABLE alembic_version")
        raw.execute("PRAGMA user_version=3")
    with pytest.raises(LedgerError, match="revision version 3, and this program knows 0003") as caught:
        Ledger.open(path)
    assert "subnet ledger upgrade" in caught.value.remedy
    assert any(error.startswith("schema: revision version 3, not 0003") for error in verify_ledger(path).errors)
    assert upgrade(path) == ("version 3", "0003")
    with Ledger.open(path) as ledger:
        assert list(ledger.dump()) == told
    assert verify_ledger(path).errors == []


def test_a_ledger_that_is_up_to_date_is_left_as_it_is(path: Path) -> None:
    assert upgrade(path) == ("0003", "0003")
    assert verify_ledger(path).errors == []


@pytest.mark.parametrize("run", [Ledger.open, upgrade])
def test_a_ledger_of_a_newer_program_is_neither_opened_nor_changed(
    database: Database, path: Path, run: Callable[[Path], object]
) -> None:
    database.run(path, "UPDATE alembic_version SET version_num = '0099'")
    with pytest.raises(LedgerError, match="revision 0099, and this program knows 0003") as caught:
        run(path)
    assert "needs a newer flower-subnet" in caught.value.remedy
    assert database.run(path, "SELECT version_num FROM alembic_version") == [("0099",)]


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("run", [Ledger.open, upgrade])
def test_a_file_too_old_to_be_brought_up_says_what_reads_it(path: Path, run: Callable[[Path], object]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("DROP TABLE alembic_version")
        raw.execute("PRAGMA user_version=2")
    with pytest.raises(LedgerError, match="version 2, and this program knows 0003") as caught:
        run(path)
    assert "play the run anew" in caught.value.remedy


def test_a_revision_that_fails_changes_nothing(database: Database, path: Path, validator: Any) -> None:
    """Running the first one twice fails at its first table; the transaction takes all of it back."""
    with Ledger.open(path) as ledger:
        told = list(ledger.dump())
        with pytest.raises(LedgerError, match="already exists"):  # noqa: PT012, SIM117 - the commit could raise, too
            with transaction(ledger._engine, path, writes=True) as connection:
                connection.exec_driver_sql("DELETE FROM alembic_version")
                run_migrations(connection)
        assert list(ledger.dump()) == told
    assert verify_ledger(path, validator=validator.public).errors == []


def test_tables_without_a_revision_do_not_open(database: Database, path: Path) -> None:
    database.run(path, "DELETE FROM alembic_version")
    with pytest.raises(LedgerCorruptError, match="no tables of any revision"):
        Ledger.open(path)
