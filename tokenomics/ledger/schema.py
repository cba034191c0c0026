"""The ledger's tables, and the triggers that keep them append-only whoever writes to the file."""
# ruff: noqa: S608 - the statements are put together from this file's own constants

from typing import Final

from sqlalchemy import (
    DDL,
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    event,
    text,
)

SCHEMA_VERSION: Final = 4
"""Kept in the file's `user_version`."""

metadata: Final = MetaData()
_INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")


def _integer(name: str, *, primary_key: bool = False) -> Column[int]:
    return Column(name, _INTEGER, nullable=False, primary_key=primary_key, autoincrement=False)


def _text(name: str, *, primary_key: bool = False) -> Column[str]:
    return Column(name, Text, nullable=False, primary_key=primary_key)


def _round() -> Column[int]:
    """Receipts and postings are written before their round, which seals them: so the key is checked at commit."""
    target = ForeignKey("rounds.round", deferrable=True, initially="DEFERRED")
    return Column("round", _INTEGER, target, nullable=False, primary_key=True, autoincrement=False)


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
    _text("orders_root"),
    _text("head"),
    _text("log_root"),
    _text("signature"),
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
    _text("account"),
    _text("kind"),
    _integer("amount"),
    CheckConstraint("kind IN ('emission', 'release', 'void', 'transfer', 'stake', 'unstake', 'burn')"),
    CheckConstraint("amount <> 0"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

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

# OR and not IN: only so does SQLite see that a search for one of these kinds may use the index
_IS_PAY: Final = text("kind = 'emission' OR kind = 'release' OR kind = 'void'")
Index(
    "postings_once",
    postings.c.round,
    postings.c.account,
    postings.c.kind,
    unique=True,
    sqlite_where=_IS_PAY,
    postgresql_where=_IS_PAY,
)
"""One payment for each round, account and kind; orders may move an account's money as often as they like."""


_UNBALANCED: Final = (
    "(SELECT coalesce(sum(amount), 0) FROM postings WHERE round = NEW.round) <> 0 OR "
    "(SELECT coalesce(sum(amount), 0) FROM postings WHERE round = NEW.round AND kind = 'emission' AND amount > 0)"
    " <> NEW.minted"
)
_HOTKEY: Final = "substr(NEW.account, instr(NEW.account, ':') + 1)"
_IS_PENDING: Final = "substr(NEW.account, 1, 8) = 'pending:'"
_IS_PARTICIPANT: Final = "substr(NEW.account, 1, 12) = 'participant:'"
_UNEARNED: Final = (
    f"NEW.kind = 'emission' AND ({_IS_PENDING} OR {_IS_PARTICIPANT}) AND NOT EXISTS (SELECT 1 FROM receipts"
    f" WHERE round = NEW.round AND hotkey = {_HOTKEY} AND status = 'accepted' AND score > 0)"
)
_NOT_PENDING: Final = (
    f"NEW.kind = 'release' AND NOT ({_IS_PENDING} AND NEW.amount < 0 OR {_IS_PARTICIPANT} AND EXISTS (SELECT 1"
    f" FROM postings WHERE round = NEW.round AND account = 'pending:' || {_HOTKEY} AND kind = 'release'"
    " AND amount = -NEW.amount))"
)
_NOT_STRUCK: Final = (
    f"NEW.kind = 'void' AND NOT (NEW.account = 'burn' AND NEW.amount > 0 OR {_IS_PENDING} AND NEW.amount < 0"
    f" AND EXISTS (SELECT 1 FROM receipts WHERE round = NEW.round AND hotkey = {_HOTKEY} AND struck = 1))"
)
_UNORDERED: Final = (
    "NEW.kind IN ('transfer', 'stake', 'unstake', 'burn') AND NOT EXISTS (SELECT 1 FROM orders WHERE round = NEW.round"
    " AND kind = NEW.kind AND (source = NEW.account AND amount = -NEW.amount"
    " OR destination = NEW.account AND amount = NEW.amount))"
)
_OUT_OF_TURN: Final = "NEW.nonce <> (SELECT coalesce(max(nonce), 0) + 1 FROM orders WHERE coldkey = NEW.coldkey)"
_SEALED: Final = "EXISTS (SELECT 1 FROM rounds WHERE round = NEW.round)"
_OUT_OF_ORDER: Final = "NEW.round <> (SELECT coalesce(max(round), 0) + 1 FROM rounds)"

_RULES: Final = (
    ("genesis_once", "INSERT ON genesis WHEN EXISTS (SELECT 1 FROM genesis)", "a ledger has one genesis"),
    ("rounds_in_order", f"INSERT ON rounds WHEN {_OUT_OF_ORDER}", "rounds are settled in order"),
    ("rounds_balanced", f"INSERT ON rounds WHEN {_UNBALANCED}", "postings sum to zero and to what is minted"),
    ("postings_earned", f"INSERT ON postings WHEN {_UNEARNED}", "nobody is paid without an accepted receipt"),
    ("postings_released", f"INSERT ON postings WHEN {_NOT_PENDING}", "what is released was pending"),
    ("postings_voided", f"INSERT ON postings WHEN {_NOT_STRUCK}", "pay is voided by a strike"),
    ("postings_ordered", f"INSERT ON postings WHEN {_UNORDERED}", "money moves by an order of its owner"),
    ("orders_in_turn", f"INSERT ON orders WHEN {_OUT_OF_TURN}", "orders of a coldkey follow its nonces"),
    ("orders_sealed", f"INSERT ON orders WHEN {_SEALED}", "a settled round is sealed"),
    ("receipts_sealed", f"INSERT ON receipts WHEN {_SEALED}", "a settled round is sealed"),
    ("postings_sealed", f"INSERT ON postings WHEN {_SEALED}", "a settled round is sealed"),
    *(
        (f"{table}_no_{verb.lower()}", f"{verb} ON {table}", f"{table} is append-only")
        for table in ("genesis", "rounds", "receipts", "postings", "orders")
        for verb in ("UPDATE", "DELETE")
    ),
)

SQLITE_TRIGGERS: Final = {
    name: f"CREATE TRIGGER {name} BEFORE {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"
    for name, when, message in _RULES
}
"""By name, the statement that makes it. They guard against accidents and honest tools; `verify` against the rest."""

for _statement in SQLITE_TRIGGERS.values():
    _ddl = DDL(_statement).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    event.listen(metadata, "after_create", _ddl)
