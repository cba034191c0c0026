"""The third revision: postings by account within a round, and on SQLite a rule in the place of their unique index."""

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Integer, PrimaryKeyConstraint, Text

from tokenomics.ledger.migrations.rewriting import drop_rules, make_rules

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Change the primary key of postings, and put the rules of today in the place of the old ones.

    The triggers are those of `rules`, and the revisions before make none: one that changes them takes this part over.
    """
    connection = op.get_bind()
    drop_rules(connection)
    if connection.dialect.name == "sqlite":
        _make_postings_anew()
    else:
        op.drop_constraint("postings_pkey", "postings")
        op.create_primary_key("postings_pkey", "postings", ["round", "account", "kind", "position"])
    make_rules(connection)


def _make_postings_anew() -> None:
    """SQLite can't change a table's key: put another in its place, with the same rows; the index goes with the old."""
    op.create_table(
        "new_postings",
        *(_column(name, Integer) for name in ("round", "position")),
        *(_column(name, Text) for name in ("account", "kind")),
        _column("amount", Integer),
        PrimaryKeyConstraint("round", "account", "kind", "position"),
        ForeignKeyConstraint(["round"], ["rounds.round"], deferrable=True, initially="DEFERRED"),
        CheckConstraint("kind IN ('emission', 'release', 'void', 'transfer', 'stake', 'unstake', 'burn')"),
        CheckConstraint("amount <> 0"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.execute("INSERT INTO new_postings SELECT round, position, account, kind, amount FROM postings")
    op.drop_table("postings")
    op.rename_table("new_postings", "postings")


def _column(name: str, kind: type[Integer | Text]) -> Column[object]:
    return Column(name, kind, nullable=False, autoincrement=False)
