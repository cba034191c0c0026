"""`subnet score` as a person meets it: tables, JSON, and one line with a remedy for whatever is wrong."""

import json
import shutil
from functools import partial

import pytest

from subnet.report import report
from subnet.scoring.registry import SCORERS


@pytest.fixture
def command(command):
    """Runs `subnet score ...` in this process; gives exit code, output and error stream."""
    return partial(command, "score")


@pytest.fixture
def run_folder(season, tmp_path):
    """A copy of the season's folder that a test may damage."""
    return shutil.copytree(season.fixture.store.root, tmp_path / "run")


def test_json_is_one_object_of_the_agreed_form(command, season, app_dir):
    """Scorers, participants with their shares, and rounds; what was paid is what the run reports."""
    folder = season.fixture.store.root
    code, out, err = command(folder, "--subnet", app_dir, "--scorer", "path_credit", "--scorer", "gauntlet", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["schema_version"] == 1
    assert found["scorers"] == ["path_credit", "gauntlet"]
    played = report(folder, kinds=season.kinds, n_rounds=99, seconds=0)
    paid = {one["hotkey"]: (one["kind"], one["reward"]) for one in played["participants"]}
    assert {one["hotkey"]: (one["kind"], one["paid"]) for one in found["participants"]} == paid
    assert all(set(one["share"]) == {"path_credit", "gauntlet"} for one in found["participants"])
    assert [one["rewards"]["path_credit"] for one in found["rounds"]] == [one["rewards"] for one in played["rounds"]]
    assert found["exact"] is True


def test_the_table_shows_every_scorer_beside_what_was_paid(command, season, app_dir):
    """Within 80 columns: kinds, short hotkeys, percent, all cheats together, costs, and that the models stay."""
    code, out, _ = command(season.fixture.store.root, "--subnet", app_dir)
    assert code == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    head = " ".join(lines[:2])
    assert all(part in head for name in SCORERS for part in name.split("_"))
    for words in ("honest-1", "sign_flip", "all cheats", "losses", "gradients", "seconds", "models are"):
        assert words in out, words
    honest = season.of_kind("honest")[0]
    assert honest[:8] in out


def test_a_scorer_named_twice_is_shown_once(command, season, app_dir):
    code, out, _ = command(
        season.fixture.store.root, "--subnet", app_dir, "--scorer", "cosine", "--scorer", "cosine", "--json"
    )
    assert (code, json.loads(out)["scorers"]) == (0, ["cosine"])


def test_a_run_without_rounds_says_so(command, game, app_dir):
    """An unfinished run is scored as far as it goes, be it nowhere."""
    played = game("honest=2")
    code, out, _ = command(played.fixture.store.root, "--subnet", app_dir)
    assert (code, out) == (0, "no round is settled yet\n")


def test_a_real_run_knows_no_kinds(command, run_folder, app_dir):
    """Where no cast was written down, participants have a hotkey alone, and nobody is called a cheat."""
    plan = json.loads((run_folder / "run.json").read_text())
    del plan["cast"]
    (run_folder / "run.json").write_text(json.dumps(plan))
    options = (run_folder, "--subnet", app_dir, "--scorer", "path_credit")
    found = json.loads(command(*options, "--json")[1])
    assert {one["kind"] for one in found["participants"]} == {None}
    code, out, _ = command(*options)
    assert code == 0
    assert "cheat" not in out
    assert found["participants"][0]["hotkey"][:8] in out


def no_run(folder):
    return folder.parent / "nowhere", []


def unknown_scorer(folder):
    return folder, ["--scorer", "shaply"]


def missing_updates(folder):
    shutil.rmtree(folder / "updates")
    return folder, []


def altered_model(folder):
    for path in (folder / "models").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    return folder, []


def other_rules(folder):
    path = folder / "subnet.toml"
    path.write_text(path.read_text() + "\n[split]\nowner = 99\n")
    return folder, []


def no_plan(folder):
    (folder / "run.json").unlink()
    return folder, []


MISTAKES = {
    no_run: ("no ledger.sqlite in", "name the folder that a run has printed"),
    unknown_scorer: ("scorer 'shaply' is unknown", "did you mean 'shapley'?"),
    missing_updates: ("sent in round 1 isn't there", "restore the folder updates/"),
    altered_model: ("was altered", "restore the file from a copy"),
    other_rules: ("subnet.toml isn't what the run was played by", "restore the file from a copy"),
    no_plan: ("isn't a run's folder: run.json can't be read", "name the folder that a run has printed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_a_remedy(command, run_folder, app_dir, mistake):
    """Whatever is wrong with the folder or the names, it is one line with a remedy and exit code 3."""
    folder, options = mistake(run_folder)
    code, out, err = command(folder, "--subnet", app_dir, "--scorer", "cosine", *options)
    assert (code, out) == (3, "")
    line, remedy = err.strip().splitlines()
    assert line.startswith("error: ")
    assert remedy.startswith("remedy: ")
    words, advice = MISTAKES[mistake]
    assert words in line
    assert advice in remedy


def test_a_folder_without_the_subnet_is_refused(command, run_folder, tmp_path):
    """The task is code of the subnet's own folder, and the remedy names the option."""
    code, _, err = command(run_folder, "--subnet", tmp_path)
    assert code == 3
    assert "the subnet 'toy' that" in err
    assert "--subnet" in err.splitlines()[-1]
