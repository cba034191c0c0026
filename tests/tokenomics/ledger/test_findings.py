"""What verification tells: word for word, which of it is of the log, of which checkpoint, and how much at most."""
# ruff: noqa: S608 - the statements are the tests' own

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tokenomics.ledger.database import Database
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Ledger,
    checkpoint_path,
    verify,
    verify_ledger,
)

Make = Callable[..., Any]
TABLES = ("rounds", "receipts", "postings")
CUT = tuple(f"DELETE FROM {table} WHERE round = 6" for table in TABLES)
DROP_MIDDLE = tuple(f"DELETE FROM {table} WHERE round = 3" for table in TABLES)
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
