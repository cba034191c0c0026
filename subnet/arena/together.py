"""Local training of many clients at once: what `clients.training.train` gives each, up to rounding, in less time.

Small models spend their time in the calls, not in the numbers: a step of a 2,410-parameter network costs as much for
fifteen clients in one call as for one. So the clients that are at a batch of the same size take their step together.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from clients.settings import TrainingSettings
from clients.task import Examples, Task, layout_of
from clients.training import train

_MIN_GROUP = 5
"""Fewer clients are quicker one after the other: a call for many costs as much as four or five alone."""

Gradients = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Parameters `(k, n_params)`, inputs and targets `(k, batch, ...)` to gradients `(k, n_params)`."""


class Trainer:
    """Trains clients from one base model.

    Models that can't be trained together (convolutions, which are slower so; dropout; anything that `torch.func` has no
    rule for) are trained one client after the other.

    Args:
        task: gives model and loss.
        settings: epochs, batch size and optimiser.
    """

    def __init__(self, task: Task, settings: TrainingSettings) -> None:
        self._task, self._settings = task, settings
        self._layout = layout_of(task)
        self._module = _WithLoss(task).train()
        self._gradients = self._together()

    def train(self, base: Tensor, shards: Sequence[Examples], draws: Sequence[torch.Generator]) -> Tensor:
        """Train one client a shard.

        Args:
            base: `(n_params,)` float32, the round's base model; not changed.
            shards: each client's own data, at least one example.
            draws: each client's order of examples comes from its generator alone.

        Returns:
            `(n_clients, n_params)` float32 updates.
        """
        if self._gradients is None or len(shards) < _MIN_GROUP:
            pairs = zip(shards, draws, strict=True)
            return torch.stack([train(self._task, base, shard, self._settings, draw=draw) for shard, draw in pairs])
        orders = [self._order(len(shard), draw) for shard, draw in zip(shards, draws, strict=True)]
        points = base.repeat(len(shards), 1)
        velocity = torch.zeros_like(points)
        for step in range(max(len(order) for order in orders)):
            batches = [(row, shards[row].take(order[step])) for row, order in enumerate(orders) if step < len(order)]
            rows = torch.tensor([row for row, _ in batches])
            gradients = self._step(points, batches)
            moved = self._settings.momentum * velocity[rows] + gradients[rows]
            velocity[rows] = moved
            points[rows] -= self._settings.learning_rate * moved
        return points - base

    def _order(self, n_examples: int, draw: torch.Generator) -> list[Tensor]:
        """Return the indices of every batch of all epochs, as `clients.training.train` draws them."""
        return [
            batch
            for _ in range(self._settings.epochs)
            for batch in torch.split(torch.randperm(n_examples, generator=draw), self._settings.batch_size)
        ]

    def _step(self, points: Tensor, batches: Sequence[tuple[int, Examples]]) -> Tensor:
        """Return the gradients `(n_clients, n_params)` at each client's point; zeros for those without a batch."""
        assert self._gradients is not None
        found = torch.zeros_like(points)
        by_size: dict[int, list[tuple[int, Examples]]] = defaultdict(list)
        for row, batch in batches:
            by_size[len(batch)].append((row, batch))
        for group in by_size.values():
            if len(group) < _MIN_GROUP:
                for row, batch in group:
                    found[row] = self._alone(points[row], batch)
                continue
            rows = torch.tensor([row for row, _ in group])
            inputs = torch.stack([batch.inputs for _, batch in group])
            targets = torch.stack([batch.targets for _, batch in group])
            found[rows] = self._gradients(points[rows], inputs, targets)
        return found

    def _alone(self, point: Tensor, batch: Examples) -> Tensor:
        """Return the gradient at one point."""
        self._layout.write(self._module.model, point)
        return self._layout.gradient(self._module.model, self._task.loss(self._module.model, batch))

    def _together(self) -> Gradients | None:
        """Return the gradients of many clients at once; None where that doesn't work or wouldn't help."""
        if any(isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d) for part in self._module.modules()):
            return None  # a convolution a client becomes one grouped convolution: 2.1 s a round in place of 1.5

        def loss(point: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
            parameters = {f"model.{name}": value for name, value in self._layout.split(point).items()}
            found: Tensor = functional_call(self._module, parameters, (inputs, targets))
            return found

        together: Gradients = vmap(grad(loss))
        batch = self._task.training_data().take(torch.arange(2))
        points = torch.stack([self._layout.read(self._module.model)] * 2)
        try:
            found = together(points, torch.stack([batch.inputs] * 2), torch.stack([batch.targets] * 2))
        except (RuntimeError, TypeError, ValueError):  # torch.func's ways of saying that it has no rule for something
            return None
        return together if torch.allclose(found[1], self._alone(points[1], batch), rtol=1e-3, atol=1e-6) else None


class _WithLoss(nn.Module):
    """A task's model with its loss on top: the form that `torch.func` takes."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model()
        self._task = task

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of a batch."""
        return self._task.loss(self.model, Examples(inputs=inputs, targets=targets))
