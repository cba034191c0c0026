"""A small real ledger on either database, and a hand that tampers with it behind its back."""

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from tests.tokenomics.ledger.database import Database, PostgresDatabase, SqliteDatabase
from tokenomics import HeightSchedule, Shares, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, ReceiptEntry, Settlement

DATABASES = ("sqlite", "postgresql")
N_ROUNDS = 6
SCORES = {"alice": 20, "bob": 10, "carol": 0}


def digest(value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Play every test of a ledger on both databases, but for those of what only a file or a server has."""
    if "database" in metafunc.fixturenames:
        only = metafunc.definition.get_closest_marker("only")
        metafunc.parametrize("database", only.args if only else DATABASES, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    """Where the test's ledgers are made: in files, or on a real server."""
    if request.param == "sqlite":
        return SqliteDatabase()
    return PostgresDatabase(request.getfixturevalue("postgres_url"))


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
    database: Database,
    validator: Keypair,
    make_genesis: Callable[..., Genesis],
    make_settlement: Callable[..., Settlement],
) -> Path:
    """A closed ledger of six rounds, the fourth of which pays nothing."""
    path = tmp_path / "ledger.sqlite"
    with database.create(path, make_genesis(), validator) as ledger:
        for number in range(1, N_ROUNDS + 1):
            ledger.settle(make_settlement(number, pays=number != 4), validator)
    return path


@pytest.fixture
def tamper(database: Database) -> Callable[..., None]:
    """Change a ledger behind its back: take triggers and checks off, run the statements, put the triggers back."""

    def run(path: Path, *statements: str) -> None:
        changed = database.tamper(path, *statements)
        assert changed, "the tampering changed nothing, so it proves nothing"

    return run
