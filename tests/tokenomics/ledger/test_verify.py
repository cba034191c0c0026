"""Verification: every way to falsify a ledger that we could think of is found and named."""
# ruff: noqa: S608 - the statements are the tests' own

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tokenomics.ledger.database import Database
from tokenomics import Shares
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Genesis,
    Ledger,
    Pending,
    Settlement,
    checkpoint_path,
    verify_ledger,
)
from tokenomics.ledger.log import Log
from tokenomics.ledger.planning import SealedRound, seal

Make = Callable[..., Any]
ALICE = hashlib.sha256(b"alice").hexdigest()
TABLES = ("rounds", "receipts", "postings")
REORDER = (
    *(f"UPDATE {table} SET round = 103 - round WHERE round IN (2, 3)" for table in TABLES),
    *(f"UPDATE {table} SET round = round - 98 WHERE round > 99" for table in TABLES),
)
CUT = tuple(f"DELETE FROM {table} WHERE round = 6" for table in TABLES)
DROP_MIDDLE = tuple(f"DELETE FROM {table} WHERE round = 3" for table in TABLES)


def test_an_untouched_ledger_is_found_sound(path: Path, validator: Keypair) -> None:
    with Ledger.open(path) as ledger:
        head = ledger.head
    result = verify_ledger(path, validator=validator.public)
    assert (result.ok, result.rounds, result.head, result.errors) == (True, 6, head, [])


def test_a_ledger_is_verified_while_it_is_open_and_rounds_are_still_in_the_wal(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
        assert (verify_ledger(path).errors, verify_ledger(path).rounds) == ([], 7)


FORGERIES = {
    "one digit of an amount": (
        ["UPDATE postings SET amount = amount + 1 WHERE round = 2 AND position = 3"],
        "round 2: its postings sum to 1",
    ),
    "an amount moved to another": (
        [
            "UPDATE postings SET amount = amount + 1 WHERE round = 2 AND position = 3",
            "UPDATE postings SET amount = amount - 1 WHERE round = 2 AND position = 4",
        ],
        "round 2: participant:",
    ),
    "two payments swapped": (
        [
            "UPDATE postings SET account = 'x' WHERE round = 2 AND position = 1",
            "UPDATE postings SET account = 'owner:team' WHERE round = 2 AND position = 2",
        ],
        "round 2: owner:team is paid",
    ),
    "a posting deleted": (["DELETE FROM postings WHERE round = 5 AND position = 2"], "round 5: validator:"),
    "a forged payment": (
        [
            "INSERT INTO postings VALUES (4, 0, 'issuance', 'emission', -7)",
            f"INSERT INTO postings VALUES (4, 1, 'participant:{ALICE}', 'emission', 7)",
        ],
        "round 4: its postings issue 7",
    ),
    "a payment to a stranger": (
        [f"INSERT INTO postings VALUES (2, 9, 'participant:{'00' * 32}', 'emission', 7)"],
        f"participant:{'00' * 32} is paid without an accepted receipt",
    ),
    "a payment of another kind": (
        ["INSERT INTO postings VALUES (2, 9, 'owner:team', 'bonus', 7)"],
        "round 2: its postings sum to 7",
    ),
    "a receipt deleted": (["DELETE FROM receipts WHERE round = 2 AND score = 0"], "round 2: receipts_root"),
    "a receipt's score raised": (
        ["UPDATE receipts SET score = 21 WHERE round = 2 AND score = 20"],
        "round 2: receipts_root",
    ),
    "a receipt's hash changed": (
        [f"UPDATE receipts SET receipt_hash = '{'00' * 32}' WHERE round = 2 AND score = 20"],
        "round 2: receipts_root",
    ),
    "a receipt moved to another": (
        [f"UPDATE receipts SET hotkey = '{'00' * 32}' WHERE round = 2 AND score = 20"],
        "round 2: receipts_root",
    ),
    "a forged receipt": (
        [f"INSERT INTO receipts VALUES (2, '{'00' * 32}', '{'00' * 32}', 'accepted', 5, 0)"],
        "round 2: receipts_root",
    ),
    "a receipt of a round to come": (
        [f"INSERT INTO receipts VALUES (7, '{'00' * 32}', '{'00' * 32}', 'missing', 0, 0)"],
        "round 7: receipts of a round",
    ),
    "a payment of a round to come": (
        ["INSERT INTO postings VALUES (9, 0, 'owner:team', 'emission', 5)"],
        "round 9: postings of a round",
    ),
    "a middle round gone": (DROP_MIDDLE, "round 4 would leave a gap"),
    "a middle round's row gone": (
        ["DELETE FROM rounds WHERE round = 3"],
        "round 3: postings of a round that was never settled",
    ),
    "the last round gone": (CUT, "round 6: the checkpoint names it"),
    "two rounds changed places": (REORDER, "round 2: its head"),
    "a signature of another round": (
        ["UPDATE rounds SET signature = (SELECT signature FROM rounds WHERE round = 1) WHERE round = 2"],
        "round 2: the signature isn't the validator's",
    ),
    "a signature cut short": (["UPDATE rounds SET signature = 'ab' WHERE round = 2"], "round 2: signature is 'ab'"),
    "another emission": (
        ["UPDATE rounds SET emission = emission + 1, unminted = unminted + 1 WHERE round = 3"],
        "round 3: emission is 501",
    ),
    "more minted": (
        ["UPDATE rounds SET minted = minted + 1, unminted = unminted - 1 WHERE round = 3"],
        "round 3: minted is",
    ),
    "another supply": (["UPDATE rounds SET supply = supply + 1 WHERE round = 3"], "round 3: supply is"),
    "another era": (["UPDATE rounds SET era = 0 WHERE round = 3"], "round 3: era is 0, recomputed 1"),
    "another unpaid score": (["UPDATE rounds SET unpaid_score = 0 WHERE round = 3"], "round 3: minted is"),
    "a refused round that pays": (["UPDATE rounds SET pays = 1 WHERE round = 4"], "round 4: minted is 0, recomputed"),
    "another record": ([f"UPDATE rounds SET record_hash = '{'00' * 32}' WHERE round = 3"], "round 3: its head"),
    "another model": ([f"UPDATE rounds SET model_hash = '{'00' * 32}' WHERE round = 3"], "round 4 starts from model"),
    "another time": (["UPDATE rounds SET settled_at = 1 WHERE round = 3"], "round 3: its head"),
    "another head": ([f"UPDATE rounds SET head = '{'00' * 32}' WHERE round = 3"], "round 3: its head"),
    "a genesis with other shares": (
        ["UPDATE genesis SET document = replace(document, '\"owner\":18', '\"owner\":19')"],
        "genesis: its head",
    ),
    "a genesis spelled otherwise": (["UPDATE genesis SET document = document || ' '"], "genesis: its head"),
    "a genesis signed otherwise": (
        ["UPDATE genesis SET signature = (SELECT signature FROM rounds LIMIT 1)"],
        "round 0: the signature",
    ),
    "a genesis that is no JSON": (["UPDATE genesis SET document = '['"], "genesis: the genesis isn't JSON"),
    "a genesis too deep to read": (
        [f"UPDATE genesis SET document = '{'[' * 60_000}'"],
        "genesis: the genesis isn't JSON",
    ),
    "a genesis of other fields": (["UPDATE genesis SET document = '{}'"], "genesis: the genesis hasn't exactly"),
    "no genesis": (["DELETE FROM genesis"], "one readable genesis"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_behind_restored_triggers_is_named(path: Path, tamper: Make, forgery: str) -> None:
    """The triggers are back in place, so nothing but the content gives it away."""
    statements, message = FORGERIES[forgery]
    tamper(path, *statements)
    result = verify_ledger(path)
    assert not result.ok
    assert any(message in error for error in result.errors), result.errors
    assert not any("trigger" in error for error in result.errors)


@pytest.mark.only("sqlite")
def test_text_that_is_not_utf_8_is_named(path: Path, tamper: Make) -> None:
    """PostgreSQL refuses to store it."""
    tamper(path, "UPDATE rounds SET record_hash = CAST(x'ff' AS TEXT) WHERE round = 3")
    assert any("UTF-8" in error for error in verify_ledger(path).errors)


def test_a_history_rewritten_with_another_key_is_sound_but_not_the_validators(
    database: Database, path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Why `validator` should be given: only the pinned key tells."""
    forger = Keypair.from_seed(bytes([9] * 32))
    database.forget(path)
    checkpoint_path(path).unlink()
    with database.create(path, make_genesis(validator=forger.public), forger) as ledger:
        ledger.settle(make_settlement(1), forger)
    assert verify_ledger(path).ok
    assert any(
        error.startswith("genesis: the validator") for error in verify_ledger(path, validator=validator.public).errors
    )


def test_a_validator_who_pays_itself_more_and_signs_it_is_found(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chain, sums and signatures all hold: only the recomputed split tells."""

    def greedy(
        genesis: Genesis, tip: object, settlement: Settlement, pending: Pending, log: Log, book: None
    ) -> SealedRound:
        other = Genesis(
            **{name: getattr(genesis, name) for name in genesis.__slots__} | {"shares": Shares(validator=50)}
        )
        return seal(other, tip, settlement, pending, log, book)  # type: ignore[arg-type]

    with Ledger.open(path) as ledger, monkeypatch.context() as patch:
        patch.setattr("tokenomics.ledger.store.seal", greedy)
        ledger.settle(make_settlement(7), validator)
    errors = verify_ledger(path, validator=validator.public).errors
    assert any(error.startswith(f"round 7: validator:{validator.public} is paid") for error in errors)
    assert not any("head" in error or "signature" in error for error in errors)


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DROP TRIGGER postings_no_update"], "trigger postings_no_update is missing"),
        (
            [
                "DROP TRIGGER rounds_no_delete",
                "CREATE TRIGGER rounds_no_delete BEFORE DELETE ON rounds BEGIN SELECT 1; END",
            ],
            "rounds_no_delete was changed",
        ),
        (["CREATE TRIGGER extra AFTER INSERT ON rounds BEGIN SELECT 1; END"], "'extra' doesn't belong"),
        (["CREATE VIEW extra AS SELECT 1"], "'extra' doesn't belong"),
        (["DROP TABLE postings"], "table postings is missing"),
        (["DROP TABLE postings", "CREATE VIEW postings AS SELECT 1"], "table postings is missing"),
        (["ALTER TABLE postings ADD COLUMN memo TEXT"], "table postings has other columns"),
        (["ALTER TABLE postings RENAME TO old", "CREATE TABLE postings AS SELECT * FROM old"], "postings"),
        (["UPDATE alembic_version SET version_num = '9999'"], "schema: revision 9999, not 0003"),
    ],
)
@pytest.mark.only("sqlite")
def test_a_schema_that_was_changed_is_named(path: Path, statements: list[str], message: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        for statement in statements:
            raw.execute(statement)
    assert any(message in error for error in verify_ledger(path).errors)


@pytest.mark.only("sqlite")
def test_a_table_without_strict_types_is_named_and_what_it_holds_does_no_harm(path: Path) -> None:
    """The same columns without STRICT can hold text where an amount belongs."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
        sql = raw.execute("SELECT sql FROM sqlite_schema WHERE name = 'postings'").fetchone()[0]
        rows = raw.execute("SELECT * FROM postings").fetchall()
        triggers = raw.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        raw.execute("DROP TABLE postings")
        raw.execute(sql.replace("STRICT", "").replace("WITHOUT ROWID,", "WITHOUT ROWID").rstrip(" ,\n"))
        raw.executemany(
            "INSERT INTO postings VALUES (?, ?, ?, ?, ?)", [(*row[:4], "much") for row in rows if row[0] != 4][:5]
        )
        for (trigger,) in triggers:
            with contextlib.suppress(sqlite3.OperationalError):
                raw.execute(trigger)
    errors = verify_ledger(path).errors
    assert "schema: table postings isn't STRICT" in errors
    assert any("amount is 'much', not an integer" in error for error in errors)


def test_a_file_that_is_no_ledger_is_an_error_not_a_crash(tmp_path: Path) -> None:
    for name, content in (("empty", b""), ("text", b"hello " * 1000), ("header", b"SQLite format 3\x00" + bytes(5000))):
        file = tmp_path / name
        file.write_bytes(content)
        result = verify_ledger(file)
        assert (result.ok, result.rounds, len(result.errors) > 0) == (False, 0, True), name
        assert name in {"empty", "header"} or result.errors[0].startswith(f"ledger {file}: it is no database")
    for missing in (tmp_path / "missing", tmp_path):
        assert verify_ledger(missing).errors == [f"there is no ledger at {missing}"]


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.only("sqlite")
def test_a_truncated_file_is_found(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert verify_ledger(path).errors


@pytest.mark.only("sqlite")
def test_any_byte_of_the_files_records_that_is_changed_is_found_or_means_nothing(path: Path) -> None:
    """Every 151st byte flipped: either an error, or all that the ledger says is the same (free space was hit)."""
    content = path.read_bytes()
    with Ledger.open(path) as ledger:
        dump = list(ledger.dump())
    n_found = 0
    for position in range(0, len(content), 151):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        if verify_ledger(path).errors:
            n_found += 1
        else:
            with Ledger.open(path, read_only=True) as ledger:
                assert list(ledger.dump()) == dump
    assert n_found > 30
