"""Fields of updates to be scored."""

import pytest
import torch

from clients.settings import TrainingSettings
from clients.training import train
from subnet.scoring.base import Field

TRAINING = TrainingSettings(epochs=1, batch_size=16, learning_rate=0.1)


@pytest.fixture(scope="session")
def batches(task):
    """Eight held-out batches of 40."""
    return tuple(task.validation_data().batches(50))


@pytest.fixture(scope="session")
def trained(task, base):
    """`(5, n_params)` honest updates of clients that hold two labels each."""
    data = task.training_data()
    shards = [((data.targets == 2 * index) | (data.targets == 2 * index + 1)).nonzero().flatten() for index in range(5)]
    return torch.stack(
        [
            train(task, base, data.take(shard), TRAINING, draw=torch.Generator().manual_seed(index))
            for index, shard in enumerate(shards)
        ]
    )


@pytest.fixture
def make_field(base, batches, objective):
    """A field of updates; hotkeys are a, b, c ... and arrivals in that order unless said otherwise."""

    def make(updates, *, arrivals=None, deltas=None, chosen=batches):
        n = len(updates)
        return Field(
            hotkeys=tuple("abcdefghijklmnopqrstuvwxyz"[:n]),
            arrivals=tuple(arrivals or range(n)),
            n_examples=(1,) * n,
            updates=updates,
            base=base,
            deltas=torch.zeros(0, updates.shape[1]) if deltas is None else deltas,
            batches=tuple(chosen),
            objective=objective,
        )

    return make
