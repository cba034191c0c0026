"""`subnet bundle` as a person meets it, and what `subnet audit` makes of it."""

import json
import shutil
from pathlib import Path

from tokenomics.ledger import Ledger

BLOBS = Path(__file__).parents[2] / "apps" / "blobs"


def test_a_bundle_is_written_told_and_audited(command, season, app_dir, tmp_path):
    root, ledger = season.fixture.store.root, season.fixture.ledger
    code, out, err = command("bundle", root, tmp_path / "run.tar")
    assert (code, err) == (0, "")
    assert f"run.tar: 4 rounds of {ledger.key.name}, " in out
    assert f"head {ledger.head}\n" in out
    code, out, _ = command("bundle", root, tmp_path / "run", "--json")
    told = json.loads(out)
    assert (code, told["rounds"], told["path"]) == (0, 4, str(tmp_path / "run"))
    for name in ("run", "run.tar"):
        code, out, _ = command("audit", tmp_path / name, "--subnet", app_dir, "--key", ledger.key)
        assert code == 0
        assert out.endswith("everything that was checked agrees\n")


def test_a_bundle_has_the_orders_and_an_audit_settles_them_again(command, tmp_path):
    """What was moved is told, and can be checked, by the bundle alone."""
    app, run = shutil.copytree(BLOBS, tmp_path / "app"), tmp_path / "run"
    rules = app / "subnet.toml"
    rules.write_text(f"{rules.read_text()}\n[scoring]\nvesting = 0\n")
    simulate = ("simulate", app, "--clients", "honest=3", "--seed", 5, "--out", run, "--json")
    code, out, err = command(*simulate, "--rounds", 2)
    assert (code, err) == (0, "")
    with Ledger.open(run / "ledger.sqlite", read_only=True) as ledger:
        hotkey = max(ledger.earnings().items(), key=lambda one: one[1].balance)[0]
    assert command("wallet", "simulated", run, hotkey[:12], tmp_path, "--name", "ada")[0] == 0
    spend = ("--run", run, "--no-password", "--amount", "1")
    assert command("wallet", "stake", tmp_path / "ada", *spend)[0] == 0
    assert command(*simulate, "--rounds", 3)[0] == 0
    assert command("bundle", run, tmp_path / "out")[0] == 0
    code, out, _ = command("audit", tmp_path / "out", "--subnet", app)
    assert (code, out.endswith("everything that was checked agrees\n")) == (0, True)
    with Ledger.open(tmp_path / "out" / "ledger.sqlite", read_only=True) as ledger:
        assert [one.order.kind for one in ledger.orders(3)] == ["stake"]


def test_a_mistake_gets_one_line_and_a_remedy(command, tmp_path):
    code, out, err = command("bundle", tmp_path, tmp_path / "out")
    assert (code, out) == (3, "")
    assert "no ledger.sqlite in" in err
    assert "remedy: " in err
