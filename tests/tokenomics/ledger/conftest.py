"""A small real ledger on disk, and a hand that tampers with it behind its back."""

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tokenomics import HeightSchedule, Shares, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, ReceiptEntry, Settlement

N_ROUNDS = 6
SCORES = {"alice": 20, "bob": 10, "carol": 0}


def digest(value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


@pytest.fixture
def validator() -> Keypair:
    return Keypair.from_seed(bytes(32))


@pytest.fixture
def make_genesis(validator: Keypair) -> Callable[..., Genesis]:
    """A genesis with halvings after rounds 2 and 4; keywords change fields."""

    def make(**changes: object) -> Genesis:
        fields: dict[str, object] = {
            "subnet": "digits",
            "spec_hash": digest("spec"),
            "validator": validator.public,
            "owner": "team",
            "token": Token("DIG"),
            "schedule": HeightSchedule(subsidy=1_000, interval=2),
            "shares": Shares(),
            "vesting": 0,
            "model_hash": digest("model 0"),
            "validation_root": digest("validation"),
            "created_at": 1_700_000_000,
        }
        return Genesis(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def make_settlement() -> Callable[..., Settlement]:
    """Round `number`: one participant earns twice what the next does, one is rejected; keywords change fields."""

    def make(number: int, *, struck: Collection[str] = (), **changes: object) -> Settlement:
        scores = {name: 0 if name in struck else score for name, score in SCORES.items()}
        entries = tuple(
            ReceiptEntry(
                hotkey=digest(name),
                receipt_hash=digest((number, name)),
                status="accepted" if score or name in struck else "rejected",
                score=score,
                struck=name in struck,
            )
            for name, score in scores.items()
        )
        fields: dict[str, object] = {
            "round": number,
            "base_hash": digest(f"model {number - 1}"),
            "model_hash": digest(f"model {number}"),
            "record_hash": digest(("record", number)),
            "settled_at": 1_700_000_000 + number,
            "entries": entries,
            "unpaid_score": 3,
            "pays": True,
        }
        return Settlement(**(fields | changes))  # type: ignore[arg-type]

    return make


@pytest.fixture
def path(
    tmp_path: Path,
    validator: Keypair,
    make_genesis: Callable[..., Genesis],
    make_settlement: Callable[..., Settlement],
) -> Path:
    """A closed ledger of six rounds, the fourth of which pays nothing."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, make_genesis(), validator) as ledger:
        for number in range(1, N_ROUNDS + 1):
            ledger.settle(make_settlement(number, pays=number != 4), validator)
    return path


@pytest.fixture
def tamper() -> Callable[..., None]:
    """Change a ledger's file with plain sqlite3: take the triggers off, run the statements, put the triggers back."""

    def run(path: Path, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
            triggers = raw.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
            for name, _ in triggers:
                raw.execute(f"DROP TRIGGER {name}")
            changed = 0
            for statement in statements:
                changed += max(raw.execute(statement).rowcount, 0)
            assert changed, "the tampering changed nothing, so it proves nothing"
            for _, sql in triggers:
                raw.execute(sql)

    return run
