"""`subnet audit` as a person meets it: a table, one object, exit codes, and one line for whatever is wrong."""

import json
import shutil
from functools import partial

import pytest

from subnet.audit import LAYERS
from subnet.receipts import acknowledge


@pytest.fixture
def command(command, monkeypatch):
    """Runs `subnet audit ...` in this process; gives exit code, output and error stream."""
    monkeypatch.setenv("COLUMNS", "100")
    return partial(command, "audit")


@pytest.fixture
def bundle(season, tmp_path):
    """A copy of the season's folder that a test may damage."""
    return shutil.copytree(season.fixture.store.root, tmp_path / "bundle")


@pytest.fixture
def damaged(season, bundle):
    """A bundle with another byte in an update, and that update's receipt."""
    receipt = season.report(3).receipts[season.of_kind("honest")[1]]
    path = bundle / "updates" / f"{receipt['update_hash']}.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    return bundle, receipt


def test_an_honest_run_has_a_table_of_all_layers_and_exit_code_0(command, season, app_dir, tmp_path):
    """Held to the published key and a kept checkpoint too; what is the validator's word is said."""
    ledger = season.fixture.ledger
    kept = tmp_path / "kept"
    kept.write_text(ledger.checkpoint_of(2).note)
    code, out, err = command(season.fixture.store.root, "--subnet", app_dir, "--key", ledger.key, "--checkpoint", kept)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(LAYERS)]] == list(LAYERS)
    assert "4 of 4 models and 32 of 32 scores came out bit for bit, so everything has to" in out
    assert "taken on the validator's word, since there was nothing to keep: 4 failed, 4 unsigned" in out
    assert lines[-1] == "everything that was checked agrees"


def test_a_disagreement_is_named_and_the_exit_code_is_1(command, damaged, app_dir):
    """Layer, round, hotkey, recorded and recomputed; what couldn't be recomputed is said."""
    bundle, receipt = damaged
    code, out, _ = command(bundle, "--subnet", app_dir)
    assert code == 1
    assert f"first disagreement: signatures, round 3, {receipt['hotkey'][:8]}, stored bytes" in out
    assert f"recorded    update {receipt['update_hash']}" in out
    assert "was altered" in out
    assert "not recomputed: round 3" in out


def test_json_is_one_object(command, damaged, app_dir):
    bundle, receipt = damaged
    code, out, err = command(bundle, "--subnet", app_dir, "--json", "--from", 2, "--to", 3)
    assert (code, err) == (1, "")
    found = json.loads(out)
    assert (found["schema_version"], found["ok"], found["rounds"]) == (1, False, [2, 3])
    assert found["history_from_receipts"] is True
    assert found["first"]["hotkey"] == receipt["hotkey"]
    assert [one["layer"] for one in found["layers"]] == list(LAYERS)
    wrong = {one["layer"] for one in found["layers"] if one["checked"] != one["agree"]}
    assert wrong == {one["layer"] for one in found["layers"] if one["first"]} == {"signatures"}


def test_a_part_says_where_its_history_comes_from(command, season, app_dir):
    code, out, _ = command(season.fixture.store.root, "--subnet", app_dir, "--from", 2, "--to", 3)
    assert code == 0
    assert "rounds 2 to 3 recomputed; what happened before round 2 was taken from the receipts" in out


def test_an_acknowledgement_is_read_from_a_file(command, season, app_dir, tmp_path):
    receipt = season.report(2).receipts[season.of_kind("honest")[0]]
    for name, told in (("true", receipt), ("false", receipt | {"reward": receipt["reward"] + 1})):
        log = season.fixture.ledger.checkpoint_of(2).tree
        word = acknowledge(season.fixture.keypair, told, log=log.origin, log_root=log.root)
        (tmp_path / name).write_text(f"{word}\n{word}\n")
    options = (season.fixture.store.root, "--subnet", app_dir, "--acks", tmp_path / "true")
    assert command(*options)[0] == 0
    code, out, _ = command(*options, "--acknowledgement", tmp_path / "false")
    assert code == 1
    assert f"screening, round 2, {receipt['hotkey'][:8]}, acknowledged reward" in out


def no_run(folder):
    return folder.parent / "nowhere", []


def no_such_round(folder):
    return folder, ["--from", "3", "--to", "9"]


def no_checkpoint(folder):
    return folder, ["--checkpoint", folder / "missing"]


def no_form(folder):
    return folder, ["--checkpoint", folder / "run.json"]


def no_key(folder):
    return folder, ["--key", "abc"]


def other_rules(folder):
    path = folder / "subnet.toml"
    path.write_text(path.read_text() + "\n[split]\nowner = 99\n")
    return folder, []


MISTAKES = {
    no_run: "no ledger.sqlite in",
    no_such_round: "rounds 3 to 9 aren't all settled: the run has 4",
    no_checkpoint: "missing can't be read",
    no_form: "",
    no_key: "",
    other_rules: "subnet.toml isn't what the run was played by",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_a_mistake_gets_one_line_and_a_remedy(command, bundle, app_dir, mistake):
    folder, options = mistake(bundle)
    code, out, err = command(folder, "--subnet", app_dir, *options)
    assert (code, out) == (3, "")
    line, remedy = err.strip().splitlines()
    assert line.startswith("error: ")
    assert MISTAKES[mistake] in line
    assert remedy.startswith("remedy: ")
