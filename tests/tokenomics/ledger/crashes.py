"""Where a ledger under test is kept, and what a crash leaves there."""

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import psycopg
import pytest
from sqlalchemy import Connection, Engine, event

from tokenomics.errors import LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, Verification, checkpoint_path, verify_ledger
from tokenomics.ledger.place import find_server


class Place(Protocol):
    """A ledger that is there, and what crashes make of it."""

    tears_commits: bool
    """Whether `crash_in_commit` can be played."""

    def create(self, genesis: Genesis, signer: Keypair) -> None:
        """Make the ledger."""
        ...

    def open(self, *, read_only: bool = False) -> Ledger:
        """Open it, as another process might at the same time."""
        ...

    def other(self, genesis: Genesis, signer: Keypair) -> Ledger:
        """Make another ledger, in a file elsewhere."""
        ...

    def verify(self, validator: str) -> Verification:
        """Recompute it."""
        ...

    def crash_at(self, statement: int, settle: Callable[[], Any]) -> None:
        """Die before a statement of a settlement, or before its commit if it has fewer; go on with what is left."""
        ...

    def crash_in_commit(self, settle: Callable[[], Any], *, share: float) -> bool:
        """Die while the commit is written, after a share of its bytes; go on, and return whether it was all of it."""
        ...

    def discard(self) -> None:
        """Leave nothing behind."""
        ...


class Crash(BaseException):
    """The process dies here. No `except Exception` stops it."""


class File:
    """A ledger in a SQLite file, in a folder of its own; after a crash, in the folder that the crash left."""

    tears_commits = True

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ledger-model-"))
        self._n_folders = 0
        self.path = self._new_folder() / "ledger.sqlite"

    def create(self, genesis: Genesis, signer: Keypair) -> None:
        """Make the ledger."""
        Ledger.create(self.path, genesis, signer).close()

    def open(self, *, read_only: bool = False) -> Ledger:
        """Open it, as another process might at the same time."""
        return Ledger.open(self.path, read_only=read_only)

    def other(self, genesis: Genesis, signer: Keypair) -> Ledger:
        """Make another ledger, in a file elsewhere."""
        return Ledger.create(self._new_folder() / "ledger.sqlite", genesis, signer)

    def verify(self, validator: str) -> Verification:
        """Recompute it."""
        return verify_ledger(self.path, validator=validator)

    def crash_at(self, statement: int, settle: Callable[[], Any]) -> None:
        """Die before a statement of a settlement, or before its commit if it has fewer; go on with what is left."""
        left = self._new_folder()

        def die(_: Connection) -> None:
            self._copy_to(left)
            raise Crash

        with dying_at(statement, die), contextlib.suppress(Crash):
            settle()
            raise AssertionError("it didn't die")
        self.path = left / self.path.name

    def crash_in_commit(self, settle: Callable[[], Any], *, share: float) -> bool:
        """Die while the commit is written, after a share of its bytes; go on with what is left.

        SQLite appends a transaction to the WAL, or writes it over one whose content is in the file already. So a crash
        leaves the file as it was before, and of the WAL the first bytes new and the others old.

        Returns:
            Whether all of the commit was written.
        """
        wal = self.path.with_name(f"{self.path.name}-wal")
        left = self._new_folder()
        self._copy_to(left)
        old = wal.read_bytes() if wal.exists() else b""
        settle()
        new = wal.read_bytes()
        first, end = _written(old, new)
        cut = first + round(share * (end - first))
        (left / wal.name).write_bytes(new[:cut] + old[cut:])
        self.path = left / self.path.name
        return cut == end

    def discard(self) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self._folder)

    def _new_folder(self) -> Path:
        self._n_folders += 1
        folder = self._folder / str(self._n_folders)
        folder.mkdir()
        return folder

    def _copy_to(self, folder: Path) -> None:
        for file in (self.path, self.path.with_name(f"{self.path.name}-wal"), checkpoint_path(self.path)):
            if file.exists():
                shutil.copy(file, folder)


class Server(File):
    """A ledger in a schema of its own on a PostgreSQL server, where a client that dies is a connection that ends."""

    tears_commits = False

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url

    def create(self, genesis: Genesis, signer: Keypair) -> None:
        """Make the ledger."""
        Ledger.create(self.path, genesis, signer, url=self.url).close()

    def crash_at(self, statement: int, settle: Callable[[], Any]) -> None:
        """Cut the connection before a statement, or before the commit; what the client says of it doesn't count."""

        def die(connection: Connection) -> None:
            pid = connection.connection.driver_connection.info.backend_pid
            with self._connected() as other:
                other.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,))
            raise Crash

        with dying_at(statement, die), pytest.raises((Crash, LedgerError)) as caught:
            settle()
        assert caught.type is Crash or "the server went away" in str(caught.value)

    def discard(self) -> None:
        """Drop the schema too."""
        with self._connected() as connection:
            connection.execute(f'DROP SCHEMA IF EXISTS "{find_server(self.path).schema}" CASCADE')
        super().discard()

    def _connected(self) -> psycopg.Connection:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)


def _written(old: bytes, new: bytes) -> tuple[int, int]:
    """Return from where to where a file was written, of which no byte was cut off."""
    shared = min(len(old), len(new))
    (differing,) = np.nonzero(np.frombuffer(old, np.uint8, shared) != np.frombuffer(new, np.uint8, shared))
    places = [*differing[[0, -1]].tolist()] if differing.size else []
    if len(new) > len(old):
        places += [len(old), len(new) - 1]
    return min(places), max(places) + 1


@contextlib.contextmanager
def dying_at(statement: int, die: Callable[[Connection], None]) -> Iterator[None]:
    """Call `die` before statement number `statement` (from 0) that any engine sends, or before the first commit."""
    n_sent = 0

    def before_statement(connection: Connection, *_: object) -> None:
        nonlocal n_sent
        if n_sent == statement:
            die(connection)
        n_sent += 1

    event.listen(Engine, "before_cursor_execute", before_statement)
    event.listen(Engine, "commit", die)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", before_statement)
        event.remove(Engine, "commit", die)
