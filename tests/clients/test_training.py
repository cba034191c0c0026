"""The local loop: plain SGD, and nothing random but the draw that it is given."""

import pytest
import torch

from clients.settings import TrainingSettings
from clients.task import Examples
from clients.training import train

SETTINGS = TrainingSettings(epochs=2, batch_size=16, learning_rate=0.1, momentum=0.9)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def shard(task):
    return task.training_data().take(torch.arange(0, 1200, 17))


def test_training_is_momentum_sgd_over_shuffled_batches(task, layout, base, shard):
    """The update is that of a slow loop of its own: shuffle, gradient, velocity, step."""
    model, point, velocity, order = task.model(), base.clone(), torch.zeros_like(base), draw()
    for _ in range(SETTINGS.epochs):
        for indices in torch.randperm(len(shard), generator=order).split(SETTINGS.batch_size):
            layout.write(model, point)
            gradient = layout.gradient(model, task.loss(model, shard.take(indices)))
            velocity = SETTINGS.momentum * velocity + gradient
            point = point - SETTINGS.learning_rate * velocity
    update = train(task, base, shard, SETTINGS, draw=draw())
    torch.testing.assert_close(update, point - base, rtol=1e-4, atol=1e-6)


def test_the_draw_alone_decides_the_update(task, base, shard):
    """The same draw gives the same bits whatever torch's global generator did before; another draw gives others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = train(task, base, shard, SETTINGS, draw=draw())
        torch.manual_seed(2)
        again = train(task, base, shard, SETTINGS, draw=draw())
    assert torch.equal(first, again)
    assert not torch.equal(first, train(task, base, shard, SETTINGS, draw=draw(1)))


def test_training_leaves_the_base_alone_and_lowers_the_loss(task, layout, base, shard):
    """The base model isn't changed in place, and base plus update fits the shard better."""
    kept = base.clone()
    update = train(task, base, shard, SETTINGS, draw=draw())
    assert torch.equal(base, kept)
    assert update.dtype == torch.float32
    losses = []
    for point in (base, base + update):
        model = task.model()
        layout.write(model, point)
        losses.append(float(task.loss(model, shard).detach()))
    assert losses[1] < losses[0]


def test_probes_are_trained_on_as_if_they_were_ones_own(task, base, shard):
    """The update is the one on both together in one piece, and the own examples aren't copied."""
    more = task.validation_data().take(torch.arange(16))
    both = Examples(inputs=torch.cat([shard.inputs, more.inputs]), targets=torch.cat([shard.targets, more.targets]))
    expected = train(task, base, both, SETTINGS, draw=draw())
    found = train(task, base, shard, SETTINGS, draw=draw(), probes=more)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert not torch.equal(found, train(task, base, shard, SETTINGS, draw=draw()))
