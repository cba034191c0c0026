"""Loss and gradient as functions of a point, with no memory of the point before."""

import pytest
import torch


def test_loss_and_gradient_belong_to_the_point_asked_for(objective, task, layout, base, batches):
    """Asked in any order, values are those of a fresh model at that point."""
    other = base + 0.1
    for point in (base, other, base):
        model = task.model()
        layout.write(model, point)
        loss = task.loss(model, batches[0])
        assert objective.loss(point, batches[0]) == pytest.approx(float(loss.detach()), rel=1e-6)
        torch.testing.assert_close(objective.gradient(point, batches[0]), layout.gradient(model, loss))


def test_the_path_gradient_is_the_mean_of_its_points(objective, base, batches):
    """In float64, and the base isn't changed by walking the path."""
    step, kept = torch.full_like(base, 0.05), base.clone()
    found = objective.path_gradient(base, step, batches[0], points=(0.25, 0.75))
    ends = [objective.gradient(base + t * step, batches[0]).double() for t in (0.25, 0.75)]
    torch.testing.assert_close(found, (ends[0] + ends[1]) / 2)
    assert found.dtype == torch.float64
    assert torch.equal(base, kept)


def test_evaluation_counts_the_whole_pool(objective, task, base):
    """Loss is the mean and accuracy the share of all examples."""
    loss, accuracy = objective.evaluate(base, task.validation_data())
    assert loss == pytest.approx(objective.loss(base, task.validation_data()), rel=1e-5)
    assert 0 <= accuracy <= 1


def test_losses_are_those_of_single_batches(objective, base, batches):
    """Many batches at one point give what one after the other does, and are counted."""
    before = objective.n_losses
    found = objective.losses(base, batches)
    assert found.dtype == torch.float64
    assert objective.n_losses == before + len(batches)
    assert found.tolist() == [objective.loss(base, batch) for batch in batches]


def test_the_slope_is_the_gradient_along_the_direction(objective, base, batches):
    """Forward mode agrees with the gradient's dot product, and leaves the point and the model as they were."""
    direction = torch.linspace(-1, 1, len(base))
    kept, loss = base.clone(), objective.loss(base, batches[0])
    along = float(objective.gradient(base + 0.1, batches[0]).double() @ direction.double())
    assert objective.loss(base, batches[0]) == loss
    assert objective.slope(base + 0.1, direction, batches[0]) == pytest.approx(along, rel=1e-4)
    assert objective.loss(base, batches[0]) == loss
    assert torch.equal(base, kept)
