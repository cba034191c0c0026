"""The second revision: orders of coldkeys, and postings that they make."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKeyConstraint,
    Integer,
    Text,
    UniqueConstraint,
    inspect,
    text,
)

from tokenomics.ledger.migrations.rewriting import drop_rules, make_postings_anew

revision = "0002"
down_revision = "0001"

_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_KINDS = "kind IN ('emission', 'release', 'void', 'transfer', 'stake', 'unstake', 'burn')"
_IS_PAY = text("kind = 'emission' OR kind = 'release' OR kind = 'void'")


def upgrade() -> None:
    """Make the table of orders, and open postings for theirs. The last revision makes the rules."""
    connection = op.get_bind()
    drop_rules(connection)
    op.add_column("rounds", Column("orders_root", _TEXT, nullable=False, server_default=text("''")))
    if connection.dialect.name == "sqlite":
        make_postings_anew("round", "position")
    else:
        _open_postings(connection)
    op.create_index(
        "postings_once",
        "postings",
        ["round", "account", "kind"],
        unique=True,
        sqlite_where=_IS_PAY,
        postgresql_where=_IS_PAY,
    )
    op.create_table(
        "orders",
        _number("round", key=True),
        _number("position", key=True),
        *(_word(name) for name in ("kind", "coldkey", "source", "destination")),
        *(_number(name) for name in ("amount", "nonce", "expires")),
        *(_word(name) for name in ("signature", "title", "title_signature")),
        _round(),
        UniqueConstraint("coldkey", "nonce"),
        CheckConstraint("kind IN ('transfer', 'stake', 'unstake', 'burn')"),
        CheckConstraint("amount > 0 AND nonce > 0 AND expires >= round AND source <> destination"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def _number(name: str, *, key: bool = False) -> Column[int]:
    return Column(name, _INTEGER, nullable=False, primary_key=key, autoincrement=False)


def _word(name: str) -> Column[str]:
    return Column(name, _TEXT, nullable=False)


def _round() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["round"], ["rounds.round"], deferrable=True, initially="DEFERRED")


def _open_postings(connection: Connection) -> None:
    found = inspect(connection)
    for unique in found.get_unique_constraints("postings"):
        op.drop_constraint(str(unique["name"]), "postings")
    for check in found.get_check_constraints("postings"):
        if "kind" in check["sqltext"]:
            op.drop_constraint(str(check["name"]), "postings")
    op.create_check_constraint("postings_kind_check", "postings", _KINDS)
