"""The subnet's aggregation rule: where it is found, what it is told of the updates, and what it makes of them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

import strategies
from clients.seeds import generator
from clients.task import Examples, import_from
from clients.training import train
from strategies import Aggregator, Evidence, StrategyError
from subnet import draw
from subnet.judge import Aggregated, Scored
from subnet.scoring.base import Appraisal, Field
from subnet.spec import ValidationSection
from subnet.state import Fixture, State

ROOT_SAMPLES = 256
"""The most held-out samples that a trusted update is trained on; FLTrust's own experiments have 100."""


def create_strategy(app_dir: Path, name: str, settings: Mapping[str, object] | None = None) -> Aggregator:
    """Make a subnet's rule; import paths are searched in the subnet's folder first.

    Args:
        app_dir: the folder of the subnet's `subnet.toml`.
        name: as `strategies.create` takes it: a name, `nnm+median`, `my_rule:MyRule`.
        settings: by name.

    Raises:
        StrategyError: no such rule, or settings that it doesn't take.
    """
    with import_from(app_dir):
        return strategies.create(name, **(settings or {}))


def aggregate(fixture: Fixture, state: State, scored: Scored) -> Aggregated:
    """Combine those who aren't excluded, and credit everyone along the way to the new model."""
    field, appraisal = scored.field, scored.appraisal
    if appraisal is None or bool(appraisal.excluded(field).all()):
        return _nothing(state, field, why="no contribution could be used")
    try:
        evidence = gather_evidence(fixture, state, scored.seed, field, appraisal)
        combined = fixture.strategy.aggregate(field.updates, evidence=evidence)
    except StrategyError as error:  # too few updates for the rule, say: the round is lost, not the validator
        return _nothing(state, field, why=f"{fixture.strategy.name}: {error.message}")
    return Aggregated(
        model=state.base + combined.update,
        update=combined.update,
        influence=combined.influence,
        dropped={field.hotkeys[row]: why for row, why in combined.rejected.items()},
        credits=fixture.scorer.credit(field, appraisal, combined.update, influence=combined.influence),
        why="",
    )


def _nothing(state: State, field: Field, *, why: str) -> Aggregated:
    none = torch.zeros(field.n, dtype=torch.float64)
    return Aggregated(
        model=state.base, update=torch.zeros_like(state.base), influence=none, dropped={}, credits=None, why=why
    )


def drawn_batches(pool: Examples, *, seed: str, rules: ValidationSection) -> tuple[Examples, ...]:
    """Return the batches that a round is scored on.

    Args:
        pool: all held-out samples.
        seed: the round's.
        rules: how many batches there are, and of what size.
    """
    n_samples = min(rules.n_batches * rules.batch_size, len(pool))
    drawn = draw.sample(seed=seed, pool_size=len(pool), n_samples=n_samples)
    return tuple(pool.take(indices) for indices in torch.tensor(drawn).tensor_split(rules.n_batches))


def gather_evidence(fixture: Fixture, state: State, seed: str, field: Field, appraisal: Appraisal) -> Evidence:
    """Return what a round knows of its updates beside their numbers; a trusted update only where the rule asks for one.

    Args:
        fixture: the rule, the task and the held-out pool.
        state: what the last round left.
        seed: the round's.
        field: the updates, and the batches that were drawn.
        appraisal: the first look at them.

    Raises:
        EvidenceError: the trusted update isn't finite.
    """
    deltas = state.deltas
    root = None
    if "root" in fixture.strategy.evidence:
        n_drawn = sum(len(batch) for batch in field.batches)
        held_out = root_examples(fixture.validation, seed=seed, n_drawn=n_drawn)
        root = _train_root(fixture, state.base, held_out, seed)
    return Evidence(
        credit=appraisal.credit,
        z=appraisal.z,
        hotkeys=field.hotkeys,
        gated=appraisal.excluded(field),
        n_examples=torch.tensor(field.n_examples),
        root=root,
        previous=deltas[0] if len(deltas) else None,
    )


def root_examples(pool: Examples, *, seed: str, n_drawn: int) -> Examples:
    """Return the held-out samples that come next in a round's draw, after those that it is scored on.

    They are as unforeseeable as those, and anyone recomputes them. Where the round is scored on the whole pool there
    are no others, and the first of the same samples are taken.

    Args:
        pool: all held-out samples.
        seed: the round's.
        n_drawn: how many the round is scored on.

    Returns:
        At most `ROOT_SAMPLES` samples.
    """
    ranked = draw.sample(seed=seed, pool_size=len(pool), n_samples=n_drawn + ROOT_SAMPLES)
    return pool.take(torch.tensor(ranked[n_drawn:] or ranked[:ROOT_SAMPLES]))


def _train_root(fixture: Fixture, base: Tensor, examples: Examples, seed: str) -> Tensor:
    """Return the validator's own update `(n_params,)`, trained as participants train.

    Source: Cao et al., FLTrust (NDSS 2021), where the server trains on a small clean set of its own.
    """
    objective = fixture.objective
    return train(
        objective.task,
        base,
        examples,
        fixture.spec.training.settings(),
        draw=generator("root", seed),
        device=objective.device,
    )
