"""The command line as a person meets it: what it prints, how it fails, what it never does."""

import json
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endtoend.conftest import BLOBS, DIGITS, ROOT, CommandLine

ROUND_FIELDS = {
    *("round", "era", "emission", "minted", "base_hash", "model_hash", "val_loss_before", "val_loss_after"),
    *("val_accuracy", "accepted", "rejected", "rewards"),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[CommandLine, dict, Path]:
    """A finished run of the tiny subnet: command line, its JSON, its folder."""
    subnet = CommandLine(tmp_path_factory.mktemp("played"))
    done = subnet.run("simulate", BLOBS, "--out", "run", "--json")
    assert done.returncode == 0, done.stderr
    return subnet, json.loads(done.stdout), subnet.folder / "run"


def test_help_imports_neither_torch_nor_flower():
    """`subnet --help` must be quick: the modules behind it are light."""
    code = (
        "import sys, subnet.cli.app; print([m for m in ('torch', 'flwr', 'sqlalchemy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_names_every_command(subnet: CommandLine):
    """The front page of the command line lists what there is."""
    done = subnet.run("--help")
    assert done.returncode == 0
    commands = ("demo", "simulate", "explain", "earnings", "emission", "strategies", "ledger", "verify", "settlement")
    for command in (*commands, "wallet", "statement"):
        assert re.search(rf"^\s+{command}\s", done.stdout, re.MULTILINE)


def test_simulate_prints_one_json_object_of_the_agreed_form(played):
    """The names, types and sums of `simulate --json` are those that others build on."""
    _, result, _ = played
    assert result["schema_version"] == 1
    assert result["subnet"] == "blobs"
    assert [entry["round"] for entry in result["rounds"]] == [1, 2, 3, 4, 5]
    assert [entry["era"] for entry in result["rounds"]] == [0, 0, 1, 1, 2]
    for entry in result["rounds"]:
        assert set(entry) >= ROUND_FIELDS
        assert all(type(entry[name]) is int for name in ("round", "era", "emission", "minted"))
        assert all(type(reward) is int for reward in entry["rewards"].values())
        assert entry["minted"] <= entry["emission"]
    kinds = {one["kind"] for one in result["participants"]}
    assert kinds == {"honest", "sign_flip", "stale", "unsigned"}
    for one in result["participants"]:
        assert one["reward"] == sum(entry["rewards"].get(one["hotkey"], 0) for entry in result["rounds"])
    assert result["supply"]["minted"] == sum(entry["minted"] for entry in result["rounds"])
    assert result["supply"]["minted"] <= result["supply"]["cap"]
    assert sum(one["share"] for one in result["participants"]) == pytest.approx(1.0)
    assert result["ledger"]["ok"] is True
    assert set(result["final"]) >= {"val_loss", "val_accuracy"}
    assert isinstance(result["seconds"], float)


def test_the_same_command_again_shows_the_finished_run(played):
    """A finished run isn't played twice: the same folder gives the same rounds and the same head."""
    subnet, result, _ = played
    again = json.loads(subnet.run("simulate", BLOBS, "--out", "run", "--json").stdout)
    assert again["rounds"] == result["rounds"]
    assert again["ledger"] == result["ledger"]


def test_tables_show_rounds_leaderboard_supply_and_folder(subnet: CommandLine):
    """What a person sees: every round with reasons, who earned what, the supply, and the way to `explain`."""
    done = subnet.run("simulate", BLOBS, "--rounds", 3, "--out", "run")
    assert done.returncode == 0, done.stderr
    for words in (
        "honest-1",
        "sign_flip",
        "stale free_riding",
        "unsigned unsigned",
        "BLOB",
        "next halving after round 4",
    ):
        assert words in done.stdout, words
    assert "verified" in done.stdout
    command = re.search(r"subnet (explain run 3 [0-9a-f]+)", done.stdout)
    assert command
    explained = subnet.run(*command[1].split())
    assert explained.returncode == 0, explained.stderr
    for words in (
        "credit",
        "standard errors",
        "clip",
        "free-ride gate",
        "copy rule",
        "outlier checks",
        "window",
        "reward",
    ):
        assert words in explained.stdout, words


def test_explain_prints_the_receipt_whose_hash_is_in_the_ledger(played):
    """`explain --json` is the stored receipt itself."""
    subnet, result, folder = played
    hotkey = result["participants"][0]["hotkey"]
    receipt = json.loads(subnet.run("explain", folder, 5, hotkey, "--json").stdout)
    assert receipt["hotkey"] == hotkey
    assert receipt["reward"] == result["rounds"][4]["rewards"][hotkey]


def test_ledger_show_adds_up(played):
    """Everything that was minted is on somebody's account."""
    subnet, result, folder = played
    shown = json.loads(subnet.run("ledger", "show", folder, "--json").stdout)
    assert sum(shown["balances"].values()) == 0
    assert -shown["balances"]["issuance"] == result["supply"]["minted"]
    words = subnet.run("ledger", "show", folder).stdout
    assert "issuance" in words
    assert "pending" in words
    for hotkey, one in shown["earnings"].items():
        assert one["pending"] == shown["balances"][f"pending:{hotkey}"]
        assert hotkey[:12] in words


def test_earnings_tell_vested_from_pending_and_when_it_is_released(played):
    """By default nothing is released in five rounds; each round's pay has its release 20 rounds later."""
    subnet, result, folder = played
    best = result["participants"][0]
    told = json.loads(subnet.run("earnings", folder, best["hotkey"][:10], "--json").stdout)
    assert (told["round"], told["vesting"], told["unit"]) == (5, 20, "BLOB")
    [one] = told["participants"]
    assert (one["vested"], one["pending"], one["voided"]) == (0, best["reward"], 0)
    rewards = {entry["round"]: entry["rewards"].get(best["hotkey"], 0) for entry in result["rounds"]}
    assert {found["round"] - 20: found["amount"] for found in one["releases"]} == {
        number: reward for number, reward in rewards.items() if reward
    }
    words = subnet.run("earnings", folder, best["hotkey"][:10]).stdout
    assert "released in round" in words
    assert "pending for 20 rounds" in words
    explained = subnet.run("explain", folder, 5, best["hotkey"][:10]).stdout
    assert ("pending until round 25" in explained) == bool(rewards[5])
    nobody = subnet.run("earnings", folder, "zz")
    assert nobody.returncode == 3
    assert "'zz'" in nobody.stderr


def test_ledger_verify_exits_1_when_an_amount_was_changed(played, tmp_path: Path):
    """One changed unit on one posting is found and named, and the exit code says so."""
    subnet, _, folder = played
    good = subnet.run("ledger", "verify", folder, "--json")
    assert good.returncode == 0
    assert json.loads(good.stdout) == {**json.loads(good.stdout), "ok": True, "rounds": 5, "errors": []}
    for file in folder.glob("ledger.sqlite*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with sqlite3.connect(tmp_path / "ledger.sqlite") as database:
        triggers = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for trigger in triggers:
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE postings SET amount = amount + 1 WHERE round = 3 AND position = 1")
    database.close()
    bad = subnet.run("ledger", "verify", tmp_path, "--json")
    assert bad.returncode == 1
    said = json.loads(bad.stdout)
    assert said["ok"] is False
    assert any("round 3" in error for error in said["errors"])


def test_strategies_lists_the_default(subnet: CommandLine):
    """Every rule that subnet.toml can name is listed with its settings and source."""
    rows = json.loads(subnet.run("strategies", "--json").stdout)["strategies"]
    names = {row["name"] for row in rows}
    assert {"mean", "norm_clipping", "median", "trimmed_mean", "krum", "credit_gated"} <= names
    assert all(row["summary"] and row["source"] for row in rows)
    assert {row["name"]: row["kind"] for row in rows}["nnm"] == "mixer"
    assert {row["name"]: row["evidence"] for row in rows}["credit_gated"] == ["credit", "z"]
    subnet.environment["COLUMNS"] = "80"
    lines = subnet.run("strategies").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for words in (r"credit_gated +rule +f < n", r"bulyan +rule +n >= 4f \+ 3", r"nnm +mixer +n > 2f"):
        assert any(re.match(words, line) for line in lines), words


def test_strategies_says_everything_about_one(subnet: CommandLine):
    """Mixers and a rule, from a subnet's own folder: docstring, sources, evidence, settings with range and meaning."""
    shutil.copy(ROOT / "examples" / "custom_strategy" / "my_strategy.py", subnet.folder)
    name = "nnm+my_strategy:TypicalNorm"
    done = subnet.run("strategies", name)
    assert done.returncode == 0, done.stderr
    for words in (
        "nnm (mixer)",
        "typical_norm (rule)",
        "Withstands f < n/2 with a rule after it",
        "Allouah et al. 2023 (NNM)",
        "keep_share = 0.7",
        "a number: 0 to 1",
        "Share of the updates, in [0, 1], that are averaged",
    ):
        assert words in done.stdout, words
    parts = json.loads(subnet.run("strategies", name, "--json").stdout)["parts"]
    assert [part["name"] for part in parts] == ["nnm", "typical_norm"]
    assert parts[1]["settings"][0]["default"] == 0.7
    table = subnet.run("strategies", name, "--subnet", subnet.folder, "--markdown").stdout.splitlines()
    assert table[3].startswith("| `my_strategy:TypicalNorm` | rule | mean of the updates whose norms")
    unknown = subnet.run("strategies", "krun")
    assert unknown.returncode == 3
    assert "did you mean krum" in unknown.stderr


def broken_spec(folder: Path, old: str, new: str) -> Path:
    """Write the tiny subnet's spec with one passage changed."""
    text = (BLOBS / "subnet.toml").read_text()
    assert old in text
    path = folder / "subnet.toml"
    path.write_text(text.replace(old, new))
    return path


MISTAKES = {
    "no such folder": (["simulate", "nowhere"], "no subnet.toml at nowhere"),
    "unknown client kind": (["simulate", BLOBS, "--clients", "honest=2,ghost=1"], "'ghost' is unknown"),
    "no honest client": (["simulate", BLOBS, "--clients", "zero=2"], "no honest client"),
    "bad count": (["simulate", BLOBS, "--clients", "honest=many"], "'many' isn't a count"),
    "bad partition": (["simulate", BLOBS, "--partition", "dirichlet:-1"], "'dirichlet:-1' is unknown"),
    "too many clients": (["simulate", BLOBS, "--clients", "honest=999"], "use at most 40 clients"),
    "out is a file": (["simulate", BLOBS, "--out", "a-file"], "a-file"),
    "out isn't writable": (["simulate", BLOBS, "--out", "/proc/run"], "/proc/run"),
    "out holds other files": (["simulate", BLOBS, "--out", "full"], "holds other files (notes.txt)"),
    "unknown strategy to compare": (["simulate", BLOBS, "--compare", "krumm"], "'krumm'"),
    "ledger of nothing": (["ledger", "verify", "nowhere"], "no ledger.sqlite in nowhere"),
    "explain of nothing": (["explain", "nowhere", "1", "ab"], "no ledger.sqlite in nowhere"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_one_line_and_a_remedy(subnet: CommandLine, mistake: str):
    """Whatever is wrong with the command, it is said in one line with a remedy, and never as a traceback."""
    (subnet.folder / "a-file").write_text("x")
    (subnet.folder / "full").mkdir()
    (subnet.folder / "full" / "notes.txt").write_text("mine")
    arguments, words = MISTAKES[mistake]
    done = subnet.run(*arguments)
    assert done.returncode == 3, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("error: ")
    assert words in done.stderr
    assert lines[-1].startswith("remedy: ")
    assert len(lines) == 2
    assert (subnet.folder / "full" / "notes.txt").read_text() == "mine"


SPEC_MISTAKES = {
    "not TOML": ('name = "blobs"', "name = blobs", "isn't TOML"),
    "misspelt key": ("n_batches = 4", "n_batch = 4", "did you mean 'n_batches'"),
    "unknown section": ("[validation]", "[validating]", "unknown key 'validating'"),
    "wrong type": ("count = 5", 'count = "five"', "rounds.count = 'five'"),
    "out of range": ("deadline_s = 60", "deadline_s = 0", "rounds.deadline_s = 0"),
    "missing": ('symbol = "BLOB"', "", "'token.symbol' is missing"),
    "amount as a number": ('emission = "10"', "emission = 10", "write the amount as text"),
    "too many decimals": ('emission = "10"', 'emission = "0.0000000001"', "at most 9 decimals"),
    "unknown scorer": ("[validation]", '[scoring]\nscorer = "path_credits"\n[validation]', "'path_credit'?"),
    "unknown strategy": ("[validation]", '[strategy]\nname = "credit"\n[validation]', "'credit'"),
    "bad strategy setting": (
        "[validation]",
        '[strategy]\nname = "krum"\nsettings = { neighbors = "n-f-1" }\n[validation]',
        "neighbors",
    ),
    "task that isn't there": ("blobs.task:Blobs", "blobs.task:Bubbles", "no Task class named 'Bubbles'"),
}


@pytest.mark.parametrize("mistake", SPEC_MISTAKES)
def test_a_broken_spec_is_named_by_file_key_and_value(subnet: CommandLine, mistake: str):
    """An error in subnet.toml names the key, what it says and what is allowed; nothing is started or left behind."""
    old, new, words = SPEC_MISTAKES[mistake]
    package = subnet.folder / "blobs"
    package.mkdir()
    for file in (BLOBS / "blobs").glob("*.py"):
        (package / file.name).write_text(file.read_text())
    path = broken_spec(subnet.folder, old, new)
    done = subnet.run("simulate", path, "--out", "run")
    assert done.returncode == 3, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    assert not (subnet.folder / "run" / "ledger.sqlite").exists()


def test_another_run_in_the_folder_is_never_touched(played):
    """A run with another seed is refused its folder, and the error says what differs."""
    subnet, result, folder = played
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*.json"))}
    done = subnet.run("simulate", BLOBS, "--out", "run", "--seed", 9)
    assert done.returncode == 3
    assert "its seed is 0, this one's 9" in done.stderr
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*.json"))} == before
    assert json.loads(subnet.run("ledger", "verify", folder, "--json").stdout)["head"] == result["ledger"]["head"]


def test_a_full_disk_stops_the_run_with_one_line_and_loses_nothing(subnet: CommandLine):
    """When a write fails for want of room, what is settled stays, and the same command goes on from there."""

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    options = ("simulate", BLOBS, "--rounds", 12, "--out", "run", "--json")
    done = subnet.run(*options, preexec_fn=little_room)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2, done.stderr
    kept = json.loads(subnet.run("ledger", "verify", "run", "--json").stdout)
    assert kept["ok"], kept["errors"]
    assert kept["rounds"] < 12
    whole = subnet.run(*options)
    assert whole.returncode == 0, whole.stderr
    straight = subnet.run("simulate", BLOBS, "--rounds", 12, "--out", "straight", "--json")
    assert json.loads(whole.stdout)["ledger"] == json.loads(straight.stdout)["ledger"]


@pytest.mark.processes
def test_the_demo_trains_pays_the_honest_and_shows_fedavg_wrecked(subnet: CommandLine):
    """The main job: the model learns among five cheats, who earn next to nothing, and FedAvg doesn't."""
    done = subnet.run("demo", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["final"]["val_accuracy"] > 0.85
    assert result["compare"]["final"]["val_accuracy"] < 0.5
    earned = {"honest": 0, "cheats": 0}
    for one in result["participants"]:
        earned["honest" if one["kind"] == "honest" else "cheats"] += one["reward"]
    total = sum(earned.values())
    assert earned["honest"] >= 0.95 * total
    assert earned["cheats"] <= 0.02 * total
    assert len({entry["era"] for entry in result["rounds"]}) >= 3
    assert result["ledger"]["ok"]
    assert (
        DIGITS.joinpath("subnet.toml").read_text() == Path(result["folder"], "subnet.toml").read_text()
        if Path(result["folder"]).is_absolute()
        else (subnet.folder / result["folder"] / "subnet.toml").exists()
    )
