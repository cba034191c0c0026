"""`subnet arena` as a person meets it: what it prints, how it fails, and that stopping it loses nothing."""

import json
import os
import re
import signal
from pathlib import Path

import psutil
import pytest

from subnet.arena.attacks import attack_names
from subnet.arena.table import rows
from tests.endtoend.conftest import BLOBS, ROOT, CommandLine, wait_until
from tests.subnet.arena.conftest import CELL, result
from tests.subnet.arena.test_entrants import RULE

SMALL = ("arena", BLOBS, "--clients", 6, "--byzantine", 1, "--rounds", 3, "--partitions", "iid", "--workers", 2)


def test_it_ranks_rules_and_writes_a_page(subnet: CommandLine):
    """The table names every rule with its worst case, for each stated number where several are given."""
    options = ("--strategies", "mean,nnm+median", "--attacks", "none,sign_flip", "--seeds", 2, "--stated", "1,2,auto")
    done = subnet.run(*SMALL, *options)
    assert done.returncode == 0, done.stderr
    for words in ("told 1", "told 2", "told auto", "sign_flip", "no attack", "every cell: arena/report.html"):
        assert words in done.stdout, words
    assert re.search(r"^nnm\+median ", done.stdout, re.MULTILINE)
    assert "nnm+median" in (subnet.folder / "arena" / "report.html").read_text()
    assert len(list((subnet.folder / "arena" / "cells").glob("*.json"))) == 2 * 2 * (1 + 3)
    told = json.loads(subnet.run(*SMALL, *options, "--json").stdout)
    assert told["facts"]["n_clients"] == 6
    assert {row["stated_byzantine"] for row in told["rows"]} == {None, 1, 2, "auto"}
    assert {row["strategy"] for row in told["ranking"]} == {"mean", "nnm+median"}


def test_a_rule_of_ones_own_is_found_and_played_again_once_edited(subnet: CommandLine):
    """A file in the current folder is enough; another content is another rule, the same content is not."""
    file = subnet.folder / "my_rule.py"
    file.write_text(RULE)
    options = (*SMALL, "--strategies", "my_rule:First,nnm+my_rule:First", "--attacks", "none", "--seeds", 1, "--json")
    cells = subnet.folder / "arena" / "cells"
    first = subnet.run(*options)
    assert first.returncode == 0, first.stderr
    assert len(list(cells.iterdir())) == 2
    subnet.run(*options)
    assert len(list(cells.iterdir())) == 2
    file.write_text(RULE.replace("[0])", "[-1])"))
    edited = subnet.run(*options)
    assert len(list(cells.iterdir())) == 4
    accuracy = [json.loads(done.stdout)["rows"][0]["accuracy_percent"] for done in (first, edited)]
    assert accuracy[0] != accuracy[1]


def test_the_document_has_every_attack_and_every_measurement():
    """docs/arena.md lists the attacks in their order, and names each column of `--json` that is measured."""
    text = (ROOT / "docs" / "arena.md").read_text()
    [attacks] = re.findall(r"^## The attacks\n(.*?)^## ", text, re.MULTILINE | re.DOTALL)
    assert re.findall(r"^\| `(\w+)` \|", attacks, re.MULTILINE) == attack_names()
    [row] = rows([(CELL, result(0.5))])
    measured = {name for name in row if f"{name}_ci95" in row} | {"n_refused_rounds"}
    assert {name for name in measured if f"`{name}`" not in text} == set()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / "docs" / link).exists(), link


MISTAKES = {
    "stated isn't a number": (["--stated", "many"], "--stated 'many' isn't a number of attackers among 6 clients"),
    "bad partition": (["--partitions", "iid,dirichlet:x"], "'dirichlet:x' is unknown"),
    "empty strategy": (["--strategies", "mean,,krum"], "'mean,,krum' has an empty entry"),
    "unknown strategy": (["--strategies", "krumm"], "'krumm'"),
    "mixer without a rule": (["--strategies", "nnm"], "nnm is a mixer"),
    "rule that isn't there": (["--strategies", "nowhere:Rule"], "'nowhere:Rule' doesn't load"),
    "too many clients": (["--clients", "99"], "320 training examples"),
    "out is a file": (["--out", "a-file"], "can't write to a-file/cells"),
    "out isn't writable": (["--out", "/proc/arena"], "can't write to /proc/arena"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_a_remedy(subnet: CommandLine, mistake: str):
    """Whatever is wrong is said before anything is played, in one line with a remedy, and never as a traceback."""
    (subnet.folder / "a-file").write_text("mine")
    arguments, words = MISTAKES[mistake]
    plain = ["--strategies", "mean", "--attacks", "none", "--seeds", 1]
    done = subnet.run(*SMALL, *plain, *arguments)
    assert done.returncode == 3, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["error:", "remedy:"], done.stderr
    assert words in lines[0]
    assert (subnet.folder / "a-file").read_text() == "mine"
    assert not (subnet.folder / "arena" / "cells").exists()


LONG = (*SMALL[:5], 1, "--rounds", 80, "--partitions", "iid", "--workers", 2, "--strategies", "mean,median")
LONG = (*LONG, "--attacks", "none,alie,nan", "--seeds", 3)


def workers(parent: int) -> list[psutil.Process]:
    """Return the processes that play for an arena."""
    try:
        children = psutil.Process(parent).children(recursive=True)
        return [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


@pytest.mark.parametrize("when", ["while processes start", "while cells are played"])
def test_ctrl_c_ends_with_one_line_leaves_no_process_and_loses_nothing(subnet: CommandLine, when: str):
    """As a terminal does, it goes to all processes at once; the same command again plays only what is missing."""
    cells = subnet.folder / "arena" / "cells"
    process = subnet.start(*LONG)
    if when == "while processes start":
        wait_until(lambda: bool(workers(process.pid)), "a process that plays")
    else:
        wait_until(lambda: len(list(cells.glob("*.json"))) >= 2, "two cells")
    started = workers(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (subnet.folder / "log").read_text().strip().splitlines()
    assert said == ["error: stopped: what was played is kept in arena", said[-1]]
    assert said[-1].startswith("remedy: give the same command again")
    assert not [one for one in started if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    kept = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert len(kept) < 18
    again = subnet.run(*LONG, "--json")
    assert again.returncode == 0, again.stderr
    assert len(list(cells.glob("*.json"))) == len(list(cells.iterdir())) == 18
    assert {name: (cells / name).stat().st_mtime_ns for name in kept} == kept


def test_no_process_outlives_an_arena_that_was_killed(subnet: CommandLine):
    """SIGKILL gives it no chance to end its processes; they notice."""
    process = subnet.start(*LONG)
    wait_until(lambda: len(workers(process.pid)) == 2, "processes that play")
    wait_until(lambda: bool(list(Path(subnet.folder, "arena", "cells").glob("*.json"))), "a cell")
    started = workers(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: not any(one.is_running() for one in started), "the processes to end", timeout_s=30)


def test_rewards_says_what_cheating_earned(subnet: CommandLine):
    """A table of cheats by scorers, a page, and in JSON every figure; the second call plays nothing again."""
    options = ("arena", "rewards", BLOBS, "--clients", 6, "--cheating", 2, "--rounds", 3, "--partitions", "iid")
    options = (*options, "--cheats", "zero,stale", "--scorers", "path_credit,individual", "--seeds", 1)
    done = subnet.run(*options)
    assert done.returncode == 0, done.stderr
    for words in ("path_credit", "individual", "stale", "worst share, %", "every cell: rewards/report.html"):
        assert words in done.stdout, words
    cells = subnet.folder / "rewards" / "cells"
    assert len(list(cells.glob("*.json"))) == 2 * 3
    played = {path.name: path.stat().st_mtime_ns for path in cells.iterdir()}
    told = json.loads(subnet.run(*options, "--json").stdout)
    assert {path.name: path.stat().st_mtime_ns for path in cells.iterdir()} == played
    assert {(row["scorer"], row["cheat"]) for row in told["rows"]} == {
        (scorer, cheat) for scorer in ("path_credit", "individual") for cheat in ("none", "zero", "stale")
    }
    assert "stale" in (subnet.folder / "rewards" / "report.html").read_text()


def test_both_arenas_have_help_of_their_own(subnet: CommandLine):
    """`subnet arena --help` is that of strategies against attacks and names the other."""
    first, second = (subnet.run("arena", *words, "--help").stdout for words in ((), ("rewards",)))
    assert "--attacks" in first
    assert "subnet arena rewards --help" in first
    assert "--cheats" in second
