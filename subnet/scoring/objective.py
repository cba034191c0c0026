"""The task's loss and gradient as functions of a flat parameter vector."""

from collections.abc import Iterable

import torch
from torch import Tensor

from clients.task import Examples, ModelLayout, Task, evaluate


class Objective:
    """Loss and gradient at any point, with one model kept for all of them.

    Args:
        task: gives model and loss.
        device: where to compute.
    """

    def __init__(self, task: Task, *, device: torch.device | None = None) -> None:
        self.task = task
        self.device = device or torch.device("cpu")
        self._model = task.model().to(self.device)
        self.layout = ModelLayout.of(self._model)

    def loss(self, point: Tensor, batch: Examples) -> float:
        """Return the mean loss at `point` `(n_params,)` on `batch`."""
        self._place(point)
        with torch.no_grad():
            return float(self.task.loss(self._model, batch.to(self.device)))

    def gradient(self, point: Tensor, batch: Examples) -> Tensor:
        """Return the gradient of the mean loss at `point` on `batch`: `(n_params,)` float32 on the CPU."""
        self._place(point)
        return self.layout.gradient(self._model, self.task.loss(self._model, batch.to(self.device))).cpu()

    def evaluate(self, point: Tensor, examples: Examples) -> tuple[float, float | None]:
        """Return mean loss and accuracy (None where the task has none) at `point` on all of `examples`."""
        self._place(point)
        return evaluate(self.task, self._model, examples.to(self.device))

    def path_gradient(self, base: Tensor, aggregate: Tensor, batch: Examples, *, points: Iterable[float]) -> Tensor:
        """Return the mean gradient over `base + t x aggregate` for `t` in `points`: `(n_params,)` float64."""
        gradients = [self.gradient(base + t * aggregate, batch).double() for t in points]
        return torch.stack(gradients).mean(0)

    def _place(self, point: Tensor) -> None:
        self.layout.write(self._model, point)
        self._model.eval()
