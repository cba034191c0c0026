"""The ledger's tables, on SQLite and on PostgreSQL; `rules` has the triggers that guard them."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

REVISION: Final = "0003"
"""The newest of `migrations`: what a ledger must be at to be opened."""

metadata: Final = MetaData()
INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits, with a sign."""
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""In the order of its bytes, as SQLite has it, whatever a server's locale is."""


def _integer(name: str, *, primary_key: bool = False) -> Column[int]:
    return Column(name, INTEGER, nullable=False, primary_key=primary_key, autoincrement=False)


def _text(name: str, *, primary_key: bool = False, default: str | None = None) -> Column[str]:
    """A column of text, with a default (in SQL) only where rows were there before it."""
    return Column(
        name, TEXT, nullable=False, primary_key=primary_key, server_default=None if default is None else text(default)
    )


def _round() -> Column[int]:
    """Receipts and postings are written before their round, which seals them: so the key is checked at commit."""
    target = ForeignKey("rounds.round", deferrable=True, initially="DEFERRED")
    return Column("round", INTEGER, target, nullable=False, primary_key=True, autoincrement=False)


genesis: Final = Table(
    "genesis",
    metadata,
    _integer("id", primary_key=True),
    _text("document"),
    _text("head"),
    _text("signature"),
    CheckConstraint("id = 0"),
    sqlite_strict=True,
)

rounds: Final = Table(
    "rounds",
    metadata,
    _integer("round", primary_key=True),
    _integer("era"),
    _integer("emission"),
    _integer("minted"),
    _integer("unminted"),
    _integer("supply"),
    _integer("pays"),
    _integer("unpaid_score"),
    _text("base_hash"),
    _text("model_hash"),
    _text("record_hash"),
    _integer("settled_at"),
    _text("receipts_root"),
    _text("postings_root"),
    _text("head"),
    _text("log_root"),
    _text("signature"),
    _text("orders_root", default="''"),
    CheckConstraint("round >= 1 AND pays IN (0, 1)"),
    CheckConstraint("minted >= 0 AND unminted >= 0 AND minted + unminted = emission AND supply >= minted"),
    sqlite_strict=True,
)

receipts: Final = Table(
    "receipts",
    metadata,
    _round(),
    _text("hotkey", primary_key=True),
    _text("receipt_hash"),
    _text("status"),
    _integer("score"),
    _integer("struck"),
    CheckConstraint("status IN ('accepted', 'rejected', 'missing')"),
    CheckConstraint("score = 0 OR (score > 0 AND status = 'accepted' AND struck = 0)"),
    CheckConstraint("struck IN (0, 1)"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

postings: Final = Table(
    "postings",
    metadata,
    _round(),
    _integer("position", primary_key=True),
    _text("account", primary_key=True),
    _text("kind", primary_key=True),
    _integer("amount"),
    PrimaryKeyConstraint("round", "account", "kind", "position"),
    CheckConstraint("kind IN ('emission', 'release', 'void', 'transfer', 'stake', 'unstake', 'burn')"),
    CheckConstraint("amount <> 0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
"""By account within a round: what is looked up is a round's payment to somebody, for which no index is needed then.

One payment for each round, account and kind; orders may move an account's money as often as they like. On SQLite the
rule `postings_once` sees to it: a unique index would make the file half as large again.
"""

Index(
    "postings_once",
    postings.c.round,
    postings.c.account,
    postings.c.kind,
    unique=True,
    postgresql_where=text("kind = 'emission' OR kind = 'release' OR kind = 'void'"),
).ddl_if(dialect="postgresql")

orders: Final = Table(
    "orders",
    metadata,
    _round(),
    _integer("position", primary_key=True),
    _text("kind"),
    _text("coldkey"),
    _text("source"),
    _text("destination"),
    _integer("amount"),
    _integer("nonce"),
    _integer("expires"),
    _text("signature"),
    _text("title"),
    _text("title_signature"),
    UniqueConstraint("coldkey", "nonce"),
    CheckConstraint("kind IN ('transfer', 'stake', 'unstake', 'burn')"),
    CheckConstraint("amount > 0 AND nonce > 0 AND expires >= round AND source <> destination"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)
