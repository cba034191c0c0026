"""Play one cell: train with attackers in the field, and measure what the rule made of it."""

import inspect
import time
from dataclasses import dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor

import strategies
from clients import partition as partitions
from clients.adversaries import Backdoor, informed, mark
from clients.attacks import ATTACKS
from clients.behaviour import Behaviour, View
from clients.cast import KINDS
from clients.errors import CastError
from clients.seeds import generator
from clients.task import Examples, Task, load_task
from clients.training import train
from strategies import Aggregator, Evidence, StrategyError
from strategies.errors import EvidenceError
from subnet.arena.cell import Cell
from subnet.scoring.base import Field
from subnet.scoring.history import History
from subnet.scoring.objective import Objective
from subnet.scoring.path_credit import PathCredit
from subnet.spec import Spec, load_spec

NO_ATTACK = "none"
SINGLE_ATTACKS = ("sign_flip", "scaling", "noise", "zero", "label_flip", "backdoor", "nan")
"""Kinds of cheats that act on what a single client knows, and can take part."""


def attack_names() -> list[str]:
    """Return the names of all attacks, `none` first."""
    return [NO_ATTACK, *SINGLE_ATTACKS, *ATTACKS]


@dataclass(slots=True)
class _Game:
    """What a cell's rounds share."""

    cell: Cell
    spec: Spec
    task: Task
    objective: Objective
    rule: Aggregator
    shards: list[Examples]
    base: Tensor
    last_delta: Tensor | None
    needs_evidence: bool


def play(cell: Cell) -> dict[str, Any]:
    """Play a cell and return its measurements; the same cell gives the same ones, but for the time.

    Returns:
        `accuracy` and `loss` on held-out data, `attack_success` (None but for the backdoor), `distance` (mean over the
        rounds of the aggregate's distance to the honest mean, over that mean's norm), `n_rounds_alive` (rounds until
        the model exploded, or all), `n_refused` (rounds in which the rule could not work), `aggregation_s` and
        `wall_s`.

    Raises:
        CastError, StrategyError, TaskError: the cell can't be played at all.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)
    game = _open(cell)
    distances: list[float] = []
    n_refused, aggregation_s = 0, 0.0
    for number in range(1, cell.n_rounds + 1):
        honest, everything = _updates(game, number)
        if not bool(torch.isfinite(honest).all()):
            break  # the model has exploded: honest clients can't train from it any more
        evidence = _evidence(game, everything, number)
        started = time.perf_counter()
        found = _aggregate(game, everything, evidence)
        aggregation_s += time.perf_counter() - started
        n_refused += found is None
        aggregate = _or_nothing(found, game.base)
        mean = honest.double().mean(0)
        distances.append(float((aggregate.double() - mean).norm() / mean.norm().clamp(min=1e-30)))
        game.base, game.last_delta = game.base + aggregate, aggregate
    loss, accuracy = game.objective.evaluate(game.base, game.task.validation_data())
    return {
        "accuracy": accuracy,
        "loss": loss if isfinite(loss) else None,
        "attack_success": _success(game),
        "distance": min(sum(distances) / max(1, len(distances)), 1e30),
        "n_rounds_alive": len(distances),
        "n_refused": n_refused,
        "aggregation_s": aggregation_s,
        "wall_s": time.perf_counter() - began,
    }


def create_rule(name: str, stated: int) -> Aggregator:
    """Return a rule, told of `stated` attackers where it takes their number.

    Raises:
        StrategyError: no rule has that name.
    """
    try:
        return strategies.create(name, n_byzantine=stated)
    except strategies.StrategyError:
        return strategies.create(name)


def _open(cell: Cell) -> _Game:
    if cell.attack not in attack_names():
        raise CastError(f"attack {cell.attack!r} is unknown", remedy=f"use one of {', '.join(attack_names())}")
    spec = load_spec(cell.app_dir)
    task = load_task(cell.app_dir, spec.subnet.task)
    data = task.training_data()
    shards = partitions.split(data, cell.n_clients, partition=cell.partition, seed=cell.seed)
    objective = Objective(task)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(cell.seed)
        base = objective.layout.read(task.model())
    rule = create_rule(cell.strategy, cell.stated)
    return _Game(
        cell=cell,
        spec=spec,
        task=task,
        objective=objective,
        rule=rule,
        shards=[data.take(shard) for shard in shards],
        base=base,
        last_delta=None,
        needs_evidence=_needs_evidence(rule, cell.n_clients),
    )


def _needs_evidence(rule: Aggregator, n_clients: int) -> bool:
    """Return whether a rule can't do without evidence, by trying it."""
    trial = torch.randn(n_clients, 4, generator=torch.Generator().manual_seed(0))
    try:
        rule.aggregate(trial)
    except EvidenceError:
        return True
    except StrategyError:
        return False
    return False


def _updates(game: _Game, number: int) -> tuple[Tensor, Tensor]:
    """Return the honest updates, and all of them with the attackers' last."""
    cell = game.cell
    n_honest = cell.n_clients - cell.n_byzantine
    honest = torch.stack([_train(game, index, number) for index in range(n_honest)])
    if cell.attack == NO_ATTACK:
        others = torch.stack([_train(game, index, number) for index in range(n_honest, cell.n_clients)])
        everything = torch.cat([honest, others])
        return everything, everything
    if not bool(torch.isfinite(honest).all()):
        return honest, honest
    if cell.attack in ATTACKS:
        evidence = _evidence(game, torch.cat([honest, honest[: cell.n_byzantine]]), number)
        sent = ATTACKS[cell.attack]().craft(
            honest,
            n_byzantine=cell.n_byzantine,
            rule=lambda updates: _or_nothing(_aggregate(game, updates.float(), evidence), game.base),
        )
    else:
        behaviour = informed(KINDS[cell.attack](), game.task.training_data())
        sent = torch.stack([_cheat(game, behaviour, index, number) for index in range(n_honest, cell.n_clients)])
    return honest, torch.cat([honest, sent])


def _aggregate(game: _Game, updates: Tensor, evidence: Evidence) -> Tensor | None:
    """Return what the rule makes of the updates; None where it can't work with them."""
    try:
        return game.rule.aggregate(updates, evidence=evidence).update
    except StrategyError:
        return None


def _or_nothing(aggregate: Tensor | None, base: Tensor) -> Tensor:
    return torch.zeros_like(base) if aggregate is None else aggregate


def _train(game: _Game, index: int, number: int, examples: Examples | None = None) -> Tensor:
    return train(
        game.task,
        game.base,
        game.shards[index] if examples is None else examples,
        game.spec.training.settings(),
        draw=generator("arena", game.cell.seed, index, number),
    )


def _cheat(game: _Game, behaviour: Behaviour, index: int, number: int) -> Tensor:
    examples = behaviour.data(game.shards[index])
    view = View(
        round=number * game.cell.n_clients + index,
        deadline_s=1,
        base=game.base,
        own_update=lambda: _train(game, index, number, examples),
        peer_update=lambda: _train(game, 0, number),
        last_global_delta=lambda: game.last_delta,
    )
    return behaviour.update(view)


def _evidence(game: _Game, updates: Tensor, number: int) -> Evidence:
    """Return what a validator knows of the updates: their credit where the rule asks for it, always who sent them."""
    hotkeys = tuple(f"{index:04d}" for index in range(len(updates)))
    if not game.needs_evidence:
        return Evidence(hotkeys=hotkeys)
    finite = torch.isfinite(updates).all(1)
    validation, rules = game.task.validation_data(), game.spec.validation
    order = torch.randperm(len(validation), generator=generator("arena-draw", game.cell.seed, number))
    drawn = order[: rules.n_batches * rules.batch_size]
    field = Field(
        hotkeys=tuple(hotkey for hotkey, usable in zip(hotkeys, finite.tolist(), strict=True) if usable),
        arrivals=tuple(range(int(finite.sum()))),
        n_examples=(1,) * int(finite.sum()),
        updates=updates[finite],
        base=game.base,
        deltas=torch.zeros(0, len(game.base)),
        batches=tuple(validation.take(indices) for indices in drawn.tensor_split(rules.n_batches)),
        objective=game.objective,
    )
    plain = game.spec.scoring.model_copy(
        update={"gate_floor": 0.0, "gate_share": 0.0, "copy_floor": 1.0, "copy_ceiling": 1.0}
    )
    appraisal = PathCredit(plain).appraise(field, History())
    credit, z = torch.zeros(2, len(updates), dtype=torch.float64)
    credit[finite], z[finite] = appraisal.credit, appraisal.z
    known: dict[str, Any] = {"credit": credit, "z": z, "hotkeys": hotkeys}
    if "root" in inspect.signature(Evidence).parameters:
        known["root"] = train(
            game.task,
            game.base,
            validation.take(drawn),
            game.spec.training.settings(),
            draw=generator("arena-root", game.cell.seed, number),
        )
    return Evidence(**known)


def _success(game: _Game) -> float | None:
    """Return the share of marked held-out inputs of other labels that the model gives the backdoor's label."""
    if game.cell.attack != Backdoor.kind:
        return None
    target = Backdoor().target
    held_out = game.task.validation_data()
    others = held_out.take((held_out.targets != target).nonzero().flatten())
    marked = Examples(inputs=mark(others.inputs), targets=torch.full_like(others.targets, target))
    return game.objective.evaluate(game.base, marked)[1]
