"""Training many clients at once gives each what training it alone does."""

import pytest
import torch
from torch import nn

from clients.seeds import generator
from clients.settings import TrainingSettings
from clients.task import Examples, load_task
from clients.training import train
from subnet.arena.together import Trainer
from tests.endtoend.conftest import BLOBS, DIGITS

SETTINGS = TrainingSettings(epochs=2, batch_size=8, learning_rate=0.1, momentum=0.9)
BLOBS_TASK = load_task(BLOBS, "blobs.task:Blobs")


class Stubborn(type(BLOBS_TASK)):
    """The same task with a loss that torch.func can't follow."""

    def loss(self, model, batch):
        """Return the loss after a look at its value."""
        loss = super().loss(model, batch)
        assert float(loss) >= 0
        return loss


class Noisy(type(BLOBS_TASK)):
    """The same task with dropout."""

    def model(self):
        """Return the model."""
        return nn.Sequential(nn.Dropout(0.5), super().model())


def shards_of(sizes):
    """Clients' data of these sizes."""
    data = BLOBS_TASK.training_data()
    starts = torch.tensor([0, *sizes]).cumsum(0).tolist()
    return [data.take(torch.arange(start, start + size)) for start, size in zip(starts, sizes, strict=False)]


def draws(n):
    """Each client's randomness."""
    return [generator("test", index) for index in range(n)]


@pytest.mark.parametrize("sizes", [[16, 16, 16, 16], [1, 8, 9, 40, 40, 17, 23, 7], [5, 5], [30]])
@pytest.mark.parametrize("task", [BLOBS_TASK, Stubborn()])
def test_each_client_ends_where_it_ends_alone(task, sizes):
    """Shards of any size, with batches that don't fill up, and clients that are done early."""
    base = torch.randn(36, generator=torch.Generator().manual_seed(0))
    shards = shards_of(sizes)
    together = Trainer(task, SETTINGS).train(base, shards, draws(len(sizes)))
    pairs = zip(shards, draws(len(sizes)), strict=True)
    alone = torch.stack([train(task, base, shard, SETTINGS, draw=draw) for shard, draw in pairs])
    assert together.shape == (len(sizes), 36)
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-6)


def test_what_cant_be_trained_together_is_noticed():
    """Dropout, a look at a value and convolutions go the long way; a plain model doesn't."""
    digits = load_task(DIGITS, "digits.task:Digits")
    together = [Trainer(task, SETTINGS)._gradients is not None for task in (BLOBS_TASK, Stubborn(), Noisy(), digits)]
    assert together == [True, False, False, False]


def test_a_model_that_explodes_says_so():
    """Parameters that aren't finite come out as they do alone, and disturb nobody else."""
    shards = shards_of([16, 16, 16])
    broken = Examples(inputs=shards[1].inputs * torch.inf, targets=shards[1].targets)
    found = Trainer(BLOBS_TASK, SETTINGS).train(torch.ones(36), [shards[0], broken, shards[2]], draws(3))
    assert found.isfinite().all(1).tolist() == [True, False, True]
