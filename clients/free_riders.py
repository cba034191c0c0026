"""Participants that want pay for what they didn't train: from what is public, or from what leaked.

What is public is the models so far, and so the last global deltas (each model minus the one before it). Those who ride
by turns are in `clients.turncoats`, those who ride under many names in `clients.sybils`.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from clients.behaviour import Behaviour, View
from clients.seeds import generator_of
from clients.task import Examples

N_OLD = 5
"""How many global deltas a mixture is made of: as many as a subnet's free-ride gate looks at by default."""


@dataclass(frozen=True, slots=True)
class Zero(Behaviour):
    """Sends zeros: free riding at its plainest. Knows nothing.

    Source: this project's own.
    """

    kind: ClassVar[str] = "zero"

    def update(self, view: View) -> Tensor:
        """Return zeros."""
        return torch.zeros_like(view.base)


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
        last = view.last_global_delta()
        norm = 1.0 if last is None else float(last.norm())
        return noise(view.base, self.strength * norm, torch.Generator().manual_seed(view.round))


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
        return self.strength * replayed(view)


@dataclass(frozen=True, slots=True)
class StaleNoise(Behaviour):
    """Sends the last global delta under Gaussian noise, so that it isn't a plain replay. Knows the base's history.

    In the first round it sends zeros.

    Source: Fraboni et al. 2021 (arXiv:2006.11901), the disguised free rider, with one fixed level of noise.
    """

    kind: ClassVar[str] = "stale_noise"
    strength: float = 1.0
    """Norm of the noise relative to the delta's."""

    def update(self, view: View) -> Tensor:
        """Return the last global delta plus noise."""
        last = replayed(view)
        return last + noise(last, self.strength * float(last.norm()), view.draw(self.kind))


@dataclass(frozen=True, slots=True)
class Extrapolation(Behaviour):
    """Guesses the next global delta from the last two, `2 h1 - h2` with `h1` the newest. Knows the base's history.

    In the second round it replays the only delta there is, in the first it sends zeros.

    Source: this project's own; linear extrapolation of the deltas that Lin et al. 2019 (arXiv:1911.12560) replay.
    """

    kind: ClassVar[str] = "extrapolation"

    def update(self, view: View) -> Tensor:
        """Return `2 h1 - h2`."""
        deltas = view.global_deltas(2)
        return 2 * deltas[0] - deltas[1] if len(deltas) > 1 else replayed(view)


@dataclass(frozen=True, slots=True)
class OldMixture(Behaviour):
    """Sends a random mixture of the last five global deltas, another every round. Knows the base's history.

    The mixture's weights are drawn evenly from all that sum to 1. In the first round it sends zeros.

    Source: this project's own, against gates that look at the last delta alone.
    """

    kind: ClassVar[str] = "old_mixture"

    def update(self, view: View) -> Tensor:
        """Return the mixture."""
        deltas = view.global_deltas(N_OLD)
        if not deltas:
            return torch.zeros_like(view.base)
        shares = -torch.rand(len(deltas), generator=view.draw(self.kind)).clamp(min=1e-12).log()
        return (torch.stack(deltas) * (shares / shares.sum())[:, None]).sum(0)


@dataclass(frozen=True, slots=True)
class Lazy(Behaviour):
    """Trains on a tenth of its data and adds the last global delta. Knows its own data and the base's history.

    Source: this project's own (EVIDENCE, "Scoring"); the mixture of honest work and replay of Fraboni et al. 2021.
    """

    kind: ClassVar[str] = "lazy"
    strength: float = 2.0
    """Factor of the delta."""

    def data(self, examples: Examples) -> Examples:
        """Return a tenth of the examples, the same in every round; at least one."""
        order = torch.randperm(len(examples), generator=generator_of(self.kind, examples.targets))
        return examples.take(order[: max(1, len(examples) // 10)])

    def update(self, view: View) -> Tensor:
        """Return what the tenth gave plus `strength` times the last global delta."""
        return view.own_update() + self.strength * replayed(view)


@dataclass(frozen=True, slots=True)
class ProbeOnly(Behaviour):
    """Trains on the round's probes alone and adds the last global delta. Knows its probes and the base's history.

    It is made to pass the probes' test for the least work. In a subnet without probes it is `stale`.

    Source: this project's own (EVIDENCE, "Scoring": probe-only + stale).
    """

    kind: ClassVar[str] = "probe_only"
    strength: float = 1.0
    """Factor of the delta."""

    def update(self, view: View) -> Tensor:
        """Return what the probes gave plus `strength` times the last global delta."""
        trained = view.probe_update()
        again = self.strength * replayed(view)
        return again if trained is None else trained + again


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
        draw = torch.Generator().manual_seed(view.round)
        return stolen + noise(stolen, self.strength * float(stolen.norm()), draw)


@dataclass(frozen=True, slots=True)
class Leak(Behaviour):
    """Trains also on validation samples that leaked. Knows its own data and a part of the secret pool.

    Source: this project's own (EVIDENCE, "Scoring": what a leaked pool pays).
    """

    kind: ClassVar[str] = "leak"
    strength: float = 0.1
    """Share of the pool that leaked, at most 1."""
    leaked: Examples | None = field(default=None, compare=False, repr=False)
    """The samples; None before the simulation has handed them over."""

    def given(self, pool: Examples, draw: torch.Generator) -> "Leak":
        """Return this cheat with its share of the validator's pool."""
        order = torch.randperm(len(pool), generator=draw)
        return replace(self, leaked=pool.take(order[: round(min(1.0, self.strength) * len(pool))]))

    def data(self, examples: Examples) -> Examples:
        """Return its own examples and the leaked ones."""
        if self.leaked is None:
            return examples
        return Examples(
            inputs=torch.cat([examples.inputs, self.leaked.inputs]),
            targets=torch.cat([examples.targets, self.leaked.targets]),
        )


def replayed(view: View) -> Tensor:
    """Return the last global delta; zeros while there is none."""
    last = view.last_global_delta()
    return torch.zeros_like(view.base) if last is None else last


def noise(like: Tensor, norm: float, draw: torch.Generator) -> Tensor:
    """Return Gaussian noise of the shape of `like`, scaled to the norm."""
    drawn = torch.randn(like.shape, generator=draw)
    return drawn * (norm / float(drawn.norm()))
