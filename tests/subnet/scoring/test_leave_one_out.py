"""Leave-one-out: the loss of the clipped mean without an update, less the loss with it."""

import pytest
import torch

from subnet.scoring.history import History
from subnet.scoring.leave_one_out import LeaveOneOut
from subnet.spec import ScoringSection

SCORER = LeaveOneOut(ScoringSection())


def unit(updates):
    """Rows scaled to norm 1, so that nothing is clipped."""
    return updates / updates.norm(dim=1, keepdim=True)


def slow(field, objective, factors):
    """By the definition: n + 1 models, each from its own mean of clipped rows."""
    rows = field.updates.double() * torch.tensor(factors, dtype=torch.float64)[:, None]

    def losses(chosen):
        step = rows[chosen].mean(0).float() if chosen else torch.zeros_like(field.base)
        return torch.tensor([objective.loss(field.base + step, batch) for batch in field.batches], dtype=torch.float64)

    everyone = list(range(field.n))
    missed = [losses([j for j in everyone if j != i]) - losses(everyone) for i in everyone]
    return torch.stack(missed, dim=1)


def test_credit_and_error_are_those_of_the_definition(make_field, trained, objective):
    """Updates of unequal size are clipped to the median norm, then each is left out in turn."""
    scales = torch.tensor([1.0, 1.0, 3.0, 0.5, 1.0])[:, None]
    field = make_field(unit(trained) * scales)
    expected = slow(field, objective, [1.0, 1.0, 1 / 3, 1.0, 1.0])
    found = SCORER.appraise(field, History())
    torch.testing.assert_close(found.credit, expected.mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.standard_error, expected.std(0) / len(expected) ** 0.5, rtol=1e-3, atol=1e-6)


def test_one_update_alone_is_missed_whole(make_field, trained, objective):
    """Without it there is only the base model, so its credit is its own improvement."""
    field = make_field(trained[:1])
    found = SCORER.appraise(field, History())
    own = [objective.loss(field.base, one) - objective.loss(field.base + trained[0], one) for one in field.batches]
    assert float(found.credit[0]) == pytest.approx(sum(own) / len(own), abs=1e-7)


def test_a_copy_lowers_its_victims_credit(make_field, trained):
    """Two that send the same are each missed less than the one was alone."""
    updates = unit(trained)
    alone = SCORER.appraise(make_field(updates), History()).credit
    best = int(alone.argmax())
    copied = SCORER.appraise(make_field(torch.cat([updates, updates[best : best + 1]])), History()).credit
    assert float(copied[best]) == pytest.approx(float(copied[5]), rel=1e-9)
    assert float(copied[best]) < float(alone[best])
