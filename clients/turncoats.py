"""Participants that are honest by turns: they earn trust, or pay that a window remembers, and spend it.

None keeps a memory: what a round asks for follows from its number and from the public models, so a participant that
was started again goes on as if nothing had been.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clients.behaviour import Behaviour, View
from clients.free_riders import Noise, replayed

PERIOD = 5
"""Rounds of one turn, and honest rounds before a turncoat turns."""


@dataclass(frozen=True, slots=True)
class OnOff(Behaviour):
    """Is honest in rounds 1, 6, 11, ... and replays the last global delta in the others.

    Knows its own data and the base's history.

    Source: the on-off attack of Sun, Han, Yu and Liu 2006 (INFOCOM), "A trust evaluation framework in distributed
    networks", with free riding for its off state (EVIDENCE, "Scoring").
    """

    kind: ClassVar[str] = "on_off"

    def update(self, view: View) -> Tensor:
        """Return the honest update, or the last global delta."""
        return view.own_update() if view.round % PERIOD == 1 else replayed(view)


@dataclass(frozen=True, slots=True)
class OnOffPoison(Behaviour):
    """Is honest in four rounds of five and reverses its update in the fifth. Knows only its own data.

    Source: as `OnOff`, with the sign flip of Li et al. 2019 (arXiv:1811.03761) for its off state.
    """

    kind: ClassVar[str] = "on_off_poison"
    strength: float = 1.0
    """Factor of the reversed update; 1 leaves the norm as it was."""

    def update(self, view: View) -> Tensor:
        """Return the honest update, or minus `strength` times it."""
        own = view.own_update()
        return own if view.round % PERIOD else -self.strength * own


@dataclass(frozen=True, slots=True)
class SlowPoison(Behaviour):
    """Is honest for five rounds and reverses its update from then on. Knows only its own data.

    Source: this project's own, with the sign flip of Li et al. 2019 (arXiv:1811.03761).
    """

    kind: ClassVar[str] = "slow_poison"
    strength: float = 1.0
    """Factor of the reversed update."""

    def update(self, view: View) -> Tensor:
        """Return the honest update, or minus `strength` times it."""
        own = view.own_update()
        return own if view.round <= PERIOD else -self.strength * own


@dataclass(frozen=True, slots=True)
class Coasting(Noise):
    """Is honest for five rounds and sends noise from then on, living on what it earned.

    Knows its own data and the last global delta.

    Source: this project's own (EVIDENCE, "The rule of DESIGN.md section 5 on a CNN").
    """

    kind: ClassVar[str] = "coasting"

    def update(self, view: View) -> Tensor:
        """Return the honest update, or noise as `Noise` has it."""
        return view.own_update() if view.round <= PERIOD else Noise(self.strength).update(view)


@dataclass(frozen=True, slots=True)
class Burst(Behaviour):
    """Sends zeros in four rounds of five, and in the fifth the sum of what it held back and of that round's own.

    Knows its own data and the public models: it has kept nothing, and in the fifth round trains from the last four
    models as it would have then. After a round whose model was refused there are fewer different models, and it goes
    further back.

    Source: this project's own.
    """

    kind: ClassVar[str] = "burst"

    def update(self, view: View) -> Tensor:
        """Return zeros or the sum."""
        if view.round % PERIOD:
            return torch.zeros_like(view.base)
        held_back = [view.past_update(back) for back in range(1, PERIOD)]
        return torch.stack([view.own_update(), *(one for one in held_back if one is not None)]).sum(0)
