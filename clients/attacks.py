"""Poisoning by colluding clients that know every honest update of the round, and where told so the validator's rule.

The strongest threat model of the field: an attack sees the honest updates `(n_honest, n_params)`, and returns what the
`n_byzantine` colluders send. What a single client can do on its own is in `clients.adversaries`.

Sums and searches are in float64; the result has the updates' dtype. Nothing random: the same field gives the same
attack.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar, Literal

import torch
from torch import Tensor

from clients.errors import CastError

Rule = Callable[[Tensor], Tensor]
"""The validator's aggregation: `(n, n_params)` to `(n_params,)`, honest rows first."""

STRENGTHS = tuple(0.01 * 2**step for step in range(15))
"""What the optimised forms try: .01 to 164, each twice the one before."""

_BISECTIONS = 50


@dataclass(frozen=True, slots=True)
class Attack(ABC):
    """What colluding clients send."""

    name: ClassVar[str]

    def craft(self, honest: Tensor, *, n_byzantine: int, rule: Rule | None = None) -> Tensor:
        """Return what the colluders send.

        Args:
            honest: `(n_honest, n_params)` the honest updates, at least one, finite; not changed.
            n_byzantine: how many colluders there are, at least 1.
            rule: the validator's aggregation, which the optimised forms attack.

        Returns:
            `(n_byzantine, n_params)`.

        Raises:
            CastError: no honest update, no colluder, or a rule is needed and missing.
        """
        if honest.dim() != 2 or not len(honest) or n_byzantine < 1:
            raise CastError(
                f"{self.name} can't attack {tuple(honest.shape)} honest updates with {n_byzantine} colluders",
                remedy="give at least one honest update of shape (n_honest, n_params) and one colluder",
            )
        sent = self.vector(honest.double(), n_byzantine, rule)
        return sent.to(honest.dtype).expand(n_byzantine, -1).clone()

    @abstractmethod
    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return the one update `(n_params,)` float64 that all colluders send."""


@dataclass(frozen=True, slots=True)
class MeanFlip(Attack):
    """Minus the honest mean, magnified: the colluding form of the sign flip.

    Source: Li et al. 2019, RSA (arXiv:1811.03761), section 5; Allen-Zhu et al. 2020 (arXiv:2012.14368).
    """

    name: ClassVar[str] = "mean_flip"
    strength: float = 1.0
    """Factor of the reversed mean, above 0."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return minus `strength` times the mean."""
        del n_byzantine, rule
        return -self.strength * honest.mean(0)


@dataclass(frozen=True, slots=True)
class InnerProduct(Attack):
    """Inner-product manipulation (IPM): minus the honest mean times a small factor, to turn the descent round.

    Source: Xie, Koyejo and Gupta 2020, "Fall of Empires" (arXiv:1903.03936), section 4.
    """

    name: ClassVar[str] = "ipm"
    strength: float = 0.5
    """Factor epsilon; the paper tries .5 and 100."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return minus `strength` times the mean."""
        del n_byzantine, rule
        return -self.strength * honest.mean(0)


@dataclass(frozen=True, slots=True)
class LittleIsEnough(Attack):
    """ALIE: the honest mean shifted by so many standard deviations in every coordinate that it still looks honest.

    Source: Baruch, Baruch and Goldberg 2019 (arXiv:1902.06156), algorithm 3.
    """

    name: ClassVar[str] = "alie"
    z: float | None = None
    """Standard deviations of the shift; None takes the paper's largest that keeps a majority of supporters."""
    ddof: Literal[0, 1] = 0
    """0 divides the variance by n (the paper), 1 by n - 1 (byzfl)."""
    sign: Literal[-1, 1] = -1
    """-1 shifts down (the paper), +1 up (byzfl, byzpy)."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return mean + sign x z x standard deviation."""
        del rule
        z = largest_z(len(honest), n_byzantine) if self.z is None else self.z
        return honest.mean(0) + self.sign * z * _deviation(honest, self.ddof)


@dataclass(frozen=True, slots=True)
class Mimic(Attack):
    """All colluders repeat one honest update, so that its data counts far too much.

    Source: Karimireddy, He and Jaggi 2022 (arXiv:2006.09365), section 3.2, with a fixed victim.
    """

    name: ClassVar[str] = "mimic"
    victim: int = 0
    """Row of the honest update that is repeated."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return the victim's update."""
        del n_byzantine, rule
        if not 0 <= self.victim < len(honest):
            raise CastError(
                f"mimic's victim {self.victim} isn't one of {len(honest)} honest clients",
                remedy=f"name one from 0 to {len(honest) - 1}",
            )
        return honest[self.victim]


@dataclass(frozen=True, slots=True)
class MinMax(Attack):
    """As far from the honest mean as possible while no farther from any honest update than two of those can be.

    Source: Shejwalkar and Houmansadr 2021 (NDSS), "Manipulating the Byzantine", section IV-C, equation 6.
    """

    name: ClassVar[str] = "min_max"
    direction: Literal["std", "unit", "sign"] = "std"
    """Away from the mean along minus the standard deviation, minus the unit mean, or minus the mean's signs."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return the mean moved as far as the largest distance allows."""
        del n_byzantine, rule
        limit = _squared_distances(honest).max()
        return _push(honest, _direction(honest, self.direction), lambda far: bool(_to(honest, far).max() <= limit))


@dataclass(frozen=True, slots=True)
class MinSum(Attack):
    """As far from the honest mean as possible while its distances sum to no more than those of an honest update can.

    Source: Shejwalkar and Houmansadr 2021 (NDSS), section IV-C, equation 7.
    """

    name: ClassVar[str] = "min_sum"
    direction: Literal["std", "unit", "sign"] = "std"
    """As for `MinMax`."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return the mean moved as far as the largest sum of distances allows."""
        del n_byzantine, rule
        limit = _squared_distances(honest).sum(1).max()
        return _push(honest, _direction(honest, self.direction), lambda far: bool(_to(honest, far).sum() <= limit))


@dataclass(frozen=True, slots=True)
class Optimised(Attack):
    """An attack whose strength is searched for against the validator's own rule.

    Of all `STRENGTHS` it takes the one that moves the rule's result farthest from the honest mean.

    Source: Shejwalkar and Houmansadr 2021, section IV-B (the tailored attacks); as line search in byzfl.
    """

    @abstractmethod
    def at(self, honest: Tensor, strength: float) -> Tensor:
        """Return the attack `(n_params,)` of a strength."""

    def vector(self, honest: Tensor, n_byzantine: int, rule: Rule | None) -> Tensor:
        """Return the attack of the best strength."""
        if rule is None:
            raise CastError(f"{self.name} attacks a rule, and none was given", remedy="pass rule=...")
        mean = honest.mean(0)
        worst, best = -1.0, mean
        for strength in STRENGTHS:
            sent = self.at(honest, strength)
            result = rule(torch.cat([honest, sent.expand(n_byzantine, -1)])).double()
            distance = float((result - mean).norm())
            if distance > worst:
                worst, best = distance, sent
        return best


@dataclass(frozen=True, slots=True)
class OptimisedInnerProduct(Optimised):
    """IPM of the strength that moves the rule most."""

    name: ClassVar[str] = "optimised_ipm"

    def at(self, honest: Tensor, strength: float) -> Tensor:
        """Return minus `strength` times the mean."""
        return -strength * honest.mean(0)


@dataclass(frozen=True, slots=True)
class OptimisedLittleIsEnough(Optimised):
    """ALIE of the shift that moves the rule most."""

    name: ClassVar[str] = "optimised_alie"

    def at(self, honest: Tensor, strength: float) -> Tensor:
        """Return the mean less `strength` standard deviations."""
        return honest.mean(0) - strength * _deviation(honest, 0)


ATTACKS: dict[str, type[Attack]] = {
    attack.name: attack
    for attack in (
        MeanFlip,
        InnerProduct,
        LittleIsEnough,
        Mimic,
        MinMax,
        MinSum,
        OptimisedInnerProduct,
        OptimisedLittleIsEnough,
    )
}
"""Every collusive attack by name."""


def largest_z(n_honest: int, n_byzantine: int) -> float:
    """Return ALIE's shift: the quantile at which just enough honest clients lie farther out to make a majority.

    With n clients in all and s = floor(n / 2) + 1 - f supporters needed, it is the (n - s) / n quantile of the normal
    distribution; 0 where the colluders are a majority already.

    Source: Baruch et al. 2019, equation 1 with n in the denominator, as the libraries have it.

    >>> round(largest_z(11, 3), 4)
    0.3661
    """
    n_clients = n_honest + n_byzantine
    supporters = n_clients // 2 + 1 - n_byzantine
    if supporters <= 0:
        return 0.0
    return NormalDist().inv_cdf((n_clients - supporters) / n_clients)


def _deviation(honest: Tensor, ddof: int) -> Tensor:
    """Return the standard deviation `(n_params,)` of every coordinate; zeros where one update has none."""
    if len(honest) <= ddof:
        return torch.zeros(honest.shape[1], dtype=honest.dtype)
    return honest.std(0, correction=ddof)


def _direction(honest: Tensor, kind: str) -> Tensor:
    mean = honest.mean(0)
    if kind == "std":
        return -_deviation(honest, 0)
    if kind == "sign":
        return -mean.sign()
    norm = mean.norm()
    return -mean / norm if norm > 0 else torch.zeros_like(mean)


def _push(honest: Tensor, direction: Tensor, allowed: Callable[[Tensor], bool]) -> Tensor:
    """Return the mean moved along `direction` as far as `allowed` says, to a part in 2**50."""
    mean = honest.mean(0)
    if not bool(direction.any()) or not allowed(mean):
        return mean
    far = 1.0
    while allowed(mean + far * direction):
        far *= 2
    near = 0.0
    for _ in range(_BISECTIONS):
        middle = (near + far) / 2
        near, far = (middle, far) if allowed(mean + middle * direction) else (near, middle)
    return mean + near * direction


def _to(honest: Tensor, point: Tensor) -> Tensor:
    """Return `(n_honest,)` squared distances of `point` to the honest updates."""
    return ((honest - point) ** 2).sum(1)


def _squared_distances(honest: Tensor) -> Tensor:
    """Return `(n_honest, n_honest)` squared distances, from differences, a row at a time."""
    return torch.stack([_to(honest, row) for row in honest])
