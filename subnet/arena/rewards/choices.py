"""What the command line asks of the rewards arena, read and checked before anything is played."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from clients.cast import KINDS, behaviour
from clients.partition import parse as parse_partition
from clients.task import load_task
from subnet._version import __version__
from subnet.arena.choices import listed
from subnet.arena.entrants import task_code
from subnet.arena.rewards.cell import NO_CHEAT, VERSION, RewardCell
from subnet.errors import ArenaError
from subnet.scoring import registry
from subnet.spec import Spec, load_spec

AWAY = ("late", "crash")
"""Kinds that send nothing in time: left out unless they are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardChoices:
    """A rewards arena that can be played.

    Attributes:
        folder: the subnet's.
        spec: its rules.
        cheats: roles that are played against the honest, one at a time.
        scorers: by which they are paid.
        partitions: how the data are divided.
        n_clients: in all.
        n_cheating: how many of them cheat.
        n_rounds: rounds that are played.
        seeds: of the runs.
    """

    folder: Path
    spec: Spec
    cheats: Sequence[str]
    scorers: Sequence[str]
    partitions: Sequence[str]
    n_clients: int
    n_cheating: int
    n_rounds: int
    seeds: Sequence[int]

    def cells(self) -> list[RewardCell]:
        """Return every cell, the field of the honest alone first; seeds outermost, so that all pairs come early."""
        code = task_code(load_task(self.folder, self.spec.subnet.task))
        return [
            RewardCell(
                subnet=str(self.folder),
                spec=self.spec.hash,
                code=code,
                scorer=scorer,
                cheat=cheat,
                partition=partition,
                n_clients=self.n_clients,
                n_cheats=self.n_cheating,
                n_rounds=self.n_rounds,
                seed=seed,
            )
            for seed, partition, scorer, cheat in product(
                self.seeds, self.partitions, self.scorers, [NO_CHEAT, *self.cheats]
            )
        ]

    def facts(self) -> dict[str, Any]:
        """Return what was played, for whoever reads the results."""
        return {
            "subnet": self.spec.subnet.name,
            "task": self.spec.subnet.task,
            "n_clients": self.n_clients,
            "n_cheating": self.n_cheating,
            "n_rounds": self.n_rounds,
            "n_seeds": len(self.seeds),
            "n_cheats": len(self.cheats),
            "n_scorers": len(self.scorers),
            "spec": self.spec.hash,
            "version": __version__,
            "arena_version": VERSION,
        }


def read(
    folder: Path,
    *,
    cheats: str | None,
    scorers: str | None,
    partitions: str,
    n_clients: int,
    n_cheating: int,
    n_rounds: int,
    seeds: Sequence[int],
) -> RewardChoices:
    """Read the command line's lists.

    Args:
        folder: the subnet's.
        cheats: roles with commas; None for all kinds but `AWAY`.
        scorers: names with commas; None for all.
        partitions: data divisions with commas.
        n_clients: in all.
        n_cheating: how many of them cheat.
        n_rounds: rounds that are played.
        seeds: of the runs.

    Raises:
        ArenaError: an empty or repeated entry, or nobody is honest.
        CastError: an unknown kind of cheat or data division.
        SpecError: the folder holds no subnet, or a scorer is unknown.
    """
    if n_cheating >= n_clients:
        raise ArenaError(
            f"--cheating {n_cheating} of --clients {n_clients} leaves no honest one",
            remedy=f"let at most {n_clients - 1} cheat",
        )
    spec = load_spec(folder)
    roles = listed("--cheats", cheats) if cheats is not None else [one for one in KINDS if one not in {"honest", *AWAY}]
    names = listed("--scorers", scorers) if scorers is not None else list(registry.SCORERS)
    divisions = listed("--partitions", partitions)
    for role in roles:
        if role == "honest":
            raise ArenaError("--cheats names 'honest'", remedy="the others are honest anyway: name cheats only")
        behaviour(role)
    for name in names:
        registry.create(spec.scoring.model_copy(update={"scorer": name}))
    for division in divisions:
        parse_partition(division)
    return RewardChoices(
        folder=folder.resolve(),
        spec=spec,
        cheats=roles,
        scorers=names,
        partitions=divisions,
        n_clients=n_clients,
        n_cheating=n_cheating,
        n_rounds=n_rounds,
        seeds=seeds,
    )
