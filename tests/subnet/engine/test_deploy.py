"""The run configuration of a real deployment."""

import pytest
from flwr.app import Context, RecordDict

from subnet.engine.deploy import Settings
from subnet.errors import SpecError

CONFIG = {"rounds": 2, "min-participants": 1, "wait-s": 5, "out": "", "wallet": ""}


def read(**changes):
    """The settings of a run with these changes."""
    config = CONFIG | {name.replace("_", "-"): value for name, value in changes.items()}
    return Settings.read(Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config=config))


def test_the_ledgers_url_comes_from_the_run_then_the_environment_then_is_none(monkeypatch):
    monkeypatch.delenv("SUBNET_LEDGER_URL", raising=False)
    assert read().ledger_url is None
    monkeypatch.setenv("SUBNET_LEDGER_URL", "postgresql://a/b")
    assert read(ledger_url="").ledger_url == "postgresql://a/b"
    assert read(ledger_url="postgresql://c/d").ledger_url == "postgresql://c/d"


def test_a_setting_of_another_type_is_named():
    with pytest.raises(SpecError, match="rounds = 'many'"):
        read(rounds="many")
