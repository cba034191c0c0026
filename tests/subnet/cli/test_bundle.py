"""`subnet bundle` as a person meets it, and what `subnet audit` makes of it."""

import json


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


def test_a_mistake_gets_one_line_and_a_remedy(command, tmp_path):
    code, out, err = command("bundle", tmp_path, tmp_path / "out")
    assert (code, out) == (3, "")
    assert "no ledger.sqlite in" in err
    assert "remedy: " in err
