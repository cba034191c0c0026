"""The validator's rule as colluding participants know it: all that is public, and their own data for what is secret.

Strategy, scorer and their settings are in the spec, the past deltas are public, and the simulation grants them the
honest updates. What they can't know is the round's held-out batches and the validator's memory of earlier rounds: they
judge with as many samples of their own data, and with no memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clients.attacks import Rule
from clients.seeds import generator
from clients.task import Examples, load_task
from clients.training import train
from strategies import Aggregator, Evidence, StrategyError
from subnet.scoring import registry, slices
from subnet.scoring.base import Field
from subnet.scoring.history import History
from subnet.scoring.objective import Objective
from subnet.spec import Spec
from subnet.strategy import ROOT_SAMPLES, create_strategy


@dataclass(frozen=True, slots=True, kw_only=True)
class SubnetRule:
    """A subnet's scoring gates and aggregation, to search an attack against; a `clients.leaks.RuleOf`.

    Attributes:
        app_dir: the subnet's folder.
        spec: its rules.
    """

    app_dir: Path
    spec: Spec

    @property
    def copy_floor(self) -> float:
        """The cosine up to which the spec takes nobody for a copy."""
        return self.spec.scoring.copy_floor

    def __call__(self, *, round_number: int, base: Tensor, deltas: Sequence[Tensor], own: Examples) -> Rule:
        """Return the rule: updates `(n, n_params)` to the aggregate `(n_params,)`; zeros where it can't work."""
        spec = self.spec
        strategy = create_strategy(self.app_dir, spec.strategy.name, spec.strategy.settings)
        scorer = registry.create(spec.scoring)
        objective = Objective(load_task(self.app_dir, spec.subnet.task))
        order = torch.randperm(len(own), generator=generator("collusion", round_number))
        drawn = order[: spec.validation.n_batches * spec.validation.batch_size]
        batches = tuple(own.take(part) for part in drawn.tensor_split(min(spec.validation.n_batches, len(drawn))))
        root = self._root(strategy, objective, base, own.take(order[:ROOT_SAMPLES]), round_number)

        def rule(updates: Tensor) -> Tensor:
            n = len(updates)
            field = Field(
                hotkeys=tuple(f"{row:05d}" for row in range(n)),
                arrivals=tuple(range(n)),
                n_examples=(len(own),) * n,
                updates=updates.float(),
                base=base,
                deltas=torch.stack(list(deltas)) if deltas else torch.zeros(0, len(base)),
                batches=batches,
                objective=objective,
            )
            appraisal = slices.look(field, scorer.appraise(field, History()), History(), spec.scoring)
            evidence = Evidence(
                credit=appraisal.credit,
                z=appraisal.z,
                hotkeys=field.hotkeys,
                gated=appraisal.excluded(field),
                n_examples=torch.tensor(field.n_examples),
                root=root,
                previous=deltas[0] if deltas else None,
            )
            try:
                return strategy.aggregate(field.updates, evidence=evidence).update
            except StrategyError:  # everyone is gated, say: the base model stays
                return torch.zeros_like(base)

        return rule

    def _root(
        self, strategy: Aggregator, objective: Objective, base: Tensor, own: Examples, round_number: int
    ) -> Tensor | None:
        """Return an update in place of the validator's trusted one; None where the rule asks for none."""
        if "root" not in strategy.evidence:
            return None
        settings = self.spec.training.settings()
        found = train(objective.task, base, own, settings, draw=generator("collusion-root", round_number))
        return found if bool(found.isfinite().all()) else None
