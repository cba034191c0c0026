"""Verification: every way to falsify a ledger that we could think of is found and named."""
# ruff: noqa: S608 - the statements are the tests' own

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tokenomics.ledger.database import Database
from tokenomics import Shares
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Genesis,
    Ledger,
    Pending,
    Settlement,
    checkpoint_path,
    verify,
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


HEAD = "its head is #, but its content and the head before give #"
ZEROS = "00" * 32
TOLD: dict[str, tuple[list[str], list[str]]] = {
    "a payment raised": (
        ["UPDATE postings SET amount = amount + 1 WHERE round = 5 AND position = 2"],
        [
            "round 5: its postings sum to 1, not 0",
            f"round 5: {HEAD} (log)",
            "round 5: validator:# is paid 103 (posting 2), due 102 (posting 2)",
        ],
    ),
    "two payments that changed places": (
        [
            "UPDATE postings SET position = 17 - position WHERE round = 2 AND position IN (3, 4)",
            "UPDATE postings SET position = position - 10 WHERE round = 2 AND position > 10",
        ],
        [
            f"round 2: {HEAD} (log)",
            "round 2: participant:# is paid 249 (posting 4), due 249 (posting 3)",
            "round 2: participant:# is paid 124 (posting 3), due 124 (posting 4)",
        ],
    ),
    "a supply that leaves no room for the round after it, where a payment is wrong, too": (
        [
            "UPDATE rounds SET supply = 999999999 WHERE round = 2",
            "UPDATE postings SET amount = amount + 1 WHERE round = 3 AND position = 3",
        ],
        [
            "round 2: the supply is 999999999, above the cap 3988",
            f"round 2: {HEAD} (log)",
            "round 2: supply is 999999999, recomputed 1926",
            "round 3: its postings sum to 1, not 0",
            f"round 3: {HEAD} (log)",
            "round 3: minted is 999999999, more than 3988",
        ],
    ),
    "a middle round gone": (
        list(DROP_MIDDLE),
        [
            "round 4: round 4 would leave a gap: the ledger ends at round 2",
            f"round 4: {HEAD} (log)",
            "round 4: supply is 2407, recomputed 1926",
        ],
    ),
    "two roots of the log, of which only the first is told": (
        [f"UPDATE rounds SET log_root = '{ZEROS}' WHERE round IN (2, 4)"],
        [
            "round 2: the signature isn't the validator's (log)",
            "round 2: its log root is #, but the log of all rounds has # (log)",
            "round 4: the signature isn't the validator's (log)",
        ],
    ),
    "a signature that is none by its form, and one of the genesis": (
        ["UPDATE rounds SET signature = 'ab' WHERE round = 2", "UPDATE genesis SET signature = 'ab'"],
        [
            "round 0: signature is 'ab', not 128 lower-case hexadecimal digits (log)",
            "round 2: signature is 'ab', not 128 lower-case hexadecimal digits (log)",
        ],
    ),
    "a genesis that isn't JSON": (["UPDATE genesis SET document = '{'"], ["genesis: the genesis isn't JSON (log)"]),
    "a strike that is neither yes nor no": (
        ["UPDATE receipts SET struck = 2 WHERE round = 3"],
        ["round 3: struck is 2, neither True nor False"],
    ),
    "payments of many rounds to come, of which ten are told": (
        [
            f"INSERT INTO postings VALUES ({number}, {position}, 'owner:team', '{kind}', 5)"
            for number in range(20, 8, -1)
            for position, kind in enumerate(("emission", "void"))
        ],
        [f"round {number}: postings of a round that was never settled" for number in range(9, 19)],
    ),
    "a round that pays neither yes nor no": (
        ["UPDATE rounds SET pays = 2 WHERE round = 3"],
        [
            "round 1 or a later one: pays is 2, neither True nor False",
            "round 6: the checkpoint names it, but the ledger ends at round 2 (log)",
        ],
    ),
    "a round that can't be read": (
        ["UPDATE rounds SET settled_at = -1 WHERE round = 3"],
        [
            "round 1 or a later one: settled_at is -1, less than 0",
            "round 6: the checkpoint names it, but the ledger ends at round 2 (log)",
        ],
    ),
}


@pytest.mark.parametrize("forgery", TOLD)
def test_a_forgery_is_told_line_by_line_and_which_lines_concern_the_log(path: Path, tamper: Make, forgery: str) -> None:
    """Word for word, with hashes and keys left out: an audit reads these lines."""
    statements, told = TOLD[forgery]
    tamper(path, *statements)
    result = verify_ledger(path)
    assert without_hashes(result.errors) == [line.removesuffix(" (log)") for line in told]
    assert without_hashes(result.log_errors) == [line.removesuffix(" (log)") for line in told if "(log)" in line]


def test_of_too_many_findings_the_first_are_told_and_nothing_of_rounds_that_were_not_read(
    path: Path, tamper: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is of round 6, which isn't missing for that."""
    monkeypatch.setattr(verify, "MAX_ERRORS", 3)
    monkeypatch.setattr(verify, "PAGE_SIZE", 4)
    tamper(path, "UPDATE rounds SET era = 9 WHERE round <= 2")
    result = verify_ledger(path)
    told = [f"round 1: {HEAD}", "round 1: era is 9, recomputed 0", f"round 2: {HEAD}"]
    assert (without_hashes(result.errors), result.rounds) == (told, 4)
    assert without_hashes(result.log_errors) == [told[0], told[2]]


def without_hashes(lines: Iterable[str]) -> list[str]:
    return [re.sub("[0-9a-f]{64}", "#", line) for line in lines]


@pytest.mark.only("sqlite")
def test_text_that_is_not_utf_8_is_named(path: Path, tamper: Make) -> None:
    """PostgreSQL refuses to store it."""
    tamper(path, "UPDATE rounds SET record_hash = CAST(x'ff' AS TEXT) WHERE round = 3")
    assert any("UTF-8" in error for error in verify_ledger(path).errors)


def test_one_change_is_reported_in_its_round_only(path: Path, tamper: Make) -> None:
    tamper(path, "UPDATE rounds SET settled_at = 1 WHERE round = 3")
    assert [error.split(":")[0] for error in verify_ledger(path).errors] == ["round 3"]


def test_the_end_cut_off_with_the_checkpoint_deleted_is_found(path: Path, tamper: Make) -> None:
    tamper(path, *CUT)
    checkpoint_path(path).unlink()
    assert any("is the end missing" in error for error in verify_ledger(path).errors)


def test_a_checkpoint_of_another_head_or_signer_is_found(
    database: Database, path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Such as that of a second history which the validator keeps."""
    other = path.with_name("other.sqlite")
    with database.create(other, make_genesis(), validator) as ledger:
        for number in range(1, 7):
            ledger.settle(make_settlement(number, settled_at=1), validator)
    checkpoint_path(path).write_bytes(checkpoint_path(other).read_bytes())
    assert any("round 6: the checkpoint has another root" in error for error in verify_ledger(path).errors)
    checkpoint_path(path).write_text("{}")
    told = [
        f"checkpoint: {checkpoint_path(path)} isn't a checkpoint: this isn't a signed note",
        f"checkpoint: there is no sound {checkpoint_path(path)}: is the end missing?",
    ]
    result = verify_ledger(path)
    assert (result.errors, result.log_errors) == (told, told)


def test_a_checkpoint_that_somebody_else_signed_or_for_another_subnet_is_found(path: Path, validator: Keypair) -> None:
    """Though round and root in it are right."""
    tree = Checkpoint.parse(checkpoint_path(path).read_text()).tree
    stranger = Checkpoint.sign(tree, Keypair.from_seed(bytes([9] * 32)))
    foreign = Checkpoint.sign(replace(tree, origin="other/c5da67681e8544c5"), validator)
    for checkpoint in (stranger, foreign):
        checkpoint_path(path).write_text(checkpoint.note)
        told = ["checkpoint: that of round 6 isn't signed by the validator for this subnet"]
        result = verify_ledger(path)
        assert (result.errors, result.log_errors) == (told, told)


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_checkpoint_of_an_earlier_round_is_compared_with_that_round(
    path: Path, validator: Keypair, number: int
) -> None:
    """As a crash, or a validator that is at work, leaves it: it is in order unless its root is another."""
    with Ledger.open(path) as ledger:
        earlier = ledger.checkpoint_of(number)
    checkpoint_path(path).write_text(earlier.note)
    assert verify_ledger(path).errors == []
    checkpoint_path(path).write_text(Checkpoint.sign(replace(earlier.tree, root=ZEROS), validator).note)
    told = [f"round {number}: the checkpoint has another root, {ZEROS}"]
    result = verify_ledger(path)
    assert (result.errors, result.log_errors) == (told, told)


@pytest.mark.parametrize("n_rounds", [0, 1])
def test_a_checkpoint_is_missed_from_the_first_round_on(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair, n_rounds: int
) -> None:
    """A ledger of a genesis alone may have lost it: a crash can come before it is written."""
    path = tmp_path / "ledger.sqlite"
    with database.create(path, make_genesis(), validator) as ledger:
        for number in range(1, n_rounds + 1):
            ledger.settle(make_settlement(number), validator)
        head = ledger.head
    checkpoint_path(path).unlink()
    told = [f"checkpoint: there is no sound {checkpoint_path(path)}: is the end missing?"] * n_rounds
    result = verify_ledger(path)
    assert (result.ok, result.rounds, result.head) == (not told, n_rounds, head)
    assert (result.errors, result.log_errors) == (told, told)


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


def test_no_more_errors_are_kept_than_the_limit(path: Path, tamper: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MAX_ERRORS", 5)
    tamper(path, "UPDATE rounds SET era = 9")
    assert len(verify_ledger(path).errors) == 5


@pytest.mark.parametrize("page_size", [1, 2, 3, 6, 7])
def test_all_rounds_are_verified_whatever_the_page(
    path: Path, tamper: Make, monkeypatch: pytest.MonkeyPatch, page_size: int
) -> None:
    monkeypatch.setattr(verify, "PAGE_SIZE", page_size)
    result = verify_ledger(path)
    assert (result.rounds, result.errors) == (6, [])
    tamper(path, "UPDATE rounds SET era = 9 WHERE round = 6")
    assert "round 6: era is 9, recomputed 2" in verify_ledger(path).errors


def test_no_more_pages_are_read_than_the_limit_needs(path: Path, tamper: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round gives two errors, of its head and of its era."""
    monkeypatch.setattr(verify, "PAGE_SIZE", 1)
    monkeypatch.setattr(verify, "MAX_ERRORS", 4)
    tamper(path, "UPDATE rounds SET era = 9")
    result = verify_ledger(path)
    assert (result.rounds, len(result.errors)) == (2, 4)
