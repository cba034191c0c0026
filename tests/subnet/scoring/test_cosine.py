"""The cosine scorer: who points where the aggregate points, in [-1, 1]."""

import pytest
import torch
from torch.nn import functional

from subnet.scoring.cosine import Cosine
from subnet.scoring.history import History
from subnet.spec import ScoringSection

SCORER = Cosine(ScoringSection())


def test_the_first_credit_is_the_cosine_to_the_clipped_mean(make_field, trained):
    """By hand, with a giant that is clipped to the median norm before the mean is taken."""
    plain = trained / trained.norm(dim=1, keepdim=True)
    field = make_field(torch.cat([plain, 50 * plain[:1]]))
    mean = torch.cat([plain, plain[:1]]).double().mean(0)
    expected = functional.cosine_similarity(field.updates.double(), mean[None])
    torch.testing.assert_close(SCORER.appraise(field, History()).credit, expected, rtol=1e-5, atol=1e-7)


def test_the_paying_credit_is_the_cosine_to_the_aggregate_within_one(make_field, trained):
    """Of itself 1, of its opposite -1, of something perpendicular or of nothing 0; size is of no account."""
    across = torch.zeros_like(trained[0])
    across[0], across[1] = trained[0][1], -trained[0][0]
    updates = torch.stack([trained[0], 1e6 * trained[0], -trained[0], across, torch.zeros_like(across)])
    field = make_field(updates)
    credits = SCORER.credit(field, SCORER.appraise(field, History()), trained[0])
    assert credits.credit.tolist() == pytest.approx([1, 1, -1, 0, 0], abs=1e-6)
    assert (credits.credit.abs() <= 1).all()
    assert credits.standard_error.tolist() == [0.0] * 5
    assert torch.equal(credits.novel, credits.credit)
    assert credits.weighted is None


def test_no_loss_is_looked_at_and_the_unit_says_so(make_field, trained, objective):
    """It costs dot products alone, and a receipt doesn't call its credit a loss."""
    field = make_field(trained)
    before = objective.n_losses, objective.n_gradients
    SCORER.credit(field, SCORER.appraise(field, History()), trained.mean(0))
    assert (objective.n_losses, objective.n_gradients) == before
    assert "loss" not in SCORER.unit


def test_without_an_aggregate_there_is_no_direction(make_field, trained):
    """Zeros have a cosine of 0 with everything, and it is a number."""
    field = make_field(trained)
    credits = SCORER.credit(field, SCORER.appraise(field, History()), torch.zeros_like(field.base))
    assert credits.credit.tolist() == [0.0] * 5
