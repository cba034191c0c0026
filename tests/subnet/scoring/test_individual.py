"""The individual scorer: L(w) - L(w + u), unclipped, and nothing else."""

import pytest
import torch

from subnet.scoring.history import History
from subnet.scoring.individual import Individual
from subnet.spec import ScoringSection

SCORER = Individual(ScoringSection())


def test_credit_is_the_loss_improvement_of_each_update_alone(make_field, trained, task, layout):
    """Mean and standard error over the batches agree with a slow loop over models of its own."""
    field = make_field(torch.cat([trained, -3 * trained[:1]]))
    model, table = task.model(), []
    for batch in field.batches:
        losses = []
        for update in [torch.zeros_like(field.base), *field.updates]:
            layout.write(model, field.base + update)
            losses.append(float(task.loss(model, batch).detach()))
        table.append([losses[0] - loss for loss in losses[1:]])
    expected = torch.tensor(table, dtype=torch.float64)
    found = SCORER.appraise(field, History())
    torch.testing.assert_close(found.credit, expected.mean(0), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(found.standard_error, expected.std(0) / len(table) ** 0.5, rtol=1e-5, atol=1e-7)
    assert float(found.credit[5]) < 0


def test_nobody_is_gated_clipped_or_a_copy(make_field, trained):
    """Replays, copies and giants all count, which is why it is there to be compared with."""
    updates = torch.stack([trained[0], trained[0], 10 * trained[1], torch.zeros_like(trained[0])])
    field = make_field(updates, deltas=trained[:1])
    found = SCORER.appraise(field, History())
    assert not found.excluded(field).any()
    assert found.clip.tolist() == [1.0] * 4
    assert float(found.credit[0]) == pytest.approx(float(found.credit[1]), rel=1e-12)


def test_the_paying_credit_is_the_first_one(make_field, trained):
    """It doesn't depend on the aggregate, and all of it counts as novel."""
    field = make_field(trained)
    found = SCORER.appraise(field, History())
    credits = SCORER.credit(field, found, trained[0] * 100)
    assert torch.equal(credits.credit, found.credit)
    assert torch.equal(credits.novel, found.credit)
    assert torch.equal(credits.standard_error, found.standard_error)


def test_an_update_that_explodes_the_model_has_a_finite_negative_credit(make_field, trained):
    """A loss that isn't finite counts as very bad, as a number that a receipt can carry."""
    found = SCORER.appraise(make_field(torch.stack([trained[0], trained[0] * 1e38])), History())
    assert torch.isfinite(found.credit).all()
    assert torch.isfinite(found.z).all()
    assert float(found.credit[1]) <= 0
