"""What several revisions do: put a table in another's place, take the rules away, and make today's."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, Connection, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Text

from tokenomics.ledger.rules import POSTGRES_FUNCTIONS, SQLITE_TRIGGERS, postgres_statements


def drop_rules(connection: Connection) -> None:
    """Take all of the ledger's triggers away, of whatever revision they are."""
    if connection.dialect.name == "sqlite":
        names = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'trigger'").scalars().all()
        for name in names:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        return
    for name in POSTGRES_FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}() CASCADE")  # with its triggers


def make_rules(connection: Connection) -> None:
    """Make the triggers of today."""
    if connection.dialect.name == "sqlite":
        statements = list(SQLITE_TRIGGERS.values())
    else:
        statements = postgres_statements(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    for statement in statements:
        connection.exec_driver_sql(statement)


def make_postings_anew(*key: str) -> None:
    """Give SQLite's postings another primary key, and the constraints of 0002; their indices go with the old table.

    SQLite can't change a table's constraints: so another one with the same rows takes its place.

    Args:
        key: the primary key's columns.
    """
    kinds = {"round": Integer, "position": Integer, "account": Text, "kind": Text, "amount": Integer}
    op.create_table(
        "new_postings",
        *(Column(name, kind(), nullable=False, autoincrement=False) for name, kind in kinds.items()),
        PrimaryKeyConstraint(*key),
        ForeignKeyConstraint(["round"], ["rounds.round"], deferrable=True, initially="DEFERRED"),
        CheckConstraint("kind IN ('emission', 'release', 'void', 'transfer', 'stake', 'unstake', 'burn')"),
        CheckConstraint("amount <> 0"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO new_postings SELECT round, position, account, kind, amount FROM postings")
    op.drop_table("postings")
    op.rename_table("new_postings", "postings")
