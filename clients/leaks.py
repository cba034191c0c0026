"""What a simulation tells its cheats of others: computed by training as those do, once a round in each process."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from clients.attacks import Attack, Rule
from clients.errors import CastError
from clients.participant import Participant
from clients.task import Examples
from clients.weights import digest

if TYPE_CHECKING:
    from clients.app import Simulation


class RuleOf(Protocol):
    """Gives the validator's rule as colluders know it in a round."""

    @property
    def copy_floor(self) -> float:
        """The cosine up to which the spec takes nobody for a copy."""
        ...

    def __call__(self, *, round_number: int, base: Tensor, deltas: list[Tensor], own: Examples) -> Rule:
        """Return the rule.

        Args:
            round_number: from 1.
            base: `(n_params,)` the round's base model.
            deltas: the last global deltas, newest first.
            own: the colluders' own data, in place of the held-out data that they can't know.
        """
        ...


class ProbesOf(Protocol):
    """Gives the probes that the validator has assigned to another participant in the round that is being played."""

    def __call__(self, *, round_number: int, hotkey: str) -> Examples | None:
        """Return the probes; None where it has none."""
        ...


class Once:
    """Computes a thing once for all who ask for it, whatever thread they run on; remembers the last few things.

    Who asks for a thing that another is computing waits for it. What a thing is doesn't depend on who asked first, so
    a second process that computes it again comes to the same.

    Args:
        n_kept: how many things are remembered.
    """

    def __init__(self, n_kept: int) -> None:
        self._n_kept = n_kept
        self._lock = threading.RLock()
        self._known: OrderedDict[Hashable, Tensor] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` gives, or gave before for this key; nobody may change it in place."""
        with self._lock:
            if key not in self._known:
                self._known[key] = compute()
                while len(self._known) > self._n_kept:
                    self._known.popitem(last=False)
            return self._known[key]


_HONEST = Once(1)
"""All honest updates of a round, `(n_honest, n_params)`: as large as what the validator itself collects."""
_SINGLE = Once(64)
"""Single updates `(n_params,)`: what a first identity trained, and what colluders agreed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedLeaks:
    """What client `index` of a simulated field gets to know.

    Attributes:
        field: all clients.
        index: this one.
    """

    field: "Simulation"
    index: int

    def peer_hotkey(self) -> str:
        """Return the hotkey of the first honest client."""
        return self._peer().hotkey.keypair.public

    def peer_update(self, round_number: int, base: Tensor) -> Tensor:
        """Return the update of the first honest client."""
        return self._trained(self._peer(), round_number, base)

    def leader_update(self, round_number: int, base: Tensor) -> Tensor:
        """Return the update of the first client of the same role."""
        leader = self.field.roles.index(self.field.roles[self.index])
        return _SINGLE.get(
            (self.field, leader, round_number, _name(base)),
            lambda: self._trained(self.field.participant(leader), round_number, base),
        )

    def collusion(self, attack: Attack, round_number: int, base: Tensor, deltas: list[Tensor]) -> Tensor:
        """Return what all clients of this role send; zeros when no honest update is finite any more."""
        role = self.field.roles[self.index]
        return _SINGLE.get(
            (self.field, role, round_number, _name(base)), lambda: self._craft(attack, round_number, base, deltas)
        )

    def honest_updates(self, round_number: int, base: Tensor) -> Tensor:
        """Return all honest updates that are finite."""
        honest = self._honest(round_number, base)
        return honest[honest.isfinite().all(1)]

    def copy_floor(self) -> float:
        """Return the spec's floor of the copy rule.

        Raises:
            CastError: the field was made without its subnet's rules.
        """
        if self.field.rule_of is None:
            raise CastError("this field doesn't know its subnet's copy rule", remedy="pass rule_of, or name a strength")
        return self.field.rule_of.copy_floor

    def _craft(self, attack: Attack, round_number: int, base: Tensor, deltas: list[Tensor]) -> Tensor:
        colluders = [place for place, role in enumerate(self.field.roles) if role == self.field.roles[self.index]]
        honest = self.honest_updates(round_number, base)
        if not len(honest):
            return torch.zeros_like(base)
        rule = None
        if self.field.rule_of is not None:
            own = [self.field.participant(place).examples for place in colluders]
            pooled = Examples(
                inputs=torch.cat([one.inputs for one in own]), targets=torch.cat([one.targets for one in own])
            )
            rule = self.field.rule_of(round_number=round_number, base=base, deltas=deltas, own=pooled)
        return attack.craft(honest, n_byzantine=len(colluders), rule=rule)[0]

    def _honest(self, round_number: int, base: Tensor) -> Tensor:
        """Return every honest update of the round."""
        honest = [place for place, role in enumerate(self.field.roles) if role == "honest"]
        return _HONEST.get(
            (self.field, round_number, _name(base)),
            lambda: torch.stack([self._trained(self.field.participant(place), round_number, base) for place in honest]),
        )

    def _peer(self) -> Participant:
        return self.field.participant(self.field.roles.index("honest"))

    def _trained(self, participant: Participant, round_number: int, base: Tensor) -> Tensor:
        """Return what another participant trains this round, its probes included."""
        assigned = None
        if self.field.probes_of is not None:
            assigned = self.field.probes_of(round_number=round_number, hotkey=participant.hotkey.keypair.public)
        return participant.local_update(round_number, base, assigned)


def _name(base: Tensor) -> str:
    """Return a model's hash."""
    return digest(base.numpy().tobytes())
