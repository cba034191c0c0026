"""The two databases as tests see them: where ledgers are made, and how another program would write to them."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger
from tokenomics.ledger.place import find_server


class Database(Protocol):
    """Makes ledgers, and writes to them past the ledger's own code."""

    kind: str
    refused: type[Exception]
    """What its driver raises where a rule of the ledger forbids a statement."""

    def create(self, path: Path, genesis: Genesis, signer: Keypair) -> Ledger:
        """Make a ledger."""
        ...

    def run(self, path: Path, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as a program that isn't the ledger, all or none; return the rows of the last."""
        ...

    def tamper(self, path: Path, *statements: str) -> int:
        """Run statements that no trigger, check or key stops; return how many rows they changed."""
        ...

    def forget(self, path: Path) -> None:
        """Remove the ledger from its path."""
        ...


class SqliteDatabase:
    """Ledgers in files."""

    kind = "sqlite"
    refused = sqlite3.IntegrityError

    def create(self, path: Path, genesis: Genesis, signer: Keypair) -> Ledger:
        """Make a ledger."""
        return Ledger.create(path, genesis, signer)

    def run(self, path: Path, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as another program."""
        with contextlib.closing(sqlite3.connect(path)) as raw, raw:
            return [raw.execute(statement).fetchall() for statement in statements][-1]

    def tamper(self, path: Path, *statements: str) -> int:
        """Run statements that nothing stops."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
            triggers = raw.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                raw.execute(f"DROP TRIGGER {name}")
            raw.execute("PRAGMA ignore_check_constraints=ON")
            changed = sum(max(raw.execute(statement).rowcount, 0) for statement in statements)
            for _, sql in triggers:
                raw.execute(sql)
        return changed

    def forget(self, path: Path) -> None:
        """Remove the ledger from its path."""
        path.unlink()


class PostgresDatabase:
    """Ledgers on a server, each in a schema of its own."""

    kind = "postgresql"
    refused = psycopg.errors.IntegrityError

    def __init__(self, url: str) -> None:
        self.url = url

    def create(self, path: Path, genesis: Genesis, signer: Keypair) -> Ledger:
        """Make a ledger."""
        return Ledger.create(path, genesis, signer, url=self.url)

    @contextlib.contextmanager
    def connect(self, path: Path) -> Iterator[psycopg.Connection]:
        """Connect as its owner, to the schema of a ledger."""
        place = find_server(path)
        assert place is not None
        with psycopg.connect(self.url.replace("+psycopg", "")) as raw:
            raw.execute(f'SET search_path = "{place.schema}"')
            yield raw

    def run(self, path: Path, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as another program."""
        with self.connect(path) as raw:
            found = [raw.execute(statement) for statement in statements][-1]
            return found.fetchall() if found.description else []

    def tamper(self, path: Path, *statements: str) -> int:
        """Run statements that nothing stops."""
        with self.connect(path) as raw:
            checks = raw.execute(
                "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
                " WHERE connamespace = current_schema()::regnamespace AND contype = 'c'"
            ).fetchall()
            for table, name, _ in checks:
                raw.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
            raw.execute("SET session_replication_role = replica")  # in which triggers and foreign keys are off
            changed = sum(max(raw.execute(statement).rowcount, 0) for statement in statements)
            for table, name, definition in checks:
                raw.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition} NOT VALID')
        return changed

    def forget(self, path: Path) -> None:
        """Remove the ledger from its path."""
        path.with_name(f"{path.name}.url").unlink()
