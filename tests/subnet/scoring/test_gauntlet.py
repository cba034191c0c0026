"""The gauntlet scorer: what a small step along the clipped update improves."""

import pytest
import torch

from subnet.scoring.gauntlet import STEP, Gauntlet
from subnet.scoring.history import History
from subnet.spec import ScoringSection

SCORER = Gauntlet(ScoringSection())


def test_credit_is_the_loss_improvement_of_a_fifth_of_the_clipped_update(make_field, trained, task, layout):
    """Mean and standard error over the batches agree with a slow loop over a model of its own."""
    field = make_field(torch.cat([trained, 4 * trained[:1]]))
    norms = field.updates.double().norm(dim=1)
    factors = (norms.median() if len(norms) % 2 else norms.sort().values[2:4].mean()) / norms
    model, table = task.model(), []
    for batch in field.batches:
        losses = []
        for index in range(-1, field.n):
            step = 0.2 * min(1.0, float(factors[index])) * field.updates[index] if index >= 0 else 0.0
            layout.write(model, field.base + step)
            losses.append(float(task.loss(model, batch).detach()))
        table.append([losses[0] - loss for loss in losses[1:]])
    expected = torch.tensor(table, dtype=torch.float64)
    found = SCORER.appraise(field, History())
    assert STEP == 0.2
    torch.testing.assert_close(found.credit, expected.mean(0), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found.standard_error, expected.std(0) / len(table) ** 0.5, rtol=1e-2, atol=1e-6)


def test_a_helpful_direction_earns_and_its_opposite_costs(make_field, trained):
    """The mean of honest updates has a positive credit, the same turned round a negative one."""
    mean = trained.mean(0)
    found = SCORER.appraise(make_field(torch.stack([mean, -mean])), History())
    assert float(found.credit[0]) > 0 > float(found.credit[1])


def test_size_beyond_the_median_earns_nothing_more(make_field, trained):
    """An update sent ten times as large has the credit of one at the median norm."""
    plain = trained / trained.norm(dim=1, keepdim=True)
    scaled = plain.clone()
    scaled[2] *= 10
    credits = [SCORER.appraise(make_field(updates), History()).credit for updates in (plain, scaled)]
    torch.testing.assert_close(credits[0], credits[1], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", ["replay", "copy", "zero"])
def test_nobody_is_gated_or_a_copy(make_field, trained, kind):
    """Replays, copies and zeros all pass, which is what it is compared for; zeros are worth 0."""
    last = {"replay": trained[1], "copy": trained[0], "zero": torch.zeros_like(trained[0])}[kind]
    field = make_field(torch.stack([trained[0], trained[2], last]), deltas=trained[1:2])
    found = SCORER.appraise(field, History())
    assert not found.excluded(field).any()
    if kind == "zero":
        assert float(found.credit[2]) == 0.0
