"""The default scorer: path credit, clipped, with the free-ride gate and the copy rule.

Every update is clipped down to the median norm. Its credit on a held-out batch is what it contributed to the loss
along the straight path from the base model to the new one:

    G_b  = mean over t in {1/6, 1/2, 5/6} of grad L_b(w + t A)
    c_ib = -(1/n) <u_i, G_b>

The credits of all updates add up to the loss improvement of their clipped mean where the path leads there, and cost 3
gradients a batch whatever the number of clients. They are what is paid, at the equal weight 1/n: a strategy that drops
somebody as a precaution doesn't decide its pay.

Beside them, for study and for the receipt, stands the credit of what the strategy took of each update:

    c_ib = -<influence_i x u_i, G_b>

Under a rule that weighs or selects whole rows the aggregate *is* the sum of influence_i x u_i, so these add up to the
improvement that really came about, L_b(w) - L_b(w + A), up to the three-point quadrature (half a percent of it for a
step of a mean's length in the tests; 14 % for the one raw row that Krum takes, a longer step). Under a coordinate-wise
rule (median, trimmed mean) a row has a share of its own in every coordinate and its influence is their mean over the
coordinates, so the sum is an approximation: what is left over, the credit of A less the sum of influence_i x u_i, goes
to nobody. It is what the rule made by picking different rows in different coordinates.

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
        direction = geometry.weighted_sum(field.updates, shape.clip * kept / max(1, int(kept.sum())))
        whole, _ = _slopes(field, shape, direction)
        credit, standard_error = mean_and_error(-shape.clip * whole / field.n)
        return Appraisal(
            credit=credit,
            standard_error=standard_error,
            clip=shape.clip,
            geometry=shape,
            gate=gate,
            gated=gated,
            copy_of=copy_of,
        )

    def credit(
        self, field: Field, appraisal: Appraisal, aggregate: Tensor, *, influence: Tensor | None = None
    ) -> Credits:
        """Take the credit along the path to the new model: of whole updates, of their novel parts, and as weighed."""
        shape = appraisal.geometry
        whole, novel = _slopes(field, shape, aggregate)
        credit, standard_error = mean_and_error(-shape.clip * whole / field.n)
        novel_credit, novel_error = mean_and_error(-shape.clip * novel / field.n)
        return Credits(
            credit=credit,
            standard_error=standard_error,
            novel=novel_credit,
            novel_standard_error=novel_error,
            weighted=None if influence is None else mean_and_error(-influence * whole)[0],
        )

    def _gate(self, shape: geometry.Geometry) -> float:
        moving = shape.novelty[shape.norms > 0]
        if not len(moving):
            return self.settings.gate_floor
        return max(self.settings.gate_floor, self.settings.gate_share * float(geometry.midpoint_median(moving)))


def per_client_credit(field: Field, clip: Tensor, aggregate: Tensor) -> Tensor:
    """Return `(n_batches, n)` the paying credits, each by directional derivatives along the client's own update.

    The same integral without a gradient: the slope of the loss along u_i at the three points of the path, in forward
    mode. For models whose gradient can't be had, such as those whose activations don't fit the memory; it costs n times
    as much, 3 n slopes a batch.

    Args:
        field: the round's updates.
        clip: `(n,)` factors that bring them down to the median norm.
        aggregate: `(n_params,)` where the path leads.
    """
    credits = torch.zeros(len(field.batches), field.n, dtype=torch.float64)
    for t in PATH_POINTS:
        point = field.base + t * aggregate
        for row, batch in enumerate(field.batches):
            slopes = [field.objective.slope(point, update, batch) for update in field.updates]
            credits[row] -= clip * torch.tensor(slopes, dtype=torch.float64) / (field.n * len(PATH_POINTS))
    return credits


def _slopes(field: Field, shape: geometry.Geometry, aggregate: Tensor) -> tuple[Tensor, Tensor]:
    """Return <u_i, G_b> of whole updates and of their novel parts, each `(n_batches, n)`."""
    whole, novel = [], []
    for batch in field.batches:
        gradient = field.objective.path_gradient(field.base, aggregate, batch, points=PATH_POINTS)
        along = geometry.dot_rows(field.updates, gradient)
        public = shape.shadow @ (shape.public @ gradient)
        whole.append(along)
        novel.append(along - public)
    return torch.stack(whole), torch.stack(novel)
