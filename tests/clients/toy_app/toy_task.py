"""A subnet small enough to play in milliseconds: ten Gaussian blobs in twelve dimensions, told apart by one layer."""

import torch
from torch import nn
from torch.nn import functional

from clients.task import Examples, Task

N_CLASSES = 10
N_FEATURES = 12


def blobs(n, seed):
    """Return `n` examples, as many of each class, drawn with `seed` around the same centres."""
    centres = torch.randn(N_CLASSES, N_FEATURES, generator=torch.Generator().manual_seed(1)) * 1.2
    draw = torch.Generator().manual_seed(seed)
    targets = torch.arange(n) % N_CLASSES
    return Examples(inputs=centres[targets] + torch.randn(n, N_FEATURES, generator=draw), targets=targets)


class Toy(Task):
    """Tell the blobs apart."""

    def __init__(self):
        self._training, self._validation = blobs(1200, 2), blobs(400, 3)

    def model(self):
        """Return a net of one hidden layer."""
        return nn.Sequential(nn.Linear(N_FEATURES, 16), nn.Tanh(), nn.Linear(16, N_CLASSES))

    def loss(self, model, batch):
        """Return the mean cross-entropy."""
        return functional.cross_entropy(model(batch.inputs), batch.targets)

    def correct(self, model, batch):
        """Return how many blobs are told right."""
        return (model(batch.inputs).argmax(dim=1) == batch.targets).sum()

    def training_data(self):
        """Return 1,200 examples."""
        return self._training

    def validation_data(self):
        """Return 400 other examples."""
        return self._validation


class Unmeasured(Toy):
    """The same without an accuracy, and with data of the node's own where its configuration says so."""

    def correct(self, model, batch):
        """Return None: accuracy means nothing here."""
        return

    def participant_data(self, config):
        """Return the first examples where the configuration says how many."""
        return self._training.take(torch.arange(int(config["first"]))) if "first" in config else None


NOT_A_TASK = 5
