"""The first revision: genesis, rounds, receipts and postings. Its triggers are made anew by 0002."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Integer, Text, UniqueConstraint

revision = "0001"
down_revision = None

_INTEGER = BigInteger().with_variant(Integer(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _columns(**kinds: str) -> list[Column[Any]]:
    """Return columns in order; `integer`, `text`, and `key` after either for a part of the primary key."""
    types: dict[str, Any] = {"integer": _INTEGER, "text": _TEXT}
    return [
        Column(name, types[kind.split()[0]], nullable=False, primary_key=kind.endswith("key"), autoincrement=False)
        for name, kind in kinds.items()
    ]


def _round() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["round"], ["rounds.round"], deferrable=True, initially="DEFERRED")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "genesis",
        *_columns(id="integer key", document="text", head="text", signature="text"),
        CheckConstraint("id = 0"),
        sqlite_strict=True,
    )
    op.create_table(
        "rounds",
        *_columns(
            round="integer key",
            era="integer",
            emission="integer",
            minted="integer",
            unminted="integer",
            supply="integer",
            pays="integer",
            unpaid_score="integer",
            base_hash="text",
            model_hash="text",
            record_hash="text",
            settled_at="integer",
            receipts_root="text",
            postings_root="text",
            head="text",
            log_root="text",
            signature="text",
        ),
        CheckConstraint("round >= 1 AND pays IN (0, 1)"),
        CheckConstraint("minted >= 0 AND unminted >= 0 AND minted + unminted = emission AND supply >= minted"),
        sqlite_strict=True,
    )
    op.create_table(
        "receipts",
        *_columns(
            round="integer key",
            hotkey="text key",
            receipt_hash="text",
            status="text",
            score="integer",
            struck="integer",
        ),
        _round(),
        CheckConstraint("status IN ('accepted', 'rejected', 'missing')"),
        CheckConstraint("score = 0 OR (score > 0 AND status = 'accepted' AND struck = 0)"),
        CheckConstraint("struck IN (0, 1)"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "postings",
        *_columns(round="integer key", position="integer key", account="text", kind="text", amount="integer"),
        _round(),
        UniqueConstraint("round", "account", "kind"),
        CheckConstraint("kind IN ('emission', 'release', 'void')"),
        CheckConstraint("amount <> 0"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
