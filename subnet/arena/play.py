"""Play one cell: train with attackers in the field, and measure what the rule made of it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clients import partition as partitions
from clients.attacks import ATTACKS
from clients.behaviour import Behaviour, View
from clients.errors import TaskError
from clients.seeds import generator
from clients.task import Examples, Task, load_task
from strategies import Aggregator, StrategyError
from subnet.arena.attacks import NO_ATTACK, aim, behaviour, checked
from subnet.arena.cell import Cell
from subnet.arena.entrants import create_rule
from subnet.arena.judge import Judge, Round
from subnet.arena.together import Trainer
from subnet.scoring.objective import Objective
from subnet.spec import Spec, load_spec

TEST_SHARE = 0.2
"""Part of the training data that neither a client nor the validator ever sees: the last model is measured on it."""


@dataclass(slots=True)
class _Game:
    """What a cell's rounds share."""

    cell: Cell
    task: Task
    trainer: Trainer
    judge: Judge
    rule: Aggregator
    shards: list[Examples]
    test: Examples
    base: Tensor
    last_delta: Tensor | None


def play(cell: Cell) -> dict[str, Any]:
    """Play a cell and return its measurements; the same cell gives the same ones, but for the times.

    Returns:
        `accuracy` and `loss` (None if it isn't finite) on test data, `attack_success` (share of the test inputs for
        which the model gives the answer that the attack wants; None for an attack that wants none), `distance`
        (mean over the rounds of the aggregate's distance to the honest mean, over that mean's norm), `n_rounds_alive`
        (rounds until the model exploded, or all), `n_refused` (rounds in which the rule could not work),
        `aggregation_s` (the rule's own, over all rounds) and `wall_s` (the whole cell's).

    Raises:
        CastError, StrategyError, TaskError: the cell can't be played at all.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)
    game = _open(cell)
    distances: list[float] = []
    n_refused, aggregation_s = 0, 0.0
    for number in range(1, cell.n_rounds + 1):
        known = game.judge.look(game.rule, game.base, game.last_delta, number)
        honest, everything = _updates(game, known, number)
        if not bool(torch.isfinite(honest).all()):
            break  # the model has exploded: honest clients can't train from it any more
        started = time.perf_counter()
        found = _aggregate(game.rule, known, everything)
        aggregation_s += time.perf_counter() - started
        n_refused += found is None
        aggregate = _or_nothing(found, game.base)
        mean = honest.double().mean(0)
        distances.append(float((aggregate.double() - mean).norm() / mean.norm().clamp(min=1e-30)))
        game.base, game.last_delta = game.base + aggregate, aggregate
    loss, accuracy = game.judge.objective.evaluate(game.base, game.test)
    wanted = aim(cell.attack, game.task, game.test)
    return {
        "accuracy": accuracy,
        "loss": loss if isfinite(loss) else None,
        "attack_success": None if wanted is None else game.judge.objective.evaluate(game.base, wanted)[1],
        "distance": min(sum(distances) / max(1, len(distances)), 1e30),
        "n_rounds_alive": len(distances),
        "n_refused": n_refused,
        "aggregation_s": aggregation_s,
        "wall_s": time.perf_counter() - began,
    }


def _open(cell: Cell) -> _Game:
    checked(cell.attack)
    task, spec, trainer = _prepared(cell.app_dir, cell.spec)
    data, test = divided(task.training_data())
    shards = [
        data.take(shard) for shard in partitions.split(data, cell.n_clients, partition=cell.partition, seed=cell.seed)
    ]
    objective = Objective(task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        base = objective.layout.read(task.model())
    n_examples = torch.tensor([len(shard) for shard in shards])
    return _Game(
        cell=cell,
        task=task,
        trainer=trainer,
        judge=Judge(spec=spec, objective=objective, trainer=trainer, seed=cell.seed, n_examples=n_examples),
        rule=create_rule(cell.app_dir, cell.strategy, cell.stated),
        shards=shards,
        test=test,
        base=base,
        last_delta=None,
    )


def divided(data: Examples) -> tuple[Examples, Examples]:
    """Return what clients train on and what models are measured on, the same for all cells of a task."""
    n_test = max(1, int(TEST_SHARE * len(data)))
    order = torch.randperm(len(data), generator=generator("arena-test"))
    return data.take(order[n_test:]), data.take(order[:n_test])


@lru_cache(maxsize=4)
def _prepared(app_dir: Path, _spec_hash: str) -> tuple[Task, Spec, Trainer]:
    """Return what all cells of a subnet share, made once a process."""
    spec = load_spec(app_dir)
    task = load_task(app_dir, spec.subnet.task)
    if task.correct(task.model().eval(), task.validation_data().take(torch.arange(1))) is None:
        raise TaskError(
            f"task {spec.subnet.task!r} has no accuracy, by which the arena ranks",
            remedy="write Task.correct: how many of a batch the model gets right",
        )
    return task, spec, Trainer(task, spec.training.settings())


def _updates(game: _Game, known: Round, number: int) -> tuple[Tensor, Tensor]:
    """Return the honest updates, and all of them with the attackers' last."""
    cell = game.cell
    if cell.attack == NO_ATTACK:
        everything = _trained(game, game.shards, number, first=0)
        return everything, everything
    n_honest = cell.n_clients - cell.n_byzantine
    honest = _trained(game, game.shards[:n_honest], number, first=0)
    if not bool(torch.isfinite(honest).all()):
        return honest, honest
    if cell.attack in ATTACKS:
        sent = ATTACKS[cell.attack]().craft(
            honest,
            n_byzantine=cell.n_byzantine,
            rule=lambda updates: _or_nothing(_aggregate(game.rule, known, updates.float()), game.base),
        )
    else:
        sent = _cheats(game, behaviour(cell.attack, game.task), honest, number)
    return honest, torch.cat([honest, sent])


def _aggregate(rule: Aggregator, known: Round, updates: Tensor) -> Tensor | None:
    """Return what the rule makes of the updates; None where it can't work with them."""
    try:
        return rule.aggregate(updates, evidence=known.evidence(updates)).update
    except StrategyError:
        return None


def _or_nothing(aggregate: Tensor | None, base: Tensor) -> Tensor:
    return torch.zeros_like(base) if aggregate is None else aggregate


def _trained(game: _Game, shards: Iterable[Examples], number: int, *, first: int) -> Tensor:
    """Return the updates `(n, n_params)` of clients that train on `shards`, the first of them being client `first`."""
    chosen = list(shards)
    draws = [generator("arena", game.cell.seed, first + index, number) for index in range(len(chosen))]
    return game.trainer.train(game.base, chosen, draws)


def _cheats(game: _Game, cheat: Behaviour, honest: Tensor, number: int) -> Tensor:
    """Return what clients send that each cheat on their own."""
    first = len(honest)
    own: list[Tensor] = []

    def own_update(row: int) -> Tensor:
        if not own:  # all attackers' at once, and only if one of them asks
            own.extend(_trained(game, map(cheat.data, game.shards[first:]), number, first=first))
        return own[row]

    views = [
        View(
            round=number * game.cell.n_clients + first + row,
            deadline_s=1,
            base=game.base,
            own_update=lambda row=row: own_update(row),  # type: ignore[misc]
            peer_update=lambda: honest[0],
            last_global_delta=lambda: game.last_delta,
        )
        for row in range(game.cell.n_byzantine)
    ]
    return torch.stack([cheat.update(view) for view in views])
