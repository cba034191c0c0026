"""What a participant does between training and sending: the three places where honest and cheating ones differ."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from clients.attacks import Attack
from clients.contribution import Contribution, Envelope, Signed
from clients.errors import CastError
from clients.seeds import generator
from clients.task import Examples


def _hidden(*_: Any) -> Any:
    """Stand for knowledge that nobody grants."""
    raise CastError("a client wants to see what isn't shown here", remedy="use a kind of client that knows less")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a behaviour may look at in a round; each cheat's docstring says which part it needs.

    What isn't given can't be looked at. A leak is what no real participant could see, and a simulation grants: the
    threat models of the literature assume it.

    Attributes:
        round: the round's number, from 1.
        deadline_s: seconds that the validator waits.
        base: `(n_params,)` the base model.
        identity: what the client's own randomness depends on beside the round.
        own_update: trains on the participant's own data and the round's probes; costs a local training.
        probe_update: trains on the round's probes alone; None where there are none.
        past_update: the same from the public model of so many models ago; None where there's none so old.
        last_global_delta: the base model minus the one before it, which is public; None in the first round.
        global_deltas: at most so many of the last global deltas, newest first: public too.
        peer_update: a leak: the victim's update of this very round, computed by training as the victim does.
        peer_hotkey: public key of the victim: public.
        leader_update: the update of the first identity of the same owner.
        collusion: a leak: what an attack sends, which is made of every honest update of this very round.
        honest_updates: a leak: all of those, `(n_honest, n_params)`.
        copy_floor: the cosine up to which the spec takes nobody for a copy: public.
    """

    round: int
    deadline_s: int
    base: Tensor
    identity: str = ""
    own_update: Callable[[], Tensor] = _hidden
    probe_update: Callable[[], Tensor | None] = _hidden
    past_update: Callable[[int], Tensor | None] = _hidden
    last_global_delta: Callable[[], Tensor | None] = _hidden
    global_deltas: Callable[[int], list[Tensor]] = _hidden
    peer_update: Callable[[], Tensor] = _hidden
    peer_hotkey: Callable[[], str] = _hidden
    leader_update: Callable[[], Tensor] = _hidden
    collusion: Callable[[Attack], Tensor] = _hidden
    honest_updates: Callable[[], Tensor] = _hidden
    copy_floor: Callable[[], float] = _hidden

    def draw(self, purpose: str) -> torch.Generator:
        """Return a generator for a purpose, this client's and this round's own."""
        return generator("cheat", purpose, self.identity, self.round)


class Behaviour:
    """The honest participant: trains on its own data and sends what came out. Cheats override one of its steps."""

    kind: ClassVar[str] = "honest"
    one_owner: ClassVar[bool] = False
    """Whether all clients of a role are identities of one owner, who has one client's data."""

    def holding(self, examples: Examples, *, place: int, size: int) -> Examples:
        """Return what identity `place` of the owner's `size` holds of the owner's examples."""
        del place, size
        return examples

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
