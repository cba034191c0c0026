"""Path credit: what the updates are worth adds up, and free riders and copies earn nothing of it."""

from dataclasses import replace

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from subnet.scoring.history import History
from subnet.scoring.path_credit import PATH_POINTS, PathCredit
from subnet.spec import ScoringSection

SCORER = PathCredit(ScoringSection())


def unit(updates):
    """Rows scaled to norm 1, so that nothing is clipped."""
    return updates / updates.norm(dim=1, keepdim=True)


def appraise(field):
    return SCORER.appraise(field, History())


@pytest.fixture
def loss64(task, layout):
    """Loss of a batch at a point in float64, by a model of its own."""
    model = task.model().double()

    def loss(point, batch):
        logits = functional_call(model, layout.split(point), (batch.inputs.double(),))
        return functional.cross_entropy(logits, batch.targets)

    return loss


def slow_credit(loss64, field, aggregate, parts, factors, points=PATH_POINTS):
    """-(1/n) <part, mean gradient over the path>, one float64 autograd call a point, a batch and an update."""
    rows = []
    for batch in field.batches:
        row = []
        for part, factor in zip(parts, factors, strict=True):
            total = 0.0
            for t in points:
                point = (field.base.double() + t * aggregate.double()).requires_grad_()
                (gradient,) = torch.autograd.grad(loss64(point, batch), point)
                total += float(gradient @ part) / len(points)
            row.append(-factor * total / field.n)
        rows.append(row)
    table = torch.tensor(rows, dtype=torch.float64)
    return table.mean(0), table.std(0) / len(rows) ** 0.5


def test_credits_add_up_to_the_loss_improvement_of_the_mean(make_field, trained, loss64):
    """With equal norms and everyone in, the sum of credits is the clipped mean's improvement on the batches."""
    field = make_field(unit(trained))
    aggregate = field.updates.mean(0)
    credits = SCORER.credit(field, appraise(field), aggregate)
    before, after = (
        sum(float(loss64(point.double(), batch).detach()) for batch in field.batches) / len(field.batches)
        for point in (field.base, field.base + aggregate)
    )
    assert before - after > 0.01
    assert float(credits.credit.sum()) == pytest.approx(before - after, rel=2e-3)


def test_credit_and_its_error_are_those_of_a_slow_oracle(make_field, trained, loss64):
    """Clipped updates of unequal norms and a public delta, against float64 autograd and explicit projections."""
    scales = torch.tensor([1.0, 1.0, 3.0, 0.5, 1.0])[:, None]
    deltas = trained[:2] + trained[2:4]
    field = make_field(unit(trained) * scales, deltas=deltas)
    aggregate = field.updates[:4].mean(0)
    credits = SCORER.credit(field, appraise(field), aggregate)
    wide = field.updates.double()
    factors = [1.0, 1.0, 1 / 3, 1.0, 1.0]
    projector = torch.linalg.pinv(deltas.double()) @ deltas.double()
    expected, error = slow_credit(loss64, field, aggregate, wide, factors)
    torch.testing.assert_close(credits.credit, expected, rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(credits.standard_error, error, rtol=1e-4, atol=1e-7)
    novel, novel_error = slow_credit(loss64, field, aggregate, wide - wide @ projector, factors)
    torch.testing.assert_close(credits.novel, novel, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(credits.novel_standard_error, novel_error, rtol=1e-3, atol=1e-6)


def test_the_first_credit_is_that_along_the_clipped_mean_of_the_kept(make_field, trained, loss64):
    """Before anyone is dropped, the path is the mean of the clipped updates that are neither gated nor copies.

    Its middle stands for all of it.
    """
    deltas = trained[4:5]
    updates = torch.cat([unit(trained[:4]), trained[4:5], unit(trained[:1])])
    field = make_field(updates, deltas=deltas)
    found = appraise(field)
    assert found.gated.tolist() == [False] * 4 + [True, False]
    assert found.copy_of == {"f": "a"}
    direction = (found.clip[:4, None] * updates[:4].double()).mean(0)
    expected, _ = slow_credit(loss64, field, direction, updates.double(), found.clip.tolist(), points=(0.5,))
    torch.testing.assert_close(found.credit, expected * 6 / 5, rtol=1e-4, atol=1e-7)  # n doesn't count the copy


def test_a_helpful_update_has_positive_and_its_opposite_negative_credit(make_field, trained):
    """The sign of the credit is that of the help, and z is credit over error."""
    updates = torch.cat([unit(trained), -unit(trained[:1])])
    found = appraise(make_field(updates))
    assert float(found.credit[0]) > 0 > float(found.credit[5])
    assert float(found.credit[0]) == pytest.approx(-float(found.credit[5]), rel=1e-9)
    torch.testing.assert_close(found.z, found.credit / found.standard_error)


def test_size_beyond_the_median_earns_nothing_more(make_field, trained):
    """An update sent ten times as large has the credit of one at the median norm."""
    plain = make_field(unit(trained))
    scaled = plain.updates.clone()
    scaled[2] *= 10
    aggregate = plain.updates.mean(0)
    credits = [
        SCORER.credit(field, appraise(field), aggregate).credit for field in (plain, replace(plain, updates=scaled))
    ]
    torch.testing.assert_close(credits[0], credits[1], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("factor", [1.0, -1.0, 0.01, 100.0])
def test_the_gate_stops_what_is_public_already(make_field, trained, factor):
    """A replay of the last global delta, at any size or sign, is gated and out of the aggregate; the honest pass."""
    delta = trained.mean(0)
    field = make_field(torch.cat([unit(trained), factor * delta[None]]), deltas=delta[None])
    found = appraise(field)
    assert found.gated.tolist() == [False] * 5 + [True]
    assert found.excluded(field).tolist() == [False] * 5 + [True]


def test_the_gate_stops_a_mix_of_public_deltas(make_field, trained):
    """Recombining old deltas is free riding too."""
    deltas = trained[:3]
    field = make_field(torch.cat([unit(trained[3:]), (deltas[0] - 2 * deltas[1] + deltas[2])[None]]), deltas=deltas)
    assert appraise(field).gated.tolist() == [False, False, True]


def test_the_gate_stops_zeros(make_field, trained):
    """An update of zeros has no novelty, in the first round already, and doesn't lower the gate for others."""
    field = make_field(torch.cat([unit(trained), torch.zeros(3, trained.shape[1])]))
    found = appraise(field)
    assert found.gated.tolist() == [False] * 5 + [True] * 3
    assert found.gate == pytest.approx(0.8)
    assert found.credit[5:].tolist() == [0.0] * 3
    assert found.z[5:].tolist() == [0.0] * 3


def test_a_field_of_zeros_is_gated_whole(make_field, trained):
    """With nobody moving there is a gate all the same, and all numbers are finite."""
    found = appraise(make_field(torch.zeros_like(trained)))
    assert found.gated.all()
    assert found.gate == ScoringSection().gate_floor
    assert torch.isfinite(found.credit).all()


def with_copy(trained, strength, seed=0):
    """Four honest updates and a copy of the first with noise of relative norm `strength`."""
    noise = torch.randn(trained.shape[1], generator=torch.Generator().manual_seed(seed))
    copied = unit(trained[:1]) + strength * (noise / noise.norm())
    return torch.cat([unit(trained[:4]), unit(copied)])


@pytest.mark.parametrize("strength", [0.0, 0.1, 0.5])
def test_exact_and_noisy_copies_are_found(make_field, trained, strength):
    """A copy, with noise of up to half its victim's norm, is a copy of its victim, and nobody else is."""
    field = make_field(with_copy(trained, strength))
    found = appraise(field)
    assert found.copy_of == {"e": "a"}
    assert found.excluded(field).tolist() == [False] * 4 + [True]


def test_of_two_alike_the_earlier_commitment_counts(make_field, trained):
    """When the copier's reply came first, its victim is the copy: order of arrival decides, not of hotkeys."""
    assert appraise(make_field(with_copy(trained, 0.0), arrivals=[4, 1, 2, 3, 0])).copy_of == {"a": "e"}


def test_a_victim_loses_nothing_by_being_copied(make_field, trained):
    """Everyone's credits are the same whether the fifth copies the first or isn't there."""
    delta = trained[4:5]
    copied = make_field(with_copy(trained, 0.0), deltas=delta)
    alone = make_field(unit(trained[:4]), deltas=delta)
    aggregate = copied.updates[:4].mean(0)
    one, two = appraise(copied), appraise(alone)
    assert one.copy_of
    torch.testing.assert_close(one.credit[:4], two.credit[:4], rtol=1e-6, atol=1e-10)
    ours, theirs = SCORER.credit(copied, one, aggregate), SCORER.credit(alone, two, aggregate)
    torch.testing.assert_close(ours.credit[:4], theirs.credit[:4], rtol=1e-6, atol=1e-10)
    torch.testing.assert_close(ours.novel[:4], theirs.novel[:4], rtol=1e-6, atol=1e-10)


def test_one_update_alone_is_scored(make_field, trained):
    """A field of one has no pair and no spread, and its credit is its own improvement."""
    field = make_field(unit(trained[:1]))
    found = appraise(field)
    assert not found.excluded(field).any()
    assert float(found.credit[0]) > 0


def test_an_exploded_model_gives_finite_numbers(make_field, trained):
    """Where gradients overflow, credits and errors are numbers that a receipt can carry."""
    field = replace(make_field(trained), base=torch.full_like(trained[0], 1e38))
    found = appraise(field)
    credits = SCORER.credit(field, found, trained.mean(0) * 1e38)
    for values in (found.credit, found.standard_error, found.z, credits.credit, credits.novel, credits.standard_error):
        assert torch.isfinite(values).all()
