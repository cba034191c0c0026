"""Runs of a whole subnet, on the engine that `subnet simulate` uses, with data divided as a measurement needs it."""

import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from clients.app import Simulation
from clients.behaviour import Behaviour
from clients.cast import behaviour
from clients.task import Examples, Task, load_task
from subnet.arena.rewards.play import Silent
from subnet.engine.simulate import Scenario, open_fixture, quiet, simulate
from subnet.report import RoundReport, read_round
from subnet.rescore import Outcome, rescore
from subnet.run_files import LEDGER_NAME
from subnet.scoring import registry
from subnet.spec import Spec, load_spec
from subnet.store import Store
from tokenomics.ledger import Ledger

__all__ = ["Given", "Run", "play", "rescored", "spec_of", "task_of"]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NEUTRAL = {"small_clients": 0}
"""No client is made small unless a measurement says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shards(Simulation):
    """A simulated field whose clients hold the examples that they are given."""

    shards: tuple[Examples, ...] = field(default=(), hash=False, compare=False)

    def _examples(self, index: int) -> Examples:
        found: Behaviour = behaviour(self.roles[index])
        return found.holding(self.shards[index], place=0, size=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Scenario):
    """A scenario in which each client's role and examples are given one by one.

    Attributes:
        each: a role a client, in any order; `crash` for one that stays away. The cast is what it's called.
        shards: the examples of each, as many.
    """

    each: tuple[str, ...]
    shards: tuple[Examples, ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """One role a client."""
        return self.each

    def participants(self, models: Path) -> Simulation:
        """Return the field of participants, with the examples that were given."""
        usual = Scenario.participants(self, models)
        names = usual.__dataclass_fields__
        return _Shards(**{name: getattr(usual, name) for name in names}, shards=self.shards)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that was played.

    Attributes:
        kinds: kind of client by hotkey, in the order of the cast.
        rounds: what is stored of each.
    """

    kinds: dict[str, str]
    rounds: Sequence[RoundReport]

    def pay(self) -> dict[str, int]:
        """Return what everyone was paid in all, in base units, by hotkey."""
        earned = dict.fromkeys(self.kinds, 0)
        for played in self.rounds:
            for hotkey, amount in played.rewards.items():
                earned[hotkey] += amount
        return earned

    def receipts(self, hotkey: str) -> list[dict[str, Any]]:
        """Return somebody's receipts, one a round in which it took part."""
        return [played.receipts[hotkey] for played in self.rounds if hotkey in played.receipts]


def spec_of(name: str, **sections: dict[str, Any]) -> tuple[Path, Spec]:
    """Return an example's folder and its spec, with some keys changed.

    Args:
        name: the folder's, `optdigits` or `digits`.
        sections: by section, what is set instead.
    """
    folder = EXAMPLES / name
    spec = load_spec(folder)
    sections = {"simulation": NEUTRAL, **sections}
    changed = {key: getattr(spec, key).model_copy(update=values) for key, values in sections.items()}
    return folder, spec.model_copy(update=changed)


def task_of(name: str) -> Task:
    """Return an example's task."""
    folder, spec = spec_of(name)
    return load_task(folder, spec.subnet.task)


def play(scenario: Scenario) -> Run:
    """Play a scenario in a folder of its own and read what was stored."""
    scenario.check()
    with quiet(), tempfile.TemporaryDirectory(prefix="subnet-benchmark-") as folder:
        simulate(scenario, Path(folder) / "run", engine="inprocess", observer=Silent(), n_workers=1)
        return _read(scenario, Path(folder) / "run")


def rescored(scenario: Scenario, *scorers: str) -> tuple[Run, list[Outcome]]:
    """Play a scenario, and score its rounds again under other scorers.

    Returns:
        The run, and every round under those scorers.
    """
    scenario.check()
    with quiet(), tempfile.TemporaryDirectory(prefix="subnet-benchmark-") as parent:
        folder = Path(parent) / "run"
        simulate(scenario, folder, engine="inprocess", observer=Silent(), n_workers=1)
        chosen = [registry.named(name, scenario.spec.scoring) for name in scorers]
        with open_fixture(scenario, folder, threading.Event()) as fixture:
            outcomes = rescore(fixture, chosen)
        return _read(scenario, folder), outcomes


def _read(scenario: Scenario, folder: Path) -> Run:
    with Ledger.open(folder / LEDGER_NAME, read_only=True) as ledger:
        store = Store(folder)
        rounds = [read_round(ledger, store, row) for row in ledger.rounds()]
    return Run(kinds=scenario.kinds(), rounds=rounds)


def with_roles(scenario: Given, each: Sequence[str]) -> Given:
    """Return the same scenario with other roles: data, wallets and local randomness stay each client's own."""
    return replace(scenario, each=tuple(each))
