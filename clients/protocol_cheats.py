"""Participants that break the protocol rather than the update; each must cost only itself.

They know only their own data, and what is public. Source, unless said otherwise: this project's own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import safetensors.torch
import torch

from clients.behaviour import Behaviour, View
from clients.contribution import MAX_EXAMPLES, Contribution, Envelope, Signed, sign_envelope
from clients.seeds import seed_bytes
from clients.weights import digest
from tokenomics.keys import Wallet

Sign = Callable[[Envelope], Signed]


@dataclass(frozen=True, slots=True)
class Unsigned(Behaviour):
    """Sends an honest update without a signature."""

    kind: ClassVar[str] = "unsigned"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Leave the signature out."""
        del view, sign
        return Contribution(signed=Signed(document=envelope.canonical(), signature=""), update=update)


@dataclass(frozen=True, slots=True)
class Forged(Behaviour):
    """Changes the envelope after it was signed: claims a hundred times the examples."""

    kind: ClassVar[str] = "forged"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Sign one envelope, send another."""
        del view
        claimed = envelope.model_copy(update={"n_examples": 100 * envelope.n_examples})
        return Contribution(
            signed=Signed(document=claimed.canonical(), signature=sign(envelope).signature), update=update
        )


@dataclass(frozen=True, slots=True)
class HugeExamples(Behaviour):
    """Claims, properly signed, the largest number of examples that can be claimed; its update is honest."""

    kind: ClassVar[str] = "huge_examples"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Sign the claim."""
        del view
        return Contribution(signed=sign(envelope.model_copy(update={"n_examples": MAX_EXAMPLES})), update=update)


@dataclass(frozen=True, slots=True)
class WrongSigner(Behaviour):
    """Sends, from the node of one hotkey, what a second hotkey of its own has properly signed."""

    kind: ClassVar[str] = "wrong_signer"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Sign with the second hotkey, in its name."""
        del view, sign
        other = Wallet.from_seed(seed_bytes("second hotkey", envelope.hotkey)).hotkey
        named = envelope.model_copy(update={"hotkey": other.keypair.public})
        return Contribution(signed=sign_envelope(named, other), update=update)


@dataclass(frozen=True, slots=True)
class WrongNode(Behaviour):
    """Claims to be an honest participant, whose key it doesn't have, and signs with its own. Knows that one's hotkey.

    The victim must neither lose its own contribution nor be blamed for this one.
    """

    kind: ClassVar[str] = "wrong_node"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Name another's hotkey."""
        return Contribution(signed=sign(envelope.model_copy(update={"hotkey": view.peer_hotkey()})), update=update)


@dataclass(frozen=True, slots=True)
class Replayed(Behaviour):
    """Sends an envelope that it signed for an earlier message."""

    kind: ClassVar[str] = "replayed"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Sign for a message of long ago."""
        del view
        return Contribution(signed=sign(envelope.model_copy(update={"message_id": "0" * 32})), update=update)


@dataclass(frozen=True, slots=True)
class WrongBase(Behaviour):
    """Signs that it trained from another model than the round's base."""

    kind: ClassVar[str] = "wrong_base"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Name another base model."""
        del view
        return Contribution(signed=sign(envelope.model_copy(update={"base_hash": "0" * 64})), update=update)


@dataclass(frozen=True, slots=True)
class Tensors(Behaviour):
    """Sends well-formed safetensors bytes that aren't this model's; a base for the cheats below."""

    def tensors(self, view: View) -> dict[str, torch.Tensor]:
        """Return what is sent in place of the update."""
        return {"no.such.parameter": torch.zeros_like(view.base)}

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Send other tensors, properly named by hash and signed."""
        del update
        data = safetensors.torch.save(self.tensors(view))
        return Contribution(signed=sign(envelope.model_copy(update={"update_hash": digest(data)})), update=data)


@dataclass(frozen=True, slots=True)
class WrongNames(Tensors):
    """Sends one tensor of a name that the model doesn't have."""

    kind: ClassVar[str] = "wrong_names"


@dataclass(frozen=True, slots=True)
class Oversized(Tensors):
    """Sends four times what the model weighs."""

    kind: ClassVar[str] = "oversized"

    def tensors(self, view: View) -> dict[str, torch.Tensor]:
        """Return one tensor of at least a megabyte."""
        return {"huge": torch.zeros(max(4 * view.base.numel(), 1 << 18))}


@dataclass(frozen=True, slots=True)
class Malformed(Behaviour):
    """Sends bytes that aren't safetensors, properly signed."""

    kind: ClassVar[str] = "malformed"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Cut the update in half."""
        del view
        half = update[: len(update) // 2]
        return Contribution(signed=sign(envelope.model_copy(update={"update_hash": digest(half)})), update=half)


@dataclass(frozen=True, slots=True)
class Altered(Behaviour):
    """Sends other bytes than those whose hash it signed."""

    kind: ClassVar[str] = "altered"

    def send(self, view: View, envelope: Envelope, update: bytes, *, sign: Sign) -> Contribution:
        """Change the last byte."""
        del view
        return Contribution(signed=sign(envelope), update=update[:-1] + bytes([update[-1] ^ 1]))


class SimulatedCrashError(RuntimeError):
    """What a crashing participant raises."""


@dataclass(frozen=True, slots=True)
class Crash(Behaviour):
    """Fails in mid-round: Flower reports an error instead of a reply."""

    kind: ClassVar[str] = "crash"

    def update(self, view: View) -> torch.Tensor:
        """Raise."""
        raise SimulatedCrashError(f"crashed in round {view.round}")


@dataclass(frozen=True, slots=True)
class Late(Behaviour):
    """Answers after the deadline."""

    kind: ClassVar[str] = "late"

    def update(self, view: View) -> torch.Tensor:
        """Wait until the deadline has passed."""
        time.sleep(view.deadline_s + 0.5)
        return torch.zeros_like(view.base)
