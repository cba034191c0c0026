"""The Flower ClientApp: the same in simulation and in deployment; only where identity and data come from differs.

Two Flower messages reach it: `query` asks the node to enrol, `train` asks for a round's contribution.
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from torch import Tensor

from clients import partition as partitions
from clients.adversaries import informed
from clients.behaviour import Behaviour
from clients.cast import behaviour, identities
from clients.errors import InstructionError
from clients.free_riders import Leak
from clients.leaks import ProbesOf, RuleOf, SimulatedLeaks
from clients.participant import Participant
from clients.seeds import generator, seed_bytes
from clients.settings import TrainingSettings
from clients.task import Examples, Task, load_task
from clients.wire import contribution_record, enrolment_record, read_instruction, read_probes
from tokenomics.keys import Hotkey, Wallet, load_hotkey


class ParticipantSource(Protocol):
    """Gives the participant that a node works for, from what Flower tells the node about itself."""

    def __call__(self, context: Context) -> Participant:
        """Return the node's participant; called for every message, so it should be quick the second time."""
        ...


def create_client_app(source: ParticipantSource) -> ClientApp:
    """Return a ClientApp that works for the participants of `source`."""
    app = ClientApp()

    @app.query()
    def enrol(message: Message, context: Context) -> Message:
        subnet = str(message.content.config_records["enrol"]["subnet"])
        signed = source(context).enrol(subnet=subnet, challenge=message.metadata.group_id)
        return Message(enrolment_record(signed), reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        participant = source(context)
        instruction, base = read_instruction(message.content)
        contribution = participant.contribute(
            instruction, base, message_id=message.metadata.group_id, probe_bytes=read_probes(message.content)
        )
        return Message(contribution_record(contribution, n_examples=len(participant.examples)), reply_to=message)

    return app


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """Everything that fixes a simulated field of participants; small and picklable, so that Ray can ship it.

    Attributes:
        app_dir: the subnet's folder.
        task: `package.module:Class` within it.
        subnet: content hash of the spec.
        settings: how a local round is trained.
        roles: one role a client, by partition.
        partition: `iid` or `dirichlet:ALPHA`.
        n_small: how many of the honest clients (the last ones) keep only `small_share` of their data.
        small_share: in (0, 1].
        seed: fixes wallets, data split and local randomness.
        models: folder in which the validator publishes models by hash.
        rule_of: gives the validator's rule to colluders that search against it; None when there are none.
        n_probes: the most probe samples a round that the spec lets the validator send.
        probes_of: gives others' probes to those who know others' updates; None without probes.
    """

    app_dir: Path
    task: str
    subnet: str
    settings: TrainingSettings
    roles: tuple[str, ...]
    partition: str
    n_small: int
    small_share: float
    seed: int
    models: Path
    rule_of: RuleOf | None = field(default=None, hash=False)
    n_probes: int = 0
    probes_of: ProbesOf | None = field(default=None, hash=False)

    def __call__(self, context: Context) -> Participant:
        """Return the participant of the node's `partition-id`; its process computes on one thread from now on.

        Many clients share a machine, and the number of threads changes the last bits of a result.
        """
        torch.set_num_threads(1)
        index = int(context.node_config["partition-id"])
        if index >= len(self.roles):
            raise InstructionError(
                f"node has partition-id {index}, the cast has {len(self.roles)} clients",
                remedy="start as many nodes as the cast has clients",
            )
        return self.participant(index)

    def participant(self, index: int) -> Participant:
        """Return the client of partition `index`, which must be below the number of roles."""
        return Participant(
            subnet=self.subnet,
            task=load_task(self.app_dir, self.task),
            settings=self.settings,
            hotkey=self.hotkey(index),
            examples=self._examples(index),
            draw=lambda round_number: generator("local", self.seed, index, round_number),
            behaviour=self._behaviour(index),
            n_probes=self.n_probes,
            models=self.models,
            leaks=SimulatedLeaks(field=self, index=index),
        )

    def hotkey(self, index: int) -> Hotkey:
        """Return the simulated wallet's hotkey of client `index`."""
        return Wallet.from_seed(seed_bytes("wallet", self.seed, index)).hotkey

    def _behaviour(self, index: int) -> Behaviour:
        task = load_task(self.app_dir, self.task)
        found = informed(behaviour(self.roles[index]), _training_data(task))
        if isinstance(found, Leak):
            return found.given(task.validation_data(), generator("leak", self.seed))
        return found

    def _examples(self, index: int) -> Examples:
        task = load_task(self.app_dir, self.task)
        field = identities(self.roles)
        n_owners = 1 + max(one.owner for one in field)
        identity = field[index]
        shard = _shards(task, n_owners, self.partition, self.seed)[identity.owner]
        n_honest = sum(role == "honest" for role in self.roles)
        if n_honest - self.n_small <= index < n_honest:
            keep = max(1, round(len(shard) * self.small_share))
            shard = shard[torch.randperm(len(shard), generator=generator("small", self.seed, index))[:keep]]
        examples = _training_data(task).take(shard)
        return behaviour(self.roles[index]).holding(examples, place=identity.place, size=identity.size)


@lru_cache(maxsize=4)
def _training_data(task: Task) -> Examples:
    return task.training_data()


@lru_cache(maxsize=16)
def _shards(task: Task, n_shards: int, partition: str, seed: int) -> list[Tensor]:
    return partitions.split(_training_data(task), n_shards, partition=partition, seed=seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class WalletNode:
    """A real node: its hotkey from its wallet and its data as its `--node-config` says.

    Node configuration: `wallet` (path of a wallet made by `subnet wallet new`, required), `device` (`cpu`, `cuda`,
    ...; default the GPU where there is one), `state` (folder for the validator's acknowledgements and the last
    contribution; default the wallet's), and either what the task's `participant_data` reads or `partition-id` with
    `num-partitions`, which takes that shard of the task's own training data. Without a wallet, a run that sets
    `simulated-wallets` lets the node take a throwaway key that everyone knows.
    """

    app_dir: Path
    task: str
    subnet: str
    settings: TrainingSettings
    n_probes: int = 0

    def __call__(self, context: Context) -> Participant:
        """Return the participant of this node."""
        config = context.node_config
        device = torch.device(str(config.get("device") or ("cuda" if torch.cuda.is_available() else "cpu")))
        task = load_task(self.app_dir, self.task)
        return Participant(
            subnet=self.subnet,
            task=task,
            settings=self.settings,
            hotkey=self._hotkey(context),
            examples=self._examples(task, context),
            draw=lambda _: _fresh_generator(),
            device=device,
            gpu_clock=None if device.type == "cpu" else time.perf_counter,
            n_probes=self.n_probes,
            state=_state_folder(context),
        )

    def _hotkey(self, context: Context) -> Hotkey:
        wallet = context.node_config.get("wallet")
        if isinstance(wallet, str) and wallet:
            return load_hotkey(Path(wallet).expanduser())
        if context.run_config.get("simulated-wallets") is True:
            return Wallet.from_seed(seed_bytes("throwaway", str(context.node_id))).hotkey
        raise InstructionError(
            "this node has no wallet",
            remedy="make one with 'subnet wallet new' and pass --node-config 'wallet=\"PATH\"'",
        )

    def _examples(self, task: Task, context: Context) -> Examples:
        own = task.participant_data(dict(context.node_config))
        if own is not None:
            return own
        index, n_shards = context.node_config.get("partition-id"), context.node_config.get("num-partitions")
        if not isinstance(index, int) or not isinstance(n_shards, int) or not 0 <= index < n_shards:
            raise InstructionError(
                f"this node doesn't know its data: partition-id is {index!r} of num-partitions {n_shards!r}",
                remedy="pass --node-config 'partition-id=0 num-partitions=3', or what the task reads",
            )
        shards = _shards(task, n_shards, "iid", 0)
        return _training_data(task).take(shards[index])


def _state_folder(context: Context) -> Path | None:
    """Return where a node may keep something: in `state`, or in its wallet's folder; a throwaway wallet has neither."""
    state, wallet = (context.node_config.get(name) for name in ("state", "wallet"))
    if state or not wallet:
        return Path(str(state)).expanduser() if state else None
    path = Path(str(wallet)).expanduser()
    return path if path.is_dir() else path.parent


def _fresh_generator() -> torch.Generator:
    draw = torch.Generator()
    draw.seed()
    return draw
