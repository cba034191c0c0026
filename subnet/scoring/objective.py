"""The task's loss, gradient and slope as functions of a flat parameter vector."""

import warnings
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from clients.task import Examples, ModelLayout, Task, evaluate


class Objective:
    """Loss and gradient at any point, with one model kept for all of them.

    Args:
        task: gives model and loss.
        device: where to compute.

    Attributes:
        n_losses: losses of one batch computed so far, for whoever wants to know what something cost.
        n_gradients: gradients, and slopes, of one batch computed so far.
    """

    def __init__(self, task: Task, *, device: torch.device | None = None) -> None:
        self.task = task
        self.device = device or torch.device("cpu")
        self._model = task.model().to(self.device)
        self.layout = ModelLayout.of(self._model)
        self.n_losses = self.n_gradients = 0

    def loss(self, point: Tensor, batch: Examples) -> float:
        """Return the mean loss at `point` `(n_params,)` on `batch`."""
        return float(self.losses(point, [batch])[0])

    def losses(self, point: Tensor, batches: Sequence[Examples]) -> Tensor:
        """Return the mean loss at `point` `(n_params,)` on each of `batches`: `(n_batches,)` float64 on the CPU."""
        self._place(point)
        self.n_losses += len(batches)
        with torch.no_grad():
            found = [float(self.task.loss(self._model, batch.to(self.device))) for batch in batches]
        return torch.tensor(found, dtype=torch.float64)

    def gradient(self, point: Tensor, batch: Examples) -> Tensor:
        """Return the gradient of the mean loss at `point` on `batch`: `(n_params,)` float32 on the CPU."""
        self._place(point)
        self.n_gradients += 1
        return self.layout.gradient(self._model, self.task.loss(self._model, batch.to(self.device))).cpu()

    def slope(self, point: Tensor, direction: Tensor, batch: Examples) -> float:
        """Return the derivative of the mean loss at `point` along `direction`, both `(n_params,)`, on `batch`.

        In forward mode: no activation is kept for a way back, and no gradient is formed.
        """
        self._model.eval()
        self.n_gradients += 1
        whole, inputs = _Whole(self.task, self._model), batch.to(self.device)

        def loss(values: Tensor) -> Tensor:
            parts = {f"model.{name}": part for name, part in self.layout.split(values).items()}
            found: Tensor = functional_call(whole, parts, (inputs,))
            return found

        with warnings.catch_warnings():  # torch's own forward mode uses what torch deprecates
            warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
            found = jvp(loss, (point.to(self.device),), (direction.to(self.device),))
        return float(found[1])

    def evaluate(self, point: Tensor, examples: Examples) -> tuple[float, float | None]:
        """Return mean loss and accuracy (None where the task has none) at `point` on all of `examples`."""
        self._place(point)
        return evaluate(self.task, self._model, examples.to(self.device))

    def path_gradient(self, base: Tensor, aggregate: Tensor, batch: Examples, *, points: Iterable[float]) -> Tensor:
        """Return the mean gradient over `base + t x aggregate` for `t` in `points`: `(n_params,)` float64."""
        gradients = [self.gradient(base + t * aggregate, batch) for t in points]
        total = torch.zeros(len(base), dtype=torch.float64)
        for gradient in gradients:
            total += gradient
        return total / len(gradients)

    def _place(self, point: Tensor) -> None:
        self.layout.write(self._model, point)
        self._model.eval()


class _Whole(nn.Module):
    """Model and loss as one module, whose parameters can be replaced for a call."""

    def __init__(self, task: Task, model: nn.Module) -> None:
        super().__init__()
        self.task = task
        self.model = model

    def forward(self, batch: Examples) -> Tensor:
        """Return the mean loss."""
        return self.task.loss(self.model, batch)
