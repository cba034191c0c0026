"""A two-layer network on the 1,797 digits of 8 x 8 pixels that ship in scikit-learn: training in milliseconds.

Quick enough to play hundreds of runs, which is what the arena does.
"""

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from clients.task import Examples, Task

N_TRAINING = 1_397


class OptDigits(Task):
    """Tell the ten digits apart: 2,410 parameters."""

    def __init__(self) -> None:
        bunch = load_digits()
        pixels = torch.as_tensor(bunch.images, dtype=torch.float32) / 16.0
        digits = torch.as_tensor(bunch.target, dtype=torch.int64)
        order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
        chosen, held_out = order[:N_TRAINING], order[N_TRAINING:]
        self._training = Examples(inputs=pixels[chosen], targets=digits[chosen])
        self._validation = Examples(inputs=pixels[held_out], targets=digits[held_out])

    def model(self) -> nn.Module:
        """Return the network."""
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def loss(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(model(batch.inputs), batch.targets)

    def correct(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return how many digits are read right."""
        return (model(batch.inputs).argmax(dim=1) == batch.targets).sum()

    def training_data(self) -> Examples:
        """Return 1,397 images."""
        return self._training

    def validation_data(self) -> Examples:
        """Return 400 images."""
        return self._validation
