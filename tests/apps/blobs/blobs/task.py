"""Logistic regression on four Gaussian blobs: real training in milliseconds, for tests about everything else."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from clients.task import Examples, Task

N_FEATURES, N_LABELS = 8, 4


def blobs(n_examples: int, seed: int) -> Examples:
    """Return examples of four overlapping blobs."""
    draw = torch.Generator().manual_seed(seed)
    targets = torch.arange(n_examples) % N_LABELS
    centres = 2 * torch.eye(N_LABELS, N_FEATURES)
    inputs = centres[targets] + torch.randn(n_examples, N_FEATURES, generator=draw)
    return Examples(inputs=inputs, targets=targets)


class Blobs(Task):
    """Tell the blobs apart."""

    def model(self) -> nn.Module:
        """Return a linear model."""
        return nn.Linear(N_FEATURES, N_LABELS)

    def loss(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(model(batch.inputs), batch.targets)

    def correct(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return how many are told right."""
        return (model(batch.inputs).argmax(dim=1) == batch.targets).sum()

    def training_data(self) -> Examples:
        """Return 400 examples."""
        return blobs(400, seed=1)

    def validation_data(self) -> Examples:
        """Return 200 other examples."""
        return blobs(200, seed=2)
