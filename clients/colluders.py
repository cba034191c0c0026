"""Participants that poison together: the attacks of `clients.attacks` as clients in a cast.

All clients of a role collude and send the same. They know every honest update of the round before they send theirs: a
leak that the simulation grants, by training as the honest ones do. The optimised forms search their strength against
the validator's rule, as `View.collusion` hands it to them.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clients import attacks
from clients.behaviour import Behaviour, View


@dataclass(frozen=True, slots=True)
class Colluder(Behaviour):
    """Sends what its attack makes of the honest updates; a base for those below."""

    def attack(self) -> attacks.Attack:
        """Return the attack."""
        return attacks.ATTACKS[self.kind]()

    def update(self, view: View) -> Tensor:
        """Return what the attack sends."""
        return view.collusion(self.attack())


@dataclass(frozen=True, slots=True)
class MeanFlip(Colluder):
    """Minus the honest mean, magnified. Knows the honest updates.

    Source: as `clients.attacks.MeanFlip`.
    """

    kind: ClassVar[str] = "mean_flip"
    strength: float = 1.0
    """Factor of the reversed mean, above 0."""

    def attack(self) -> attacks.Attack:
        """Return the attack of that strength."""
        return attacks.MeanFlip(self.strength)


@dataclass(frozen=True, slots=True)
class InnerProduct(Colluder):
    """Minus the honest mean times a small factor. Knows the honest updates.

    Source: as `clients.attacks.InnerProduct`.
    """

    kind: ClassVar[str] = "ipm"
    strength: float = 0.5
    """The factor."""

    def attack(self) -> attacks.Attack:
        """Return the attack of that strength."""
        return attacks.InnerProduct(self.strength)


@dataclass(frozen=True, slots=True)
class LittleIsEnough(Colluder):
    """The honest mean shifted by so many standard deviations in every coordinate. Knows the honest updates.

    Source: as `clients.attacks.LittleIsEnough`.
    """

    kind: ClassVar[str] = "alie"
    strength: float | None = None
    """Standard deviations of the shift; None takes the paper's."""

    def attack(self) -> attacks.Attack:
        """Return the attack of that strength."""
        return attacks.LittleIsEnough(self.strength)


@dataclass(frozen=True, slots=True)
class Mimic(Colluder):
    """The first honest client's update from all colluders. Knows the honest updates.

    Source: as `clients.attacks.Mimic`.
    """

    kind: ClassVar[str] = "mimic"


@dataclass(frozen=True, slots=True)
class MinMax(Colluder):
    """The mean moved as far as the largest honest distance allows. Knows the honest updates.

    Source: as `clients.attacks.MinMax`.
    """

    kind: ClassVar[str] = "min_max"


@dataclass(frozen=True, slots=True)
class MinSum(Colluder):
    """The mean moved as far as the largest sum of honest distances allows. Knows the honest updates.

    Source: as `clients.attacks.MinSum`.
    """

    kind: ClassVar[str] = "min_sum"


@dataclass(frozen=True, slots=True)
class OptimisedInnerProduct(Colluder):
    """`ipm` of the strength that moves the validator's rule most. Knows the honest updates and the rule.

    Source: as `clients.attacks.Optimised`.
    """

    kind: ClassVar[str] = "optimised_ipm"


@dataclass(frozen=True, slots=True)
class OptimisedLittleIsEnough(Colluder):
    """`alie` of the shift that moves the validator's rule most. Knows the honest updates and the rule.

    Source: as `clients.attacks.Optimised`.
    """

    kind: ClassVar[str] = "optimised_alie"
