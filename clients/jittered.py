"""Colluders that know the copy rule: each adds noise of its own, so that no two of them count as copies.

Colluders of `clients.colluders` all send the same bits, and the copy rule pays one of them. These agree on the same
update, and each adds independent Gaussian noise, just so much that neither two of them nor one of them and an honest
participant are alike beyond the rule's limit. Alike are the novel parts, what is left of an update off the last global
deltas, which are public; the least limit that the rule can have is the spec's `copy_floor`, which is public too.

With `r` the novel part of what they agreed on and noise of `t` times its norm, two of them have a cosine of about
1 / (1 + t^2), and one of them has h / sqrt(1 + t^2) with an honest update whose novel part has cosine h with `r`. The
noise costs them: updates are clipped to the field's median norm, and only `r` improves (or harms) anything.

The `steady` ones know the rule on a participant's course too (`subnet.scoring.course`): fresh noise makes one update
unlike the next, so each keeps its noise for good.

They know the honest updates, the base's history and the spec.

Source: this project's own, against the copy rule; the noise is what Fung, Yoon and Beschastnikh 2020, FoolsGold
(arXiv:1808.04866), describe as sybils that perturb their updates to look unlike each other.
"""

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from clients import attacks
from clients.behaviour import Behaviour, View
from clients.seeds import generator

MARGIN = 0.02
"""So far below `copy_floor` two colluders are: in a model of 650 parameters a cosine of noise is off by .015."""

LEAST = 0.01
"""No smaller cosine is aimed at: the noise would be ten times the update."""

N_PUBLIC = 100
"""More public deltas than any spec lets count."""


@dataclass(frozen=True, slots=True)
class Jittered(Behaviour):
    """Sends what its attack makes of the honest updates, under noise of its own; a base for those below."""

    strength: float | None = None
    """Cosine that two of them have, at most 1; None takes the spec's `copy_floor` less .02."""
    steady: ClassVar[bool] = False
    """Whether a colluder's noise is the same in every round, but for its size."""

    def attack(self) -> attacks.Attack:
        """Return the attack that all agree on."""
        return attacks.ATTACKS[self.kind.partition("_")[2]]()

    def update(self, view: View) -> Tensor:
        """Return the attack under this client's noise."""
        agreed = view.collusion(self.attack())
        wanted = view.copy_floor() - MARGIN if self.strength is None else self.strength
        public = view.global_deltas(N_PUBLIC)
        scale = noise_scale(agreed, view.honest_updates(), public, cosine=min(1.0, max(LEAST, wanted)))
        draw = generator("cheat", self.kind, view.identity) if self.steady else view.draw(self.kind)
        drawn = torch.randn(agreed.shape, generator=draw, dtype=torch.float64)
        noisy: Tensor = agreed.double() + drawn * (scale / float(drawn.norm()))
        return noisy.to(agreed.dtype)


@dataclass(frozen=True, slots=True)
class JitteredLittleIsEnough(Jittered):
    """`alie` under noise of each colluder's own, so that they aren't copies. Knows the honest updates and the spec."""

    kind: ClassVar[str] = "jittered_alie"


@dataclass(frozen=True, slots=True)
class JitteredInnerProduct(Jittered):
    """`ipm` under noise of each colluder's own, so that they aren't copies. Knows the honest updates and the spec."""

    kind: ClassVar[str] = "jittered_ipm"


@dataclass(frozen=True, slots=True)
class JitteredMimic(Jittered):
    """`mimic` under noise of each colluder's own, so that they aren't copies. Knows the honest updates and the spec."""

    kind: ClassVar[str] = "jittered_mimic"


@dataclass(frozen=True, slots=True)
class SteadyLittleIsEnough(Jittered):
    """`jittered_alie` whose noise is the same every round, so that its updates are alike. Knows the same."""

    kind: ClassVar[str] = "steady_alie"
    steady: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class SteadyMimic(Jittered):
    """`jittered_mimic` whose noise is the same every round, so that its updates are alike. Knows the same."""

    kind: ClassVar[str] = "steady_mimic"
    steady: ClassVar[bool] = True


def noise_scale(agreed: Tensor, honest: Tensor, public: list[Tensor], *, cosine: float) -> float:
    """Return the norm of the noise that brings the cosines of novel parts down to a limit.

    Args:
        agreed: `(n_params,)` what all send before noise.
        honest: `(n_honest, n_params)` the honest updates.
        public: the last global deltas.
        cosine: the limit, in (0, 1].

    >>> noise_scale(torch.tensor([2.0, 0.0]), torch.tensor([[0.0, 1.0]]), [], cosine=0.5)
    2.0
    """
    own = _novel(agreed.double()[None], public)[0]
    others = _novel(honest.double(), public)
    norms = own.norm() * others.norm(dim=1)
    alike = torch.where(norms > 0, others @ own / norms, torch.zeros_like(norms))
    closest = max(0.0, *alike.tolist()) if len(alike) else 0.0
    needed = max(1 / cosine - 1, (closest / cosine) ** 2 - 1)
    return sqrt(needed) * float(own.norm())


def _novel(updates: Tensor, public: list[Tensor]) -> Tensor:
    """Return the rows of `updates` `(n, n_params)` without what lies in the span of the public deltas."""
    if not public:
        return updates
    span, sizes, _ = torch.linalg.svd(torch.stack(public).double().T, full_matrices=False)
    span = span[:, sizes > 1e-6 * sizes.max()]
    rest: Tensor = updates - (updates @ span) @ span.T
    return rest
