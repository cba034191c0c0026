"""What a validator knows in a round beside the updates, for the rules that ask for it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clients.seeds import generator
from clients.task import Examples
from strategies import Aggregator, Evidence
from strategies.aggregation import EvidenceKind
from subnet.arena.together import Trainer
from subnet.scoring.base import Field
from subnet.scoring.history import History
from subnet.scoring.objective import Objective
from subnet.scoring.path_credit import PathCredit
from subnet.spec import Spec
from subnet.strategy import ROOT_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """A round's validator.

    Attributes:
        spec: the subnet's rules: how much held-out data is drawn, and how credit is taken.
        objective: loss and gradient of the task.
        trainer: trains the validator's own update.
        seed: the cell's.
        n_examples: `(n_clients,)` how many examples each client says it has, which is the truth.
    """

    spec: Spec
    objective: Objective
    trainer: Trainer
    seed: int
    n_examples: Tensor

    def look(self, rule: Aggregator, base: Tensor, previous: Tensor | None, number: int) -> "Round":
        """Return what is known in a round whatever is sent: held-out batches, and an update of the validator's own."""
        held_out, rules = self.objective.task.validation_data(), self.spec.validation
        order = torch.randperm(len(held_out), generator=generator("arena-draw", self.seed, number))
        drawn = order[: rules.n_batches * rules.batch_size]
        root = None
        if "root" in rule.evidence:  # on the samples that a subnet's round would take (see `subnet.strategy`)
            after = order[len(drawn) : len(drawn) + ROOT_SAMPLES]
            own = held_out.take(after if len(after) else order[:ROOT_SAMPLES])
            [root] = self.trainer.train(base, [own], [generator("arena-root", self.seed, number)])
        return Round(
            judge=self,
            kinds=rule.evidence,
            base=base,
            batches=[held_out.take(indices) for indices in drawn.tensor_split(rules.n_batches)],
            root=root,
            previous=previous,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round as its validator sees it.

    Attributes:
        judge: the validator.
        kinds: the kinds of evidence that the rule reads.
        base: `(n_params,)` the base model.
        batches: the round's held-out batches.
        root: `(n_params,)` what the validator trained on them; None if the rule doesn't ask.
        previous: `(n_params,)` the last round's aggregate; None in the first.
    """

    judge: Judge
    kinds: frozenset[EvidenceKind]
    base: Tensor
    batches: Sequence[Examples]
    root: Tensor | None
    previous: Tensor | None

    def evidence(self, updates: Tensor) -> Evidence:
        """Return what is known of updates `(n_clients, n_params)` float32: who sent them, and what the rule reads."""
        hotkeys = tuple(f"{index:04d}" for index in range(len(updates)))
        credit, z = self._credit(updates, hotkeys) if self.kinds & {"credit", "z"} else (None, None)
        return Evidence(
            hotkeys=hotkeys,
            credit=credit,
            z=z,
            n_examples=self.judge.n_examples if "n_examples" in self.kinds else None,
            root=self.root if self.root is not None and bool(self.root.isfinite().all()) else None,
            previous=self.previous if "previous" in self.kinds else None,
        )

    def _credit(self, updates: Tensor, hotkeys: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        """Return credit and its z score, each `(n_clients,)` float64 and 0 for updates that aren't finite.

        Gates and the copy rule are off: it is the rules that are compared here, not what a subnet has in front of them.
        """
        finite = updates.isfinite().all(1)
        usable = finite.nonzero().flatten().tolist()
        plain = self.judge.spec.scoring.model_copy(
            update={"gate_floor": 0.0, "gate_share": 0.0, "copy_floor": 1.0, "copy_ceiling": 1.0}
        )
        field = Field(
            hotkeys=tuple(hotkeys[index] for index in usable),
            arrivals=tuple(range(len(usable))),
            n_examples=(1,) * len(usable),
            updates=updates[finite],
            base=self.base,
            deltas=torch.zeros(0, len(self.base)),
            batches=tuple(self.batches),
            objective=self.judge.objective,
        )
        appraisal = PathCredit(plain).appraise(field, History())
        credit, z = torch.zeros(2, len(updates), dtype=torch.float64)
        credit[finite], z[finite] = appraisal.credit, appraisal.z
        return credit, z
