"""What the command line asks of the arena, read and checked before anything is played."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clients import partition as partitions
from clients.task import load_task
from subnet._version import __version__
from subnet.arena.attacks import NO_ATTACK, attack_names, checked
from subnet.arena.cell import VERSION, Cell, Stated
from subnet.arena.entrants import default_names, entrant, task_code
from subnet.arena.play import divided
from subnet.arena.run import plan
from subnet.errors import ArenaError
from subnet.spec import Spec, load_spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """An arena that can be played.

    Attributes:
        folder: the subnet's.
        spec: its rules.
        strategies: rules that take part.
        attacks: what they are played against.
        partitions: how the data are divided.
        n_clients: in all.
        n_byzantine: how many of them attack.
        stated: how many the rules are told of.
        n_rounds: rounds of training.
        n_seeds: how often each pair is played.
    """

    folder: Path
    spec: Spec
    strategies: Sequence[str]
    attacks: Sequence[str]
    partitions: Sequence[str]
    n_clients: int
    n_byzantine: int
    stated: Sequence[Stated]
    n_rounds: int
    n_seeds: int

    def cells(self) -> list[Cell]:
        """Return every cell, after looking up every rule and dividing the data in every way that will be needed.

        Raises:
            CastError, StrategyError, TaskError: something that was asked for doesn't exist or can't be done.
        """
        entrants = [entrant(self.folder, name) for name in self.strategies]
        task = load_task(self.folder, self.spec.subnet.task)
        data, _ = divided(task.training_data())
        for partition in self.partitions:
            for seed in range(self.n_seeds):
                partitions.split(data, self.n_clients, partition=partition, seed=seed)
        return plan(
            subnet=self.folder,
            spec=self.spec.hash,
            task_code=task_code(task),
            entrants=entrants,
            attacks=self.attacks,
            partitions=self.partitions,
            n_clients=self.n_clients,
            n_byzantine=self.n_byzantine,
            stated=self.stated,
            n_rounds=self.n_rounds,
            seeds=range(self.n_seeds),
        )

    def facts(self) -> dict[str, Any]:
        """Return what was played, for whoever reads the results."""
        return {
            "subnet": self.spec.subnet.name,
            "task": self.spec.subnet.task,
            "n_clients": self.n_clients,
            "n_byzantine": self.n_byzantine,
            "stated_byzantine": list(self.stated),
            "n_rounds": self.n_rounds,
            "n_seeds": self.n_seeds,
            "n_strategies": len(self.strategies),
            "n_attacks": len([name for name in self.attacks if name != NO_ATTACK]),
            "spec": self.spec.hash,
            "version": __version__,
            "arena_version": VERSION,
        }


def read(
    folder: Path,
    *,
    strategies: str | None,
    attacks: str | None,
    partitions: str,
    stated: str | None,
    n_clients: int,
    n_byzantine: int,
    n_rounds: int,
    n_seeds: int,
) -> Choices:
    """Read the command line's lists.

    Args:
        folder: the subnet's.
        strategies: names with commas; None for all.
        attacks: names with commas; None for all.
        partitions: data divisions with commas.
        stated: numbers of attackers or `auto`, with commas; None for the truth.
        n_clients: in all.
        n_byzantine: how many of them attack.
        n_rounds: rounds of training.
        n_seeds: how often each pair is played.

    Raises:
        ArenaError: an empty or repeated entry, a number that isn't one or too large.
        CastError: an unknown attack or data division.
        SpecError: the folder holds no subnet.
    """
    if n_byzantine >= n_clients:
        raise ArenaError(
            f"--byzantine {n_byzantine} of --clients {n_clients} leaves no honest client",
            remedy=f"let at most {n_clients - 1} attack",
        )
    names = listed("--attacks", attacks) if attacks is not None else attack_names()
    return Choices(
        folder=folder.resolve(),
        spec=load_spec(folder),
        strategies=listed("--strategies", strategies) if strategies is not None else default_names(),
        attacks=[checked(name) for name in names],
        partitions=[_division(entry) for entry in listed("--partitions", partitions)],
        n_clients=n_clients,
        n_byzantine=n_byzantine,
        stated=stated_counts(stated, n_clients=n_clients) if stated is not None else [n_byzantine],
        n_rounds=n_rounds,
        n_seeds=n_seeds,
    )


def listed(option: str, text: str) -> list[str]:
    """Return the entries of a list with commas.

    Raises:
        ArenaError: an entry is empty or there twice.

    >>> listed("--attacks", "none, nan")
    ['none', 'nan']
    """
    entries = [entry.strip() for entry in text.split(",")]
    if not all(entries):
        raise ArenaError(
            f"{option} {text!r} has an empty entry", remedy="put one comma between names, and none at the ends"
        )
    twice = [entry for entry in entries if entries.count(entry) > 1]
    if twice:
        raise ArenaError(f"{option} {text!r} names {twice[0]!r} twice", remedy="name it once")
    return entries


def stated_counts(text: str, *, n_clients: int) -> list[Stated]:
    """Return the numbers of attackers that rules are told of.

    Raises:
        ArenaError: an entry is neither a number below that of the clients nor `auto`.

    >>> stated_counts("2,4,auto", n_clients=20)
    [2, 4, 'auto']
    """
    return [_count(entry, n_clients) for entry in listed("--stated", text)]


def _count(entry: str, n_clients: int) -> Stated:
    if entry == "auto":
        return "auto"
    if not (entry.isascii() and entry.isdigit() and len(entry) < 10 and int(entry) < n_clients):
        raise ArenaError(
            f"--stated {entry!r} isn't a number of attackers among {n_clients} clients",
            remedy=f"give whole numbers from 0 to {n_clients - 1}, or 'auto' for the rules' own estimate",
        )
    return int(entry)


def _division(entry: str) -> str:
    partitions.parse(entry)
    return entry
