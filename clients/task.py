"""What a subnet trains: model, loss and data, behind one contract.

A team writes one subclass of `Task`. Everything else (rounds, scoring, aggregation, payment) sees a model only as a
flat float32 vector, laid out by `ModelLayout`.
"""

import importlib
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from clients.errors import TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Labelled examples in memory.

    Attributes:
        inputs: `(n, ...)`, what the model is given.
        targets: `(n, ...)`, what the loss compares with; integer class labels for classification.
    """

    inputs: Tensor
    targets: Tensor

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.targets):
            raise TaskError(
                f"{len(self.inputs)} inputs but {len(self.targets)} targets",
                remedy="inputs and targets need the same first dimension",
            )

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, indices: Tensor) -> "Examples":
        """Return the examples at `indices`, in that order."""
        return Examples(inputs=self.inputs[indices], targets=self.targets[indices])

    def batches(self, size: int) -> Iterator["Examples"]:
        """Yield consecutive batches of `size` examples; the last may be smaller."""
        for start in range(0, len(self), size):
            yield Examples(inputs=self.inputs[start : start + size], targets=self.targets[start : start + size])

    def to(self, device: torch.device) -> "Examples":
        """Return the examples on `device`."""
        return Examples(inputs=self.inputs.to(device), targets=self.targets.to(device))


class Task(ABC):
    """One learning task: what all participants and the validator of a subnet agree on.

    Draw no randomness from torch's global generator in `loss` or in the model's forward pass (dropout does) if a
    simulated run must repeat byte for byte: simulated clients share a process.
    """

    @abstractmethod
    def model(self) -> nn.Module:
        """Return a freshly initialised model. The validator calls it once, with the global generator seeded."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return the mean loss of `batch`, a scalar that `backward()` works on."""

    @abstractmethod
    def training_data(self) -> Examples:
        """Return all training examples, which a simulation divides among its clients."""

    @abstractmethod
    def validation_data(self) -> Examples:
        """Return the held-out examples by which the validator scores; no participant may train on them."""

    def correct(self, model: nn.Module, batch: Examples) -> Tensor | None:
        """Return how many of `batch` the model gets right, a scalar; None where accuracy means nothing."""
        del model, batch
        return None

    def slices(self, examples: Examples) -> Tensor | None:
        """Return the slice of each example, `(n,)` integers: the parts of the data that an attack could single out.

        Class labels, unless a task names domains of its own; None where there are neither. Looked at where the spec's
        `[scoring] slices` asks for it.
        """
        targets = examples.targets
        return None if targets.dim() != 1 or targets.is_floating_point() else targets

    def relabelled(self, examples: Examples, name: int) -> Examples:
        """Return examples as if they were of the slice `name`, with the same inputs: what confusing slices would teach.

        A task with domains of its own gives them targets that stand for the domain.
        """
        return Examples(inputs=examples.inputs, targets=torch.full_like(examples.targets, name))

    def participant_data(self, config: Mapping[str, object]) -> Examples | None:
        """Return this participant's own examples on a real deployment.

        Args:
            config: the node's configuration (`flower-supernode --node-config`).

        Returns:
            The examples, or None to take the shard `partition-id` of `num-partitions` of the training data, which is
            right for tests and for the examples only.
        """
        del config
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLayout:
    """How a model's trainable parameters lie in one flat vector.

    Attributes:
        names: the parameters' names, in the model's own order.
        shapes: their shapes.
        n_params: how many numbers they hold in all.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    n_params: int

    @classmethod
    def of(cls, model: nn.Module) -> "ModelLayout":
        """Read the layout off a model.

        Raises:
            TaskError: parameters that aren't float32, none at all, or persistent buffers (batch statistics), which
                can't be averaged soundly.
        """
        parameters = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        if not parameters:
            raise TaskError("the model has no trainable parameter", remedy="return one with requires_grad parameters")
        for name, parameter in parameters:
            if parameter.dtype != torch.float32:
                raise TaskError(f"parameter {name} is {parameter.dtype}", remedy="keep parameters in torch.float32")
        known = {name for name, _ in model.named_parameters(remove_duplicate=False)}  # tied weights have two names
        buffers = sorted(set(model.state_dict()) - known)
        if buffers:
            raise TaskError(
                f"the model keeps state beside its parameters: {', '.join(buffers[:3])}",
                remedy="use GroupNorm or LayerNorm for BatchNorm, and register other buffers with persistent=False",
            )
        return cls(
            names=tuple(name for name, _ in parameters),
            shapes=tuple(tuple(parameter.shape) for _, parameter in parameters),
            n_params=sum(parameter.numel() for _, parameter in parameters),
        )

    def split(self, flat: Tensor) -> dict[str, Tensor]:
        """Return views of `flat` `(n_params,)` by parameter name."""
        pieces = torch.split(flat, [_size(shape) for shape in self.shapes])
        return {name: piece.view(shape) for name, shape, piece in zip(self.names, self.shapes, pieces, strict=True)}

    def join(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return one new float32 vector `(n_params,)` of the tensors by parameter name."""
        return torch.cat([tensors[name].detach().reshape(-1).to(torch.float32) for name in self.names])

    def read(self, model: nn.Module) -> Tensor:
        """Return the model's parameters as one new vector `(n_params,)`."""
        return self.join(dict(model.named_parameters()))

    def write(self, model: nn.Module, flat: Tensor) -> None:
        """Set the model's parameters from `flat` `(n_params,)`, in place."""
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for name, values in self.split(flat).items():
                parameters[name].copy_(values)

    def gradient(self, model: nn.Module, loss: Tensor) -> Tensor:
        """Return the gradient of `loss` in the parameters, `(n_params,)`."""
        parameters = dict(model.named_parameters())
        gradients = torch.autograd.grad(loss, [parameters[name] for name in self.names], allow_unused=True)
        return torch.cat(
            [
                torch.zeros(_size(shape), device=loss.device) if gradient is None else gradient.reshape(-1)  # type: ignore[redundant-expr]
                for shape, gradient in zip(self.shapes, gradients, strict=True)
            ]
        )


@lru_cache(maxsize=16)
def layout_of(task: Task) -> ModelLayout:
    """Return the layout of a task's model, read off once."""
    return ModelLayout.of(task.model())


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for length in shape:
        size *= length
    return size


def evaluate(task: Task, model: nn.Module, examples: Examples, *, batch_size: int = 128) -> tuple[float, float | None]:
    """Return the mean loss and the accuracy (None where the task has none) of `model` on `examples`."""
    loss_sum, n_correct, has_accuracy = 0.0, 0, True
    model.eval()
    with torch.no_grad():
        for batch in examples.batches(batch_size):
            loss_sum += float(task.loss(model, batch)) * len(batch)
            correct = task.correct(model, batch)
            if correct is None:
                has_accuracy = False
            else:
                n_correct += int(correct)
    return loss_sum / len(examples), n_correct / len(examples) if has_accuracy else None


@contextmanager
def import_from(folder: Path) -> Iterator[None]:
    """Search a subnet's folder before all others for what is imported inside."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@lru_cache(maxsize=16)
def load_task(app_dir: Path, reference: str) -> Task:
    """Import a task, once a process.

    Args:
        app_dir: the example's or app's folder, which is put on the import path while importing.
        reference: `package.module:Class`.

    Returns:
        An instance of the class, shared by all who ask for the same task in this process.

    Raises:
        TaskError: no such module or class, or the class isn't a `Task`.
    """
    module_name, _, class_name = reference.partition(":")
    with import_from(app_dir):
        try:
            module = importlib.import_module(module_name)
        except (ImportError, SyntaxError) as error:
            raise TaskError(
                f"task {reference!r}: can't import {module_name!r} from {app_dir}: {error}",
                remedy="set [subnet] task to 'package.module:Class' in that folder, and install what it imports",
            ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, Task)):
        raise TaskError(
            f"task {reference!r}: {module_name} has no Task class named {class_name!r}",
            remedy="name a subclass of clients.task.Task",
        )
    missing = sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise TaskError(
            f"task {reference!r} doesn't say its {', '.join(missing)}", remedy="write every abstract method of Task"
        )
    return found()
