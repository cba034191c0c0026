"""Participants that cheat, for simulations and the arena.

Each class says what it sends, what it needs to know for that, and where it is described. A `strength` sets how hard
it tries: `sign_flip:3` in a cast is `SignFlip(3.0)`. Cheats on the protocol rather than the update are in
`clients.protocol_cheats`.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clients.behaviour import Behaviour, View
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
class Noise(Behaviour):
    """Sends Gaussian noise of about an honest update's norm and trains nothing. Knows the last global delta.

    Source: Lin et al. 2019 (arXiv:1911.12560), section IV, the free-rider with random weights; scaled to the last
    global delta so that its norm doesn't give it away.
    """

    kind: ClassVar[str] = "noise"
    strength: float = 1.0
    """Norm relative to the last global delta, above 0."""

    def update(self, view: View) -> Tensor:
        """Return noise; in the first round of norm `strength`."""
        draw = torch.Generator().manual_seed(view.round)
        noise = torch.randn(view.base.shape, generator=draw)
        last = view.last_global_delta()
        norm = 1.0 if last is None else float(last.norm())
        return noise * (self.strength * norm / float(noise.norm()))


@dataclass(frozen=True, slots=True)
class Zero(Behaviour):
    """Sends zeros: free riding at its plainest. Knows nothing."""

    kind: ClassVar[str] = "zero"

    def update(self, view: View) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(view.base)


@dataclass(frozen=True, slots=True)
class Stale(Behaviour):
    """Sends the last global delta again, which is public and still improves the model. Knows the base's history.

    Source: Fraboni et al. 2021 (arXiv:2006.11901), section 3, the plain free rider. In the first round there is
    nothing to replay and it sends zeros.
    """

    kind: ClassVar[str] = "stale"
    strength: float = 1.0
    """Factor of the replayed delta, above 0."""

    def update(self, view: View) -> Tensor:
        """Return `strength` times the last global delta."""
        last = view.last_global_delta()
        return torch.zeros_like(view.base) if last is None else self.strength * last


@dataclass(frozen=True, slots=True)
class Copycat(Behaviour):
    """Sends another participant's update of this round as its own. Knows that update.

    Source: Allen-Zhu et al. and Karimireddy et al. call the harmless form mimic (arXiv:2006.09365, section 3.2);
    here it is theft of pay.
    """

    kind: ClassVar[str] = "copycat"
    strength: float = 0.0
    """Norm of Gaussian noise added, relative to the copied update's; 0 copies exactly."""

    def update(self, view: View) -> Tensor:
        """Return the victim's update plus noise."""
        stolen = view.peer_update()
        if self.strength == 0.0:
            return stolen
        noise = torch.randn(stolen.shape, generator=torch.Generator().manual_seed(view.round))
        return stolen + noise * (self.strength * float(stolen.norm()) / float(noise.norm()))


@dataclass(frozen=True, slots=True)
class LabelFlip(Behaviour):
    """Trains honestly on labels turned round: label `c` of `C` becomes `C - 1 - c`. Knows only its own data.

    Source: Fang et al. 2020 (arXiv:1911.11815), section 4.1, "label flipping attack".
    """

    kind: ClassVar[str] = "label_flip"
    n_labels: int | None = None
    """How many classes there are, at least 2; None takes the largest label among its own data for the last."""

    def data(self, examples: Examples) -> Examples:
        """Return the examples with turned labels."""
        n_labels = int(examples.targets.max()) + 1 if self.n_labels is None else self.n_labels
        return Examples(inputs=examples.inputs, targets=n_labels - 1 - examples.targets)


def informed(behaviour: Behaviour, task_data: Examples) -> Behaviour:
    """Return a behaviour that knows how many labels the task has, if it wants to."""
    if isinstance(behaviour, LabelFlip) and behaviour.n_labels is None:
        return LabelFlip(n_labels=int(task_data.targets.max()) + 1)
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
class NotANumber(Behaviour):
    """Sends NaN in every coordinate, which turns a plain mean into NaN. Knows nothing."""

    kind: ClassVar[str] = "nan"

    def update(self, view: View) -> Tensor:
        """Return NaN."""
        return torch.full_like(view.base, float("nan"))
