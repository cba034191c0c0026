"""The default scorer: path credit, clipped, with the free-ride gate and the copy rule.

Every update is clipped down to the median norm. Its credit on a held-out batch is what it contributed to the loss
along the straight path from the base model to the new one:

    G_b  = mean over t in {1/6, 1/2, 5/6} of grad L_b(w + t A)
    c_ib = -(1/n) <u_i, G_b>

The credits of all updates add up to the loss improvement of their mean, and cost 3 gradients a batch whatever the
number of clients.

Source: Aumann and Shapley 1974, "Values of Non-Atomic Games", chapter III (the diagonal formula; axioms for it in
arXiv:1102.0989), with the composite midpoint rule; clipping, gate and copy rule: DESIGN section 5, EVIDENCE "Scoring".
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring import copies, geometry
from subnet.scoring.base import Appraisal, Credits, Field, Scorer, mean_and_error
from subnet.scoring.history import History
from subnet.spec import ScoringSection

PATH_POINTS = (1 / 6, 1 / 2, 5 / 6)


class PathCredit(Scorer):
    """Pay for the loss improvement along the path that the aggregate took.

    Args:
        settings: thresholds of gate and copy rule.
    """

    name: ClassVar[str] = "path_credit"
    summary: ClassVar[str] = "loss improvement along the aggregate's path, clipped; gates free riders and copies"

    def __init__(self, settings: ScoringSection) -> None:
        self.settings = settings

    def appraise(self, field: Field, history: History) -> Appraisal:
        """Clip, gate, find copies, and take a first credit along the clipped mean of the ungated."""
        rules = self.settings
        shape = geometry.measure(field.updates, field.deltas)
        gate = self._gate(shape)
        gated = shape.novelty < gate
        mean = copies.mean_cosines(field.hotkeys, shape.cosines, history.last(max(0, rules.history - 1)))
        limit = copies.threshold(
            mean[~gated][:, ~gated],
            ceiling=rules.copy_ceiling,
            floor=rules.copy_floor,
            mads=rules.copy_mads,
            min_mad=rules.copy_min_mad,
        )
        candidates = [index for index in range(field.n) if not gated[index]]
        copy_of = copies.find_copies(
            [field.hotkeys[index] for index in candidates],
            [field.arrivals[index] for index in candidates],
            mean[candidates][:, candidates],
            limit,
        )
        kept = torch.tensor([field.hotkeys[index] not in copy_of for index in range(field.n)]) & ~gated
        direction = _weighted_sum(field.updates, shape.clip * kept / max(1, int(kept.sum())))
        credit, standard_error = mean_and_error(self._per_batch(field, shape, direction)[0])
        return Appraisal(
            credit=credit,
            standard_error=standard_error,
            clip=shape.clip,
            geometry=shape,
            gate=gate,
            gated=gated,
            copy_of=copy_of,
        )

    def credit(self, field: Field, appraisal: Appraisal, aggregate: Tensor) -> Credits:
        """Take the credit along the path to the new model, of whole updates and of their novel parts."""
        whole, novel = self._per_batch(field, appraisal.geometry, aggregate)
        credit, standard_error = mean_and_error(whole)
        novel_credit, novel_error = mean_and_error(novel)
        return Credits(
            credit=credit, standard_error=standard_error, novel=novel_credit, novel_standard_error=novel_error
        )

    def _gate(self, shape: geometry.Geometry) -> float:
        moving = shape.novelty[shape.norms > 0]
        if not len(moving):
            return self.settings.gate_floor
        return max(self.settings.gate_floor, self.settings.gate_share * float(geometry.midpoint_median(moving)))

    @staticmethod
    def _per_batch(field: Field, shape: geometry.Geometry, aggregate: Tensor) -> tuple[Tensor, Tensor]:
        """Return credits of whole updates and of their novel parts, each `(n_batches, n)`."""
        whole, novel = [], []
        for batch in field.batches:
            gradient = field.objective.path_gradient(field.base, aggregate, batch, points=PATH_POINTS)
            along = geometry.dot_rows(field.updates, gradient)
            public = shape.shadow @ (shape.public @ gradient)
            whole.append(-shape.clip * along / field.n)
            novel.append(-shape.clip * (along - public) / field.n)
        return torch.stack(whole), torch.stack(novel)


def _weighted_sum(updates: Tensor, weights: Tensor) -> Tensor:
    """Return `(n_params,)` float32: the rows of `updates` summed with `weights` `(n,)` float64."""
    total = torch.zeros(updates.shape[1], dtype=torch.float64)
    for row, weight in zip(updates, weights.tolist(), strict=True):
        if weight:
            total += weight * row.double()
    return total.float()
