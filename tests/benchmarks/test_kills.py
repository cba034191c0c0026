"""benchmarks/kills.py: a few real kills, and that what they should never do would be found."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import kills
from benchmarks.postgres import running_server
from tokenomics.ledger import Ledger, checkpoint_path


def test_killed_validators_lose_tear_and_repeat_nothing(tmp_path: Path) -> None:
    row = kills.kill(tmp_path / "ledger.sqlite", 6, n_entries=20, seed=0)
    assert (row.kills, row.lost_rounds, row.torn_rounds, row.paid_twice) == (6, 0, 0, 0)
    assert row.acknowledged_rounds >= 5
    assert row.sound


def test_neither_do_they_where_the_server_is_killed_now_and_then(tmp_path: Path) -> None:
    with running_server() as server:
        row = kills.kill(tmp_path / "ledger.sqlite", 5, n_entries=20, seed=0, server=server)
    assert (row.kills, row.server_kills, row.lost_rounds, row.torn_rounds, row.paid_twice) == (5, 1, 0, 0, 0)
    assert row.acknowledged_rounds >= 4
    assert row.sound


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three settled rounds of two participants."""
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path, kills.genesis(), kills.SIGNER) as ledger:
        for number in (1, 2, 3):
            ledger.settle(kills.settlement(number, 2), kills.SIGNER)
    return path


def roots(path: Path) -> dict[int, str]:
    with Ledger.open(path, read_only=True) as ledger:
        return {row.round: row.log_root for row in ledger.rounds()}


def test_an_acknowledged_round_that_is_missing_or_another_is_lost(path: Path) -> None:
    row = kills.Row(database="sqlite")
    kills.look_at(path, roots(path), row)
    assert (row.lost_rounds, row.settled_unacknowledged, row.checkpoint_behind) == (0, 0, 0)
    kills.look_at(path, roots(path) | {2: "00" * 32, 4: "00" * 32}, row)
    assert row.lost_rounds == 2
    assert not row.sound


def test_what_a_kill_between_commit_acknowledgement_and_checkpoint_leaves_is_told(path: Path) -> None:
    row, file = kills.Row(database="sqlite"), checkpoint_path(path)
    shutil.copy(file, file.with_name("kept"))
    with Ledger.open(path) as ledger:
        ledger.settle(kills.settlement(4, 2), kills.SIGNER)
    file.with_name("kept").rename(file)
    kills.look_at(path, {number: root for number, root in roots(path).items() if number < 4}, row)
    assert (row.settled_unacknowledged, row.checkpoint_behind, row.lost_rounds) == (1, 1, 0)


def test_whoever_was_paid_otherwise_than_the_scores_say_is_counted(path: Path) -> None:
    """A fourth round in which one of the two is left out."""
    assert kills.wrongly_paid(path, 2) == 0
    whole = kills.settlement(4, 2)
    with Ledger.open(path) as ledger:
        ledger.settle(replace(whole, entries=whole.entries[:1]), kills.SIGNER)
    assert kills.wrongly_paid(path, 2) == 2


def test_a_round_whose_orders_are_lost_is_found(path: Path) -> None:
    assert kills.wrongly_moved(path, 2) == 0
    with Ledger.open(path) as ledger:
        ledger.settle(replace(kills.settlement(4, 2), orders=()), kills.SIGNER)
    assert kills.wrongly_moved(path, 2) == 4  # owner, friend, escrow, burn
    assert kills.wrongly_paid(path, 2) == 0
