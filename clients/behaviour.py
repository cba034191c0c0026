"""What a participant does between training and sending: the three places where honest and cheating ones differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clients.contribution import Contribution, Envelope, Signed
from clients.task import Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a behaviour may look at in a round; each cheat's docstring says which part it needs.

    Attributes:
        round: the round's number, from 1.
        deadline_s: seconds that the validator waits.
        base: `(n_params,)` the base model.
        own_update: trains on the participant's own data; costs a local training.
        peer_update: the victim's update of this very round: a leak that the threat model grants, simulated by
            training as the victim does.
        last_global_delta: the base model minus the one before it, which is public; None in the first round.
    """

    round: int
    deadline_s: int
    base: Tensor
    own_update: Callable[[], Tensor]
    peer_update: Callable[[], Tensor]
    last_global_delta: Callable[[], Tensor | None]


class Behaviour:
    """The honest participant: trains on its own data and sends what came out. Cheats override one of its steps."""

    kind: ClassVar[str] = "honest"

    def data(self, examples: Examples) -> Examples:
        """Return what is trained on."""
        return examples

    def update(self, view: View) -> Tensor:
        """Return the update `(n_params,)` to send."""
        return view.own_update()

    def send(
        self, view: View, envelope: Envelope, update: bytes, *, sign: Callable[[Envelope], Signed]
    ) -> Contribution:
        """Sign the envelope and put the contribution together."""
        del view
        return Contribution(signed=sign(envelope), update=update)
