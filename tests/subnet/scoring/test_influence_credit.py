"""Efficiency: the credit of what a strategy took of each update adds up to the improvement that came about."""

import pytest
import torch

import strategies
from strategies import Evidence
from subnet.scoring import path_credit
from subnet.scoring.history import History
from subnet.scoring.path_credit import PathCredit, per_client_credit
from subnet.spec import ScoringSection

SCORER = PathCredit(ScoringSection())
TOLERANCE = 5e-3
"""Of the improvement: what three points leave of the path integral, on updates of real training."""


@pytest.fixture
def field(make_field, trained):
    """Five honest updates and a sign flip, of unequal size, in a small real task."""
    sizes = torch.tensor([1.0, 1.4, 0.7, 1.0, 1.2, 0.9])[:, None]
    return make_field(0.5 * sizes * torch.cat([trained, -trained[3:4]]))


def improvement(field, step):
    """How much the loss really falls, on average over the batches."""
    losses = [field.objective.losses(point, field.batches).mean() for point in (field.base, field.base + step)]
    return float(losses[0] - losses[1])


WHOLE_ROWS = [
    "mean", "fedavg", "norm_clipping", "multi_krum", "geometric_median", "centered_clipping", "credit_gated",
    "nnm+multi_krum", "bucketing+geometric_median",
]  # fmt: skip


@pytest.mark.parametrize("name", WHOLE_ROWS)
def test_weighted_credits_add_up_to_what_came_about(field, name):
    """Under rules that weigh or select whole rows, to half a percent of the improvement."""
    appraisal = SCORER.appraise(field, History())
    evidence = Evidence(
        credit=appraisal.credit, z=appraisal.z, hotkeys=field.hotkeys, n_examples=torch.tensor([9, 5, 7, 3, 8, 6])
    )
    made = strategies.create(name).aggregate(field.updates, evidence=evidence)
    rebuilt = made.influence @ field.updates.double()
    torch.testing.assert_close(rebuilt.float(), made.update, rtol=1e-4, atol=1e-6)
    found = SCORER.credit(field, appraisal, made.update, influence=made.influence)
    real = improvement(field, made.update)
    assert abs(real) > 0.01
    assert float(found.weighted.sum()) == pytest.approx(real, rel=TOLERANCE)


def test_a_single_row_is_a_long_step_and_needs_more_points(field, monkeypatch):
    """Krum takes one raw row, several times as far as a mean goes: the three points are off by a few parts in ten.

    With thirty points the credits add up as well as elsewhere, so it is the quadrature that is off, not the credit.
    """
    appraisal = SCORER.appraise(field, History())
    made = strategies.create("krum").aggregate(field.updates, evidence=Evidence(hotkeys=field.hotkeys))
    real = improvement(field, made.update)
    coarse = SCORER.credit(field, appraisal, made.update, influence=made.influence)
    assert float(coarse.weighted.sum()) == pytest.approx(real, rel=0.3)
    monkeypatch.setattr(path_credit, "PATH_POINTS", tuple((2 * k + 1) / 60 for k in range(30)))
    fine = SCORER.credit(field, appraisal, made.update, influence=made.influence)
    assert float(fine.weighted.sum()) == pytest.approx(real, rel=TOLERANCE)


def test_equal_credits_add_up_to_the_clipped_means_improvement(field):
    """What is paid, at the weight 1/n, adds up where the path leads to the clipped mean."""
    appraisal = SCORER.appraise(field, History())
    mean = (appraisal.clip[:, None] * field.updates.double()).mean(0).float()
    found = SCORER.credit(field, appraisal, mean)
    assert float(found.credit.sum()) == pytest.approx(improvement(field, mean), rel=TOLERANCE)
    assert found.weighted is None


def test_the_two_credits_agree_where_the_weights_do(field):
    """With the clipped mean's own weights, clip / n, the weighted credit is the paid one."""
    appraisal = SCORER.appraise(field, History())
    influence = appraisal.clip / field.n
    step = (influence @ field.updates.double()).float()
    found = SCORER.credit(field, appraisal, step, influence=influence)
    torch.testing.assert_close(found.weighted, found.credit, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", ["median", "trimmed_mean"])
def test_under_coordinate_rules_a_part_is_left_over(field, name):
    """Mean shares over the coordinates don't rebuild the aggregate: what they miss is the rest's own credit."""
    appraisal = SCORER.appraise(field, History())
    made = strategies.create(name).aggregate(field.updates, evidence=Evidence(hotkeys=field.hotkeys))
    found = SCORER.credit(field, appraisal, made.update, influence=made.influence)
    rest = made.update - (made.influence @ field.updates.double()).float()
    assert float(rest.norm()) > 0.01 * float(made.update.norm())
    gradients = [
        field.objective.path_gradient(field.base, made.update, batch, points=(1 / 6, 1 / 2, 5 / 6))
        for batch in field.batches
    ]
    left_over = -float(torch.stack(gradients).mean(0) @ rest.double())
    real = improvement(field, made.update)
    assert float(found.weighted.sum()) + left_over == pytest.approx(real, rel=TOLERANCE)


def test_one_slope_a_client_gives_what_one_gradient_gives(field):
    """Each client's own directional derivatives, in forward mode, are the one-pass credits, batch by batch."""
    appraisal = SCORER.appraise(field, History())
    step = field.updates[:4].mean(0)
    table = per_client_credit(field, appraisal.clip, step)
    found = SCORER.credit(field, appraisal, step)
    assert table.shape == (len(field.batches), field.n)
    torch.testing.assert_close(table.mean(0), found.credit, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(table.std(0) / len(table) ** 0.5, found.standard_error, rtol=1e-3, atol=1e-7)
