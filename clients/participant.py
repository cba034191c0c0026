"""A participant's part in a round: check the instruction, train, sign."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from clients import acknowledgements, probes, sent, weights
from clients.attacks import Attack
from clients.behaviour import Behaviour, View
from clients.contribution import Contribution, Enrolment, Envelope, Signed, sign_enrolment, sign_envelope
from clients.errors import ContributionError, InstructionError
from clients.settings import TrainingSettings
from clients.task import Examples, Task, layout_of
from clients.training import train
from clients.wire import Instruction
from tokenomics.keys import Hotkey


class Leaks(Protocol):
    """What a simulation lets a participant know that no real one could, in a round that starts from `base`."""

    def peer_hotkey(self) -> str:
        """Return the public key of the victim of those who copy."""
        ...

    def peer_update(self, round_number: int, base: Tensor) -> Tensor:
        """Return the victim's update."""
        ...

    def leader_update(self, round_number: int, base: Tensor) -> Tensor:
        """Return the update of the first identity of the same owner."""
        ...

    def collusion(self, attack: Attack, round_number: int, base: Tensor, deltas: list[Tensor]) -> Tensor:
        """Return what an attack makes of all honest updates; `deltas` are the last global ones, newest first."""
        ...

    def honest_updates(self, round_number: int, base: Tensor) -> Tensor:
        """Return all honest updates that are finite, `(n_honest, n_params)`."""
        ...

    def copy_floor(self) -> float:
        """Return the cosine up to which the spec takes nobody for a copy."""
        ...


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
        gpu_clock: tells seconds from any moment on, by which it reports for how long training held a GPU; it reports
            nothing when None.
        n_probes: the most probe samples a round that the spec lets the validator send.
        state: folder in which it keeps what validators acknowledge and what it sent last; nothing is kept when None.
        models: folder of the published models by hash, for behaviours that use public history; None on a real node.
        leaks: what else a behaviour may know; None on a real node.
    """

    subnet: str
    task: Task
    settings: TrainingSettings
    hotkey: Hotkey
    examples: Examples
    draw: Callable[[int], torch.Generator]
    behaviour: Behaviour = field(default_factory=Behaviour)
    device: torch.device | None = None
    gpu_clock: Callable[[], float] | None = None
    n_probes: int = 0
    state: Path | None = None
    models: Path | None = None
    leaks: Leaks | None = None

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

    def contribute(
        self, instruction: Instruction, base_bytes: bytes, *, message_id: str, probe_bytes: bytes | None = None
    ) -> Contribution:
        """Train a round and sign the result; a message that was answered already gets the same answer.

        Args:
            instruction: what the validator asks.
            base_bytes: the base model in safetensors form.
            message_id: the random id of the validator's message.
            probe_bytes: this participant's probes in the round, as they came; None where there are none.

        Raises:
            InstructionError: another spec, a base model that isn't the one named, or probes that the spec doesn't
                allow.
        """
        self._check_subnet(instruction.subnet)
        if self.state is None:
            return self._train_and_sign(instruction, base_bytes, message_id, probe_bytes)
        hotkey = self.hotkey.keypair.public
        word, validator = instruction.acknowledgement, instruction.validator
        acknowledgements.keep(self.state, word, validator=validator, hotkey=hotkey)
        contribution = sent.find(self.state, instruction, hotkey=hotkey, message_id=message_id)
        if contribution is None:
            contribution = self._train_and_sign(instruction, base_bytes, message_id, probe_bytes)
            sent.keep(self.state, contribution)
        return contribution

    def _train_and_sign(
        self, instruction: Instruction, base_bytes: bytes, message_id: str, probe_bytes: bytes | None
    ) -> Contribution:
        base = self._read_base(instruction, base_bytes)
        assigned = None
        if probe_bytes is not None:
            assigned = probes.decode(probe_bytes, like=self.examples, n_probes=self.n_probes)
        view = self._view(instruction, base, assigned)
        clock = self.gpu_clock
        began = clock() if clock else 0.0
        update = self.behaviour.update(view)  # on the CPU, so whatever a GPU had to do for it is done
        gpu_ms = round(1000 * (clock() - began)) if clock else None
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
            gpu_ms=gpu_ms,
        )
        return self.behaviour.send(view, envelope, data, sign=lambda document: sign_envelope(document, self.hotkey))

    def local_update(self, round_number: int, base: Tensor, assigned: Examples | None = None) -> Tensor:
        """Train on this participant's own data (as its behaviour sees them): `(n_params,)` float32.

        Args:
            round_number: from 1.
            base: `(n_params,)` the model to start from.
            assigned: the round's probes, to train on as well.
        """
        return train(
            self.task,
            base,
            self.behaviour.data(self.examples),
            self.settings,
            draw=self.draw(round_number),
            device=self.device,
            probes=assigned,
        )

    def _probe_update(self, round_number: int, base: Tensor, assigned: Examples | None) -> Tensor | None:
        """Train on the round's probes alone; None where there are none."""
        if assigned is None:
            return None
        draw = self.draw(round_number)
        return train(self.task, base, assigned, self.settings, draw=draw, device=self.device)

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

    def _view(self, instruction: Instruction, base: Tensor, assigned: Examples | None) -> View:
        number, leaks = instruction.round, self.leaks
        view = View(
            round=number,
            deadline_s=instruction.deadline_s,
            base=base,
            identity=self.hotkey.keypair.public,
            own_update=lambda: self.local_update(number, base, assigned),
            probe_update=lambda: self._probe_update(number, base, assigned),
            past_update=lambda back: self._past_update(instruction, back),
            last_global_delta=lambda: next(iter(self._global_deltas(instruction, base, 1)), None),
            global_deltas=lambda n: self._global_deltas(instruction, base, n),
        )
        if leaks is None:
            return view
        return replace(
            view,
            peer_update=lambda: leaks.peer_update(number, base),
            peer_hotkey=leaks.peer_hotkey,
            leader_update=lambda: leaks.leader_update(number, base),
            collusion=lambda attack: leaks.collusion(
                attack, number, base, self._global_deltas(instruction, base, len(instruction.history))
            ),
            honest_updates=lambda: leaks.honest_updates(number, base),
            copy_floor=leaks.copy_floor,
        )

    def _global_deltas(self, instruction: Instruction, base: Tensor, n: int) -> list[Tensor]:
        """Return at most the `n` last global deltas, newest first."""
        points = [base, *(self._model(name) for name in instruction.history[:n])]
        return [new - old for new, old in pairwise(points)]

    def _past_update(self, instruction: Instruction, back: int) -> Tensor | None:
        """Return the update from the public model of `back` models ago, as that round's; None if none is so old.

        Nobody keeps a round's probes, so it is trained without.
        """
        if back > len(instruction.history):
            return None
        return self.local_update(instruction.round - back, self._model(instruction.history[back - 1]))

    def _model(self, name: str) -> Tensor:
        """Return a published model `(n_params,)` by its hash."""
        assert self.models is not None, "only a simulation lets a participant read the published models"
        return weights.decode(layout_of(self.task), (self.models / f"{name}.safetensors").read_bytes())
