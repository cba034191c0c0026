"""A participant's part in a round: check the instruction, train, sign."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from clients import weights
from clients.behaviour import Behaviour, View
from clients.contribution import Contribution, Enrolment, Envelope, Signed, sign_enrolment, sign_envelope
from clients.errors import ContributionError, InstructionError
from clients.settings import TrainingSettings
from clients.task import Examples, Task, layout_of
from clients.training import train
from clients.wire import Instruction
from tokenomics.keys import Hotkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """One hotkey with its data, ready to enrol and to contribute.

    Attributes:
        subnet: content hash of the spec that this participant agreed to.
        task: what is trained.
        settings: how a local round is trained.
        hotkey: signs enrolment and contributions.
        examples: the participant's own data.
        draw: a generator for a round's randomness; a simulation fixes it, a real node takes fresh entropy.
        behaviour: what it does with its update; `Behaviour()` is honest.
        device: where it trains; the CPU when None.
        models: folder of the published models by hash, for behaviours that use public history; None on a real node.
        victim: the peer whose update a copying behaviour takes; simulation only.
    """

    subnet: str
    task: Task
    settings: TrainingSettings
    hotkey: Hotkey
    examples: Examples
    draw: Callable[[int], torch.Generator]
    behaviour: Behaviour = field(default_factory=Behaviour)
    device: torch.device | None = None
    models: Path | None = None
    victim: Callable[[], "Participant"] | None = None

    def enrol(self, *, subnet: str, challenge: str) -> Signed:
        """Say who this node works for, in answer to the message `challenge`.

        Raises:
            InstructionError: the validator runs another spec than the one agreed to.
        """
        self._check_subnet(subnet)
        document = Enrolment(
            subnet=self.subnet,
            hotkey=self.hotkey.keypair.public,
            coldkey=self.hotkey.coldkey,
            binding=self.hotkey.binding,
            challenge=challenge,
        )
        return sign_enrolment(document, self.hotkey)

    def contribute(self, instruction: Instruction, base_bytes: bytes, *, message_id: str) -> Contribution:
        """Train a round and sign the result.

        Args:
            instruction: what the validator asks.
            base_bytes: the base model in safetensors form.
            message_id: the random id of the validator's message.

        Raises:
            InstructionError: another spec, or a base model that isn't the one named.
        """
        self._check_subnet(instruction.subnet)
        base = self._read_base(instruction, base_bytes)
        view = self._view(instruction, base)
        update = self.behaviour.update(view)
        data = weights.encode(layout_of(self.task), update)
        envelope = Envelope(
            subnet=self.subnet,
            hotkey=self.hotkey.keypair.public,
            round=instruction.round,
            base_hash=instruction.base_hash,
            update_hash=weights.digest(data),
            message_id=message_id,
            validator=instruction.validator,
            n_examples=len(self.examples),
            epsilon_micro=None,
        )
        return self.behaviour.send(view, envelope, data, sign=lambda document: sign_envelope(document, self.hotkey))

    def local_update(self, round_number: int, base: Tensor) -> Tensor:
        """Train on this participant's own data (as its behaviour sees them): `(n_params,)` float32."""
        return train(
            self.task,
            base,
            self.behaviour.data(self.examples),
            self.settings,
            draw=self.draw(round_number),
            device=self.device,
        )

    def _check_subnet(self, subnet: str) -> None:
        if subnet != self.subnet:
            raise InstructionError(
                f"the validator runs spec {subnet[:12]}, this participant agreed to {self.subnet[:12]}",
                remedy="compare your subnet.toml with the validator's and join again if you agree to theirs",
            )

    def _read_base(self, instruction: Instruction, base_bytes: bytes) -> Tensor:
        if weights.digest(base_bytes) != instruction.base_hash:
            raise InstructionError(
                f"the base model isn't {instruction.base_hash[:12]}", remedy="ask the validator to send it again"
            )
        try:
            return weights.decode(layout_of(self.task), base_bytes)
        except ContributionError as error:
            raise InstructionError(f"the base model can't be used: {error}", remedy="tell the validator") from error

    def _view(self, instruction: Instruction, base: Tensor) -> View:
        def peer_update() -> Tensor:
            assert self.victim is not None, "only a simulation gives a participant a victim"
            return self.victim().local_update(instruction.round, base)

        return View(
            round=instruction.round,
            deadline_s=instruction.deadline_s,
            base=base,
            own_update=lambda: self.local_update(instruction.round, base),
            peer_update=peer_update,
            last_global_delta=lambda: self._last_global_delta(instruction, base),
        )

    def _last_global_delta(self, instruction: Instruction, base: Tensor) -> Tensor | None:
        assert self.models is not None, "only a simulation lets a participant read the published models"
        if not instruction.history:
            return None
        data = (self.models / f"{instruction.history[0]}.safetensors").read_bytes()
        return base - weights.decode(layout_of(self.task), data)
