"""Ledgers of earlier revisions, for those who bring them up."""

import contextlib
import sqlite3
from pathlib import Path

OLD_POSTINGS = """CREATE TABLE postings (round INTEGER NOT NULL, position INTEGER NOT NULL, account TEXT NOT NULL,
 kind TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (round, position), UNIQUE (round, account, kind),
 FOREIGN KEY(round) REFERENCES rounds (round) DEFERRABLE INITIALLY DEFERRED,
 CHECK (kind IN ('emission', 'release', 'void')), CHECK (amount <> 0)) WITHOUT ROWID, STRICT"""
OLD_RULE = "CREATE TRIGGER postings_old BEFORE INSERT ON postings BEGIN SELECT RAISE(ABORT, 'an old rule'); END"


def put_file_back(path: Path) -> None:
    """Give a ledger's file the tables of revision 0001, with the same rows, and rules of that time."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for (name,) in raw.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {name}")
        raw.execute("DROP TABLE orders")
        raw.execute("DROP INDEX postings_once")
        raw.execute("ALTER TABLE postings RENAME TO newer")
        raw.execute(OLD_POSTINGS)
        raw.execute("INSERT INTO postings SELECT * FROM newer")
        raw.execute("DROP TABLE newer")
        raw.execute("ALTER TABLE rounds DROP COLUMN orders_root")
        raw.execute(OLD_RULE)
        raw.execute("UPDATE alembic_version SET version_num = '0001'")
