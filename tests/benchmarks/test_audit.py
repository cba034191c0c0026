"""The audit's benchmark measures a run that it has played, and gives the steps back as they were."""

from pathlib import Path

import subnet.round
from benchmarks import audit

TOY = Path(__file__).parents[1] / "clients" / "toy_app"


def test_every_step_is_timed_and_put_back(monkeypatch):
    """Of the validator and of the audit; the ratios are of these times."""
    monkeypatch.setattr(audit, "REPEATS", 1)
    before = subnet.round.score, subnet.round.screen, subnet.settle.conclude
    row = audit.measure(TOY, n_clients=3, n_rounds=2)
    assert (subnet.round.score, subnet.round.screen, subnet.settle.conclude) == before
    assert all(
        row[f"{name}_s"] > 0 for name in ("screen", "score", "aggregate", "accept", "conclude", "judge", "audit")
    )
    assert row["ratio"] >= row["ratio_with_judge"] >= row["ratio_same_steps"] > 0
