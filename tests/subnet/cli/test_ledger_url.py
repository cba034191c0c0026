"""A run whose ledger is on a real PostgreSQL server: the same results, found again by every command that reads."""

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from subnet.run_files import LEDGER_NAME
from tests.tokenomics.ledger.older import put_file_back
from tokenomics.ledger.place import url_path

BLOBS = Path(__file__).parents[2] / "apps" / "blobs"
CAST = ("--clients", "honest=3,sign_flip=1", "--rounds", 3, "--seed", 5)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Where the run with a file and the run with a server go."""
    parent = tmp_path_factory.mktemp("runs")
    return parent / "file", parent / "server"


@pytest.fixture
def runs(command, folders, postgres_url):
    """The two runs, played once."""
    file, server = folders
    if not file.exists():
        for folder, more in ((file, ()), (server, ("--ledger-url", postgres_url))):
            code, _, err = command("simulate", BLOBS, *CAST, "--out", folder, "--json", *more)
            assert (code, err) == (0, "")
    return file, server


def test_the_run_has_no_file_and_no_password_but_says_where_its_ledger_is(runs, postgres_url):
    file, server = runs
    assert (file / LEDGER_NAME).is_file()
    assert not (server / LEDGER_NAME).exists()
    assert json.loads(url_path(server / LEDGER_NAME).read_text())["url"] == postgres_url
    assert (file / f"{LEDGER_NAME}.checkpoint").read_bytes() == (server / f"{LEDGER_NAME}.checkpoint").read_bytes()


@pytest.mark.parametrize(
    "words",
    [
        "ledger show {run}",
        "ledger show {run} --json",
        "ledger verify {run} --json",
        "ledger key {run}",
        "ledger prove {run} 2 {hotkey}",
        "ledger consistency {run} 1",
        "ledger upgrade {run}",
        "earnings {run} --json",
        "earnings {run} {hotkey} --now 4000-01-01",
        "statement {run} {hotkey} --csv",
        "explain {run} 2 {hotkey}",
        "emission {run} --json",
        "score {run} --subnet {subnet} --json",
        "audit {run} --subnet {subnet} --json",
    ],
)
def test_every_command_that_reads_says_the_same_of_both(command, runs, words):
    """Given the run's folder alone."""
    told = []
    for run in runs:
        _, shown, _ = command("ledger", "show", run, "--json")
        hotkey = min(json.loads(shown)["earnings"])
        arguments = [word.format(run=run, hotkey=hotkey, subnet=BLOBS) for word in words.split()]
        code, out, err = command(*arguments)
        assert code == 0, err
        told.append(re.sub(r'"seconds": [0-9.e-]+', "", out.replace(str(run), "RUN")))
    assert told[0] == told[1] != ""


def test_a_run_goes_on_in_the_database_that_it_was_begun_in(command, runs, monkeypatch):
    """Without the option; and SUBNET_LEDGER_URL doesn't lead it to another one."""
    more = (*CAST[:2], "--rounds", 4, *CAST[4:])
    results = []
    for run in runs:
        code, out, err = command("simulate", BLOBS, *more, "--out", run, "--json")
        assert code == 0, err
        results.append({k: v for k, v in json.loads(out).items() if k not in {"folder", "seconds"}})
    assert results[0] == results[1]
    assert len(results[0]["rounds"]) == 4
    monkeypatch.setenv("SUBNET_LEDGER_URL", "postgresql://postgres@/other?host=/nowhere")
    for run in runs:
        code, _, err = command("simulate", BLOBS, *more, "--out", run, "--json")
        assert code == 3
        assert "not in postgresql+psycopg://postgres@/other" in err
        assert "leave out --ledger-url" in err


def test_a_copy_for_an_auditor_is_a_file_that_verifies_and_audits(command, runs, tmp_path):
    """The auditor has the folder, but not the server."""
    bundle = tmp_path / "bundle"
    shutil.copytree(runs[1], bundle, ignore=shutil.ignore_patterns(f"{LEDGER_NAME}*"))
    copy = bundle / LEDGER_NAME
    code, out, err = command("ledger", "copy", runs[1], copy)
    assert (code, err) == (0, "")
    assert out.startswith(f"{copy}: ")
    code, out, _ = command("audit", bundle, "--subnet", BLOBS, "--json")
    assert code == 0
    assert json.loads(out)["ok"]
    assert (bundle / f"{LEDGER_NAME}.checkpoint").read_bytes() == (runs[1] / f"{LEDGER_NAME}.checkpoint").read_bytes()
    code, _, err = command("ledger", "copy", runs[1], copy)
    assert code == 3
    assert "is there already" in err


def test_a_bundle_of_a_run_on_a_server_is_audited_without_it(command, runs, tmp_path):
    """Key and head are those of the run with a file."""
    head = json.loads(command("ledger", "verify", runs[0], "--json")[1])["head"]
    key = command("ledger", "key", runs[0])[1].strip()
    code, out, err = command("bundle", runs[1], tmp_path / "run.tar")
    assert (code, err) == (0, "")
    assert f"head {head}\n" in out
    code, out, _ = command("audit", tmp_path / "run.tar", "--subnet", BLOBS, "--key", key, "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_a_url_that_is_none_is_told_before_anything_is_made(command, tmp_path):
    for url, problem in (("postgresql://me:pw@localhost/x", "has a password"), ("nonsense", "can't be read")):
        code, _, err = command("simulate", BLOBS, "--out", tmp_path / "run", "--ledger-url", url)
        assert code == 3
        assert problem in err
        assert "pw" not in err
    assert not (tmp_path / "run").exists()


def test_a_server_that_is_away_is_one_line_and_the_run_begins_once_it_is_there(command, tmp_path, postgres_url):
    run = tmp_path / "run"
    arguments = ("simulate", BLOBS, *CAST[:2], "--rounds", 1, "--out", run, "--json", "--ledger-url")
    code, _, err = command(*arguments, "postgresql://postgres@/postgres?host=/nowhere")
    assert code == 3
    assert "can't be reached" in err
    assert len(err.splitlines()) == 2
    code, out, err = command(*arguments, postgres_url)
    assert code == 0, err
    assert json.loads(out)["ledger"]["ok"]


def test_an_older_file_is_brought_up_by_the_command_that_the_error_names(command, runs, tmp_path):
    older = shutil.copytree(runs[0], tmp_path / "older")
    put_file_back(older / LEDGER_NAME)
    with sqlite3.connect(older / LEDGER_NAME) as raw:
        raw.execute("DROP TABLE alembic_version")
        raw.execute("PRAGMA user_version=3")
    raw.close()
    for words in (["earnings", older], ["ledger", "verify", older], ["audit", older, "--subnet", BLOBS]):
        code, out, err = command(*words)
        assert (code, out) == (3, "")
        assert "subnet ledger upgrade" in err
    code, out, _ = command("ledger", "upgrade", older, "--json")
    assert (code, json.loads(out)) == (0, {"before": "version 3", "after": "0003"})
    for words in (["earnings", older], ["ledger", "verify", older], ["audit", older, "--subnet", BLOBS]):
        code, _, err = command(*words)
        assert code == 0, err
