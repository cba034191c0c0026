"""An honest validator is never accused, whatever rules its subnet has and whoever takes part."""

from contextlib import nullcontext

import pytest

import subnet.audit.run
from subnet.audit import audit

RULES = {
    "totals of earlier rounds": {"scoring": {"window": 1, "history": 1, "suspension": 1}},
    "strikes": {"scoring": {"suspension": 2}},
    "no tolerance": {"validation": {"tolerance": 0.0}},
    "a cap on shares": {"scoring": {"share_cap": 1.0}},
    "pay at once": {"scoring": {"vesting": 0}},
    "a supply schedule": {"token": {"schedule": "supply", "cap": "250", "interval": None}},
    "slices": {"scoring": {"slices": "label"}},
    "probes": {"scoring": {"probes": 8, "probe_rounds": 2}},
    "a trusted update": {"strategy": {"name": "fltrust"}},
    "a rule that may be too few for": {"strategy": {"name": "multi_krum"}},
    "another scorer": {"scoring": {"scorer": "shapley"}},
}


@pytest.mark.parametrize("rules", RULES, ids=lambda name: name.replace(" ", "_"))
def test_an_honest_run_agrees_under_any_rules(rules, game, app_dir, monkeypatch):
    """Five rounds, one of them without most of the honest ones, with a cheat whose update is absurd."""
    played = game("honest=4,sign_flip:100=1,stale=1", **RULES[rules])
    played.play(2)
    played.play(without=played.of_kind("honest")[1:])
    played.play(without=played.of_kind("honest"))
    played.play()
    # the run's folder has the toy's own subnet.toml, not these rules
    monkeypatch.setattr(subnet.audit.run, "reopened", lambda *_: nullcontext(played.fixture))
    report = audit(played.fixture.store.root, [app_dir])
    assert report.first is None
    assert report.tallies["draw"].checked == 5
    assert report.unchecked == []
    assert audit(played.fixture.store.root, [app_dir], first=4).ok
