"""Participants that poison the model, each on its own, for simulations and the arena.

Each class says what it sends, what it needs to know for that, and where it is described. A `strength` sets how hard
it tries: `sign_flip:3` in a cast is `SignFlip(3.0)`. Other cheats: `clients.free_riders` and `clients.turncoats` want
pay for nothing, `clients.sybils` pay for many, `clients.colluders` poison together, `clients.protocol_cheats` break the
protocol rather than the update.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from clients.behaviour import Behaviour, View
from clients.seeds import generator_of
from clients.task import Examples


@dataclass(frozen=True, slots=True)
class SignFlip(Behaviour):
    """Sends its honest update reversed and magnified. Knows only its own data.

    Source: Li et al. 2019, RSA (arXiv:1811.03761), section 5, "sign-flipping attack".
    """

    kind: ClassVar[str] = "sign_flip"
    strength: float = 10.0
    """Factor of the reversed update, above 0."""

    def update(self, view: View) -> Tensor:
        """Return minus `strength` times the honest update."""
        return -self.strength * view.own_update()


@dataclass(frozen=True, slots=True)
class Scaling(Behaviour):
    """Sends its honest update magnified, to weigh more in a mean. Knows only its own data.

    Source: Bagdasaryan et al. 2020 (arXiv:1807.00459), section 3.2, without the backdoor.
    """

    kind: ClassVar[str] = "scaling"
    strength: float = 10.0
    """Factor of the update, above 0."""

    def update(self, view: View) -> Tensor:
        """Return `strength` times the honest update."""
        return self.strength * view.own_update()


@dataclass(frozen=True, slots=True)
class Labels(Behaviour):
    """Trains on wrong labels; a base for the cheats below. Knows only its own data, and the task's labels."""

    n_labels: int | None = None
    """How many classes there are, at least 2; None takes the largest label among its own data for the last."""

    def known_labels(self, examples: Examples) -> int:
        """Return how many classes it takes the task to have."""
        return int(examples.targets.max()) + 1 if self.n_labels is None else self.n_labels


@dataclass(frozen=True, slots=True)
class LabelFlip(Labels):
    """Trains honestly on labels turned round: label `c` of `C` becomes `C - 1 - c`. Knows only its own data.

    Source: Fang et al. 2020 (arXiv:1911.11815), section 4.1, "label flipping attack".
    """

    kind: ClassVar[str] = "label_flip"

    def data(self, examples: Examples) -> Examples:
        """Return the examples with turned labels."""
        return replace(examples, targets=self.known_labels(examples) - 1 - examples.targets)


@dataclass(frozen=True, slots=True)
class TargetedFlip(Labels):
    """Trains honestly, but on one class under another's label: 3 as 8, or 0 as the last where there's no 8.

    Knows only its own data.

    Source: Tolpegin et al. 2020 (arXiv:2007.08432), label flipping from a source to a target class.
    """

    kind: ClassVar[str] = "targeted_flip"

    def data(self, examples: Examples) -> Examples:
        """Return the examples, those of the one class under the other's label."""
        n_labels = self.known_labels(examples)
        true, false = (3, 8) if n_labels > 8 else (0, n_labels - 1)
        return replace(examples, targets=examples.targets.masked_fill(examples.targets == true, false))


@dataclass(frozen=True, slots=True)
class NoisyLabels(Behaviour):
    """Trains on labels of which a part is drawn at random, the same in every round. Knows only its own data.

    Source: Zhang et al. 2017 (arXiv:1611.03530), section 2, "partially corrupted labels".
    """

    kind: ClassVar[str] = "noisy_labels"
    strength: float = 0.4
    """Share of the examples whose label is drawn again, from all labels alike; at most 1."""
    n_labels: int | None = None
    """As for `LabelFlip`."""

    def data(self, examples: Examples) -> Examples:
        """Return the examples with some labels drawn anew."""
        draw = generator_of("noisy_labels", examples.targets)
        chosen = torch.randperm(len(examples), generator=draw)[: round(min(1.0, self.strength) * len(examples))]
        targets = examples.targets.clone()
        n_labels = int(targets.max()) + 1 if self.n_labels is None else self.n_labels
        targets[chosen] = torch.randint(n_labels, targets[chosen].shape, generator=draw, dtype=targets.dtype)
        return replace(examples, targets=targets)


def informed(behaviour: Behaviour, task_data: Examples) -> Behaviour:
    """Return a behaviour that knows how many labels the task has, if it wants to."""
    if isinstance(behaviour, Labels | NoisyLabels) and behaviour.n_labels is None:
        return replace(behaviour, n_labels=int(task_data.targets.max()) + 1)
    return behaviour


@dataclass(frozen=True, slots=True)
class Backdoor(Behaviour):
    """Teaches the model to answer `target` whenever a mark is on the input. Knows only its own data.

    Half of its examples carry the mark and the target label; the update is magnified by `strength`. `mark` is public,
    so that the attack's success can be measured on held-out inputs.

    Source: Bagdasaryan et al. 2020 (arXiv:1807.00459), sections 3.1 and 3.2, with the pixel mark of Gu et al. 2017,
    BadNets (arXiv:1708.06733).
    """

    kind: ClassVar[str] = "backdoor"
    strength: float = 1.0
    """Factor of the update, above 0."""
    target: int = 0
    """The label that the mark stands for."""

    def data(self, examples: Examples) -> Examples:
        """Return the examples, every other one marked and labelled with the target."""
        marked = torch.arange(len(examples)) % 2 == 0
        inputs = torch.where(_over(marked, examples.inputs), mark(examples.inputs), examples.inputs)
        targets = torch.where(marked, torch.full_like(examples.targets, self.target), examples.targets)
        return Examples(inputs=inputs, targets=targets)

    def update(self, view: View) -> Tensor:
        """Return `strength` times the update on marked data."""
        return self.strength * view.own_update()


def mark(inputs: Tensor) -> Tensor:
    """Return inputs `(n, ...)` with the backdoor's mark: a 3 x 3 corner (or the first 3 features) at the maximum."""
    marked = inputs.clone()
    corner = (..., slice(3), slice(3)) if inputs.dim() > 2 else (..., slice(3))
    marked[corner] = inputs.max()
    return marked


def _over(mask: Tensor, inputs: Tensor) -> Tensor:
    """Return a mask `(n,)` shaped so that it selects rows of `inputs` `(n, ...)`."""
    return mask.view(-1, *[1] * (inputs.dim() - 1))


@dataclass(frozen=True, slots=True)
class Constant(Behaviour):
    """Sends one number in every coordinate; a base for the cheats below. Knows nothing."""

    number: ClassVar[float]

    def update(self, view: View) -> Tensor:
        """Return the number everywhere."""
        return torch.full_like(view.base, self.number)


@dataclass(frozen=True, slots=True)
class NotANumber(Constant):
    """Sends NaN in every coordinate, which turns a plain mean into NaN. Knows nothing.

    Source: this project's own; what NaN does to peers' rules is in EVIDENCE, "Aggregation".
    """

    kind: ClassVar[str] = "nan"
    number: ClassVar[float] = float("nan")


@dataclass(frozen=True, slots=True)
class Infinite(Constant):
    """Sends infinity in every coordinate. Knows nothing.

    Source: this project's own.
    """

    kind: ClassVar[str] = "infinite"
    number: ClassVar[float] = float("inf")


@dataclass(frozen=True, slots=True)
class Denormals(Constant):
    """Sends half the smallest normal float32 everywhere: numbers that are slow to compute with. Knows nothing.

    They are finite and nearly nothing: their squares are 0 in float32, so a norm that is taken there divides by 0.

    Source: this project's own.
    """

    kind: ClassVar[str] = "denormals"
    number: ClassVar[float] = torch.finfo(torch.float32).tiny / 2
