"""A whole subnet on one machine: honest, weak and cheating participants, on this process's Grid or on Flower's.

Everything random comes from the run's seed and replies are ordered by the cast, so the same seed gives the same
ledger, byte for byte, on either engine, and a run that was killed goes on to the end that it would have reached.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from clients.app import Simulation, create_client_app
from clients.cast import kind, parse_cast
from clients.partition import parse as parse_partition
from clients.seeds import seed_bytes
from clients.task import load_task
from subnet.assign import check as check_probes
from subnet.engine.app import Observer, Schedule, create_server_app, play_run
from subnet.engine.collusion import SubnetRule
from subnet.engine.dealt import DealtProbes, tell
from subnet.entropy import SeededEntropy
from subnet.run import agree, locked, prepared
from subnet.run_files import find_ledger, has_ledger
from subnet.scoring import registry, slices
from subnet.spec import FILE_NAME, Spec
from subnet.state import Fixture
from subnet.strategy import create_strategy
from tokenomics.canonical import content_hash
from tokenomics.keys import Wallet
from tokenomics.ledger import Ledger

Engine = Literal["inprocess", "flower"]

GATHER_S = 600.0
"""How long a simulation waits for its own nodes; Ray takes 15 to 20 s to start, on a busy machine two minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a simulation plays.

    Attributes:
        spec: the subnet's rules.
        app_dir: the folder of its `subnet.toml` and task.
        cast: who takes part, as `clients.cast.parse_cast` reads it.
        partition: how the training data is divided.
        seed: fixes the run.
        n_rounds: rounds to be settled in the end.
    """

    spec: Spec
    app_dir: Path
    cast: str
    partition: str
    seed: int
    n_rounds: int

    @property
    def roles(self) -> tuple[str, ...]:
        """One role a client."""
        return parse_cast(self.cast)

    def check(self) -> None:
        """Try out everything that could be wrong with the scenario, before anything is written.

        Raises:
            SpecError, CastError, TaskError, StrategyError: the scenario can't be played.
        """
        create_strategy(self.app_dir, self.spec.strategy.name, self.spec.strategy.settings)
        registry.create(self.spec.scoring)
        task = load_task(self.app_dir, self.spec.subnet.task)
        slices.check(task, task.validation_data(), self.spec.scoring)
        self.participants(Path()).participant(0)
        held_out = load_task(self.app_dir, self.spec.subnet.task).validation_data()
        check_probes(self.spec.scoring, n_held_out=len(held_out), n_participants=len(self.roles))

    def plan(self) -> dict[str, Any]:
        """Return all that fixes the results: what a run that goes on must agree with."""
        small = self.spec.simulation
        return {
            "version": 1,
            "spec": self.spec.hash,
            "subnet": self.spec.subnet.name,
            "cast": self.cast,
            "partition": self.partition,
            "small_clients": small.small_clients,
            "small_share": small.small_share,
            "seed": self.seed,
        }

    def participants(self, models: Path) -> Simulation:
        """Return the simulated field of participants.

        Args:
            models: folder in which the validator publishes models.

        Raises:
            CastError: the cast or the partition can't be set up.
        """
        parse_partition(self.partition)
        spec = self.spec
        return Simulation(
            app_dir=self.app_dir,
            task=spec.subnet.task,
            subnet=spec.hash,
            settings=spec.training.settings(),
            roles=self.roles,
            partition=self.partition,
            n_small=spec.simulation.small_clients,
            small_share=spec.simulation.small_share,
            seed=self.seed,
            models=models,
            rule_of=SubnetRule(app_dir=self.app_dir, spec=spec),
            n_probes=spec.scoring.probes,
            probes_of=DealtProbes(app_dir=self.app_dir, spec=spec, folder=models.parent)
            if spec.scoring.probes
            else None,
        )

    def kinds(self) -> dict[str, str]:
        """Return the kind of client by hotkey, in the order of the cast."""
        field = self.participants(Path())
        return {field.hotkey(index).keypair.public: kind(role) for index, role in enumerate(self.roles)}


def default_folder(scenario: Scenario, parent: Path) -> Path:
    """Return the folder for a run that wasn't given one: an unfinished run of the same plan, or a new one.

    Args:
        scenario: what is played.
        parent: folder of all runs.
    """
    stem = f"{scenario.spec.subnet.name}-{content_hash(scenario.plan())[:8]}"
    number = 1
    while True:
        folder = parent / (stem if number == 1 else f"{stem}-{number}")
        if not has_ledger(folder) or settled_rounds(folder) < scenario.n_rounds:
            return folder
        number += 1


def settled_rounds(folder: Path) -> int:
    """Return how many rounds a run's ledger holds; 0 when there is none yet."""
    if not has_ledger(folder):
        return 0
    with Ledger.open(find_ledger(folder), read_only=True) as ledger:
        return ledger.height


def simulate(
    scenario: Scenario,
    folder: Path,
    *,
    engine: Engine,
    observer: Observer,
    n_workers: int | None = None,
    ledger_url: str | None = None,
) -> None:
    """Play a scenario, or go on with it, until its rounds are settled in the folder's ledger.

    Args:
        scenario: what is played; the caller has had it checked.
        folder: the run's folder; a run of the same scenario in it goes on.
        engine: `inprocess`, or `flower` for Flower's own simulation engine.
        observer: is told what happens.
        n_workers: clients that train at the same time; all processors when None. It doesn't change the results.
        ledger_url: PostgreSQL's, for a ledger that isn't a file in the folder. It doesn't change the results either.

    Raises:
        RunError: the folder can't be used.
    """
    torch.set_num_threads(1)
    stop = threading.Event()
    field = scenario.participants(folder.absolute() / "models")
    workers = n_workers or os.cpu_count() or 1
    with open_fixture(scenario, folder, stop, ledger_url=ledger_url) as fixture:
        schedule = Schedule(n_rounds=scenario.n_rounds, min_participants=len(scenario.roles), wait_s=GATHER_S)
        server = create_server_app(lambda grid, _context: _play(fixture, grid, schedule, observer))
        client = create_client_app(field)
        if engine == "inprocess":
            from subnet.engine.inprocess import InProcessGrid, server_context

            with InProcessGrid(client, n_nodes=len(scenario.roles), n_workers=workers) as grid:
                server(grid, server_context())
        else:
            from subnet.engine.ray import run_on_ray

            run_on_ray(server, client, n_nodes=len(scenario.roles), stop=stop)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep quiet about what cheats do to the protocol in every round: the receipts tell it."""
    log = logging.getLogger("subnet")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _play(fixture: Fixture, grid: Any, schedule: Schedule, observer: Observer) -> None:
    torch.set_num_threads(1)
    play_run(fixture, grid, schedule, observer)


@contextmanager
def open_fixture(
    scenario: Scenario, folder: Path, stop: threading.Event, *, ledger_url: str | None = None
) -> Iterator[Fixture]:
    """Lock a scenario's folder and make or open all that its validator needs there.

    Args:
        scenario: what is played.
        folder: the run's folder.
        stop: set by whoever wants the run to end.
        ledger_url: PostgreSQL's, for a ledger that isn't a file in the folder.
    """
    spec = scenario.spec
    order = {hotkey: place for place, hotkey in enumerate(scenario.kinds())}
    task = load_task(scenario.app_dir, spec.subnet.task)
    seed = scenario.seed
    with locked(folder):
        agree(folder, scenario.plan(), (scenario.app_dir / FILE_NAME).read_text(encoding="utf-8"))
        with prepared(
            spec,
            task,
            folder,
            app_dir=scenario.app_dir,
            hotkey=Wallet.from_seed(seed_bytes("validator", seed)).hotkey,
            entropy=SeededEntropy(seed),
            model_seed=int.from_bytes(seed_bytes("model", seed)[:4], "big"),
            created_at=0,
            ledger_url=ledger_url,
            clock=lambda round_number: round_number * spec.rounds.deadline_s,
            order=order.__getitem__,
            stopped=stop.is_set,
            on_deal=lambda round_number, deal: tell(folder, round_number, deal) if spec.scoring.probes else None,
        ) as fixture:
            yield fixture
