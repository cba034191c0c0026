"""The obvious scorer: how much better does the base model get with this update alone?

It has no gate and no copy rule, and pays cheats a fifth of the pool (EVIDENCE, "Scoring", first row). It is here to be
compared with.

Source: leave-one-in, the first term of the Shapley sum; Zeno (Xie et al. 2019, arXiv:1805.10032, definition 2) without
its norm penalty.
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring import geometry
from subnet.scoring.base import Appraisal, Credits, Field, Scorer, mean_and_error
from subnet.scoring.history import History
from subnet.spec import ScoringSection


class Individual(Scorer):
    """Pay for `L(w) - L(w + u_i)`, unclipped.

    Args:
        settings: not used; every scorer is made the same way.
    """

    name: ClassVar[str] = "individual"
    summary: ClassVar[str] = "loss improvement of each update alone; no gate, no copy rule: for comparison"

    def __init__(self, settings: ScoringSection) -> None:
        del settings

    def appraise(self, field: Field, history: History) -> Appraisal:
        """Credit every update alone; gate nobody."""
        del history
        shape = geometry.measure(field.updates, field.deltas)
        credit, standard_error = mean_and_error(self._per_batch(field))
        return Appraisal(
            credit=credit,
            standard_error=standard_error,
            clip=torch.ones(field.n, dtype=torch.float64),
            geometry=shape,
            gate=0.0,
            gated=torch.zeros(field.n, dtype=torch.bool),
            copy_of={},
        )

    def credit(self, field: Field, appraisal: Appraisal, aggregate: Tensor) -> Credits:
        """Return the same credit again: it doesn't depend on the aggregate. All of it counts as novel."""
        del field, aggregate
        return Credits(
            credit=appraisal.credit,
            standard_error=appraisal.standard_error,
            novel=appraisal.credit,
            novel_standard_error=appraisal.standard_error,
        )

    @staticmethod
    def _per_batch(field: Field) -> Tensor:
        """Return `(n_batches, n)`."""
        rows = []
        for batch in field.batches:
            before = field.objective.loss(field.base, batch)
            after = [field.objective.loss(field.base + update, batch) for update in field.updates]
            rows.append(before - torch.tensor(after, dtype=torch.float64))
        return torch.stack(rows)
