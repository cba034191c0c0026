"""The local training loop that every honest participant runs."""

import torch
from torch import Tensor

from clients.settings import TrainingSettings
from clients.task import Examples, Task, layout_of


def train(
    task: Task,
    base: Tensor,
    examples: Examples,
    settings: TrainingSettings,
    *,
    draw: torch.Generator,
    device: torch.device | None = None,
    probes: Examples | None = None,
) -> Tensor:
    """Train from `base` on `examples` and return the update.

    Args:
        task: gives model and loss.
        base: `(n_params,)` float32, the round's base model; not changed.
        examples: the participant's own data, at least one example.
        settings: epochs, batch size and optimiser.
        draw: the order of the examples comes from this generator alone.
        device: where to train; the CPU when None.
        probes: a few samples more to train on, as if they were among the participant's own.

    Returns:
        `(n_params,)` float32 on the CPU: the trained parameters minus `base`.
    """
    where = device or torch.device("cpu")
    model, layout = task.model(), layout_of(task)
    layout.write(model, base)
    model.to(where).train()
    data = examples.to(where)
    more = None if probes is None else probes.to(where)
    n_in_all = len(data) + (0 if more is None else len(more))
    optimiser = torch.optim.SGD(model.parameters(), lr=settings.learning_rate, momentum=settings.momentum)
    for _ in range(settings.epochs):
        order = torch.randperm(n_in_all, generator=draw).to(where)
        for indices in torch.split(order, settings.batch_size):
            optimiser.zero_grad()
            task.loss(model, _take(data, more, indices)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return layout.read(model).cpu() - base


def _take(data: Examples, more: Examples | None, indices: Tensor) -> Examples:
    """Return the examples at `indices` of `data` followed by `more`, of which no copy is made."""
    if more is None:
        return data.take(indices)
    own, others = data.take(indices[indices < len(data)]), more.take(indices[indices >= len(data)] - len(data))
    return Examples(inputs=torch.cat([own.inputs, others.inputs]), targets=torch.cat([own.targets, others.targets]))
