"""A run that was killed goes on with the same command and ends as an unbroken one."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.endtoend.conftest import BLOBS, CommandLine, tree, wait_until
from tokenomics.ledger import Ledger, verify_ledger

N_ROUNDS = 6
OPTIONS = ("simulate", BLOBS, "--rounds", N_ROUNDS, "--clients", "honest=4,sign_flip=1,stale=1,copycat=1", "--json")


def dump(folder: Path) -> list[bytes]:
    """Return the canonical lines of a run's ledger."""
    with Ledger.open(folder / "ledger.sqlite", read_only=True) as ledger:
        return list(ledger.dump())


def count(folder: Path, kind: str) -> int:
    """Return how many whole objects of a kind there are."""
    path = folder / kind
    return sum(not entry.name.startswith(".") for entry in path.iterdir()) if path.is_dir() else 0


def settled(folder: Path) -> int:
    """Return how many rounds the signed checkpoint beside the ledger names."""
    path = folder / "ledger.sqlite.checkpoint"
    return int(path.read_text().split("\n")[1]) - 1 if path.exists() else 0


MOMENTS = {
    "before anything is there": lambda folder: folder.exists(),
    "when the plan is written": lambda folder: (folder / "run.json").exists(),
    "when the first model is stored": lambda folder: count(folder, "models") > 0,
    "when the ledger appears": lambda folder: (folder / "ledger.sqlite").exists(),
    "in the middle of collecting": lambda folder: count(folder, "updates") % 7 in {2, 3, 4},
    "while receipts are stored": lambda folder: count(folder, "receipts") % 7 in {1, 2, 3, 4, 5},
    "right after a round is settled": lambda folder: settled(folder) > 0,
    "after three rounds": lambda folder: settled(folder) >= 3,
}


@pytest.mark.processes
def test_killed_at_many_moments_it_ends_as_an_unbroken_run(subnet: CommandLine):
    """SIGKILL at eight moments of one run loses nothing that was settled, and the end is the same, byte for byte."""
    unbroken, broken = subnet.folder / "unbroken", subnet.folder / "broken"
    assert subnet.run(*OPTIONS, "--out", unbroken).returncode == 0
    known: list[bytes] = []
    n_killed = 0
    for moment, reached in MOMENTS.items():
        process = subnet.start(*OPTIONS, "--out", broken)
        wait_until(lambda reached=reached, process=process: reached(broken) or process.poll() is not None, moment)
        if process.poll() is None:  # a run on a busy machine may end before anybody has looked at the right moment
            os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() in {0, -signal.SIGKILL}, (moment, (subnet.folder / "log").read_text()[-3000:])
        n_killed += process.returncode == -signal.SIGKILL
        if (broken / "ledger.sqlite").exists():
            checked = verify_ledger(broken / "ledger.sqlite")
            assert checked.ok, (moment, checked.errors)
            lines = dump(broken)
            assert lines[: len(known)] == known, f"a settled round was lost or changed: {moment}"
            known = lines
    assert n_killed >= len(MOMENTS) - 1, "the run ended before it could be killed"
    done = subnet.run(*OPTIONS, "--out", broken)
    assert done.returncode == 0, done.stderr
    assert dump(broken) == dump(unbroken)
    settled_objects = tree(unbroken)
    assert {path: data for path, data in tree(broken).items() if path in settled_objects} == settled_objects
    assert len(json.loads(done.stdout)["rounds"]) == N_ROUNDS


@pytest.mark.processes
def test_ctrl_c_says_one_line_and_loses_nothing(subnet: CommandLine):
    """An interrupt in mid-run ends with one line and a remedy, exit code 130, no process left, and can go on."""
    folder = subnet.folder / "run"
    options = ("simulate", BLOBS, "--rounds", 200, "--out", folder)
    process = subnet.start(*options, log=subnet.folder / "log")
    wait_until(lambda: settled(folder) >= 1, "the first round")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (subnet.folder / "log").read_text()
    assert "Traceback" not in said
    assert f"rounds are settled in {folder}" in said
    assert "the same command again" in said
    assert subnet.left_behind() == []
    before = dump(folder)
    done = subnet.run("simulate", BLOBS, "--rounds", len(before), "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert dump(folder)[: len(before)] == before
