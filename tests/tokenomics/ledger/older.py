"""Ledgers of earlier revisions, for those who bring them up."""

import contextlib
import sqlite3
from pathlib import Path
from typing import Literal

Revision = Literal["0001", "0002"]

_POSTINGS = """CREATE TABLE postings (round INTEGER NOT NULL, position INTEGER NOT NULL, account TEXT NOT NULL,
 kind TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (round, position),{unique}
 FOREIGN KEY(round) REFERENCES rounds (round) DEFERRABLE INITIALLY DEFERRED,
 CHECK (kind IN ({kinds})), CHECK (amount <> 0)) WITHOUT ROWID, STRICT"""
_PAY = "'emission', 'release', 'void'"
_OLD_RULE = "CREATE TRIGGER postings_old BEFORE INSERT ON postings BEGIN SELECT RAISE(ABORT, 'an old rule'); END"


def put_file_back(path: Path, revision: Revision = "0001") -> None:
    """Give a ledger's file the tables of an earlier revision, with the same rows, and rules of that time."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("ALTER TABLE postings RENAME TO newer")
        if revision == "0001":
            raw.execute("DROP TABLE orders")
            raw.execute("ALTER TABLE rounds DROP COLUMN orders_root")
            raw.execute(_POSTINGS.format(unique=" UNIQUE (round, account, kind),", kinds=_PAY))
        else:
            raw.execute(_POSTINGS.format(unique="", kinds=f"{_PAY}, 'transfer', 'stake', 'unstake', 'burn'"))
            is_pay = " OR ".join(f"kind = {kind}" for kind in _PAY.split(", "))
            raw.execute(f"CREATE UNIQUE INDEX postings_once ON postings (round, account, kind) WHERE {is_pay}")
        raw.execute("INSERT INTO postings SELECT * FROM newer")
        raw.execute("DROP TABLE newer")
        raw.execute(_OLD_RULE)
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
