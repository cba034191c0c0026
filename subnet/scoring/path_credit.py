"""The default scorer: path credit, clipped, with the free-ride gate and the copy rule.

Every update is clipped down to the median norm. Its credit on a held-out batch is what it contributed to the loss
along the straight path from the base model to the new one:

    G_b  = mean over t in {1/6, 1/2, 5/6} of grad L_b(w + t A)
    c_ib = -(1/n) <u_i, G_b>

Here n counts those that copy nobody, and so does the median: what a copy does changes nobody else's credit. The credits
of these add up to the loss improvement of their clipped mean where the path leads there, and cost 3 gradients a batch
whatever the number of clients. They are what is paid, at the equal weight 1/n: a strategy that drops somebody as a
precaution doesn't decide its pay. The first look, which says who is kept out of the aggregate, takes the middle of the
path to the clipped mean alone, 1 gradient a batch.

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

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from strategies import Updates
from strategies.base import sum_of_rows
from subnet.scoring import copies, geometry
from subnet.scoring.base import Appraisal, Credits, Field, Scorer, mean_and_error
from subnet.scoring.history import History
from subnet.spec import ScoringSection

PATH_POINTS = (1 / 6, 1 / 2, 5 / 6)
"""Where the paying credit looks."""

_MIDDLE = (1 / 2,)
"""Where the first look does."""

_AT_ONCE = 8
"""Batches whose gradients are kept at a time, so that the updates are read once for all of them."""

_LOOKS = 10
"""How often gate and copy rule look at the field again at most; two or three are enough in practice."""


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
        shape = geometry.measure(field.updates, field.deltas)
        mean = copies.mean_cosines(field.hotkeys, shape.cosines, history.last(max(0, self.settings.history - 1)))
        gate, gated, copy_of = self._set_apart(field, shape, mean)
        originals = field.without(copy_of)
        shape = replace(shape, clip=geometry.clip_factors(shape.norms, among=originals))
        kept = originals & ~gated
        direction = sum_of_rows(Updates(field.updates), shape.clip * kept / max(1, int(kept.sum())))
        slopes = _slopes(field, shape, direction, points=_MIDDLE)
        credit, standard_error = mean_and_error(-shape.clip * slopes.whole / int(originals.sum()))
        return Appraisal(
            credit=credit,
            standard_error=standard_error,
            clip=shape.clip,
            geometry=shape,
            gate=gate,
            gated=gated,
            copy_of=copy_of,
            descent=-slopes.gradient,
        )

    def credit(
        self, field: Field, appraisal: Appraisal, aggregate: Tensor, *, influence: Tensor | None = None
    ) -> Credits:
        """Take the credit along the path to the new model: of whole updates, of their novel parts, and as weighed."""
        shape = appraisal.geometry
        slopes = _slopes(field, shape, aggregate, points=PATH_POINTS)
        n_originals = int(field.without(appraisal.copy_of).sum())
        credit, standard_error = mean_and_error(-shape.clip * slopes.whole / n_originals)
        novel_credit, novel_error = mean_and_error(-shape.clip * slopes.novel / n_originals)
        return Credits(
            credit=credit,
            standard_error=standard_error,
            novel=novel_credit,
            novel_standard_error=novel_error,
            weighted=None if influence is None else mean_and_error(-influence * slopes.whole)[0],
        )

    def _set_apart(
        self, field: Field, shape: geometry.Geometry, mean: Tensor
    ) -> tuple[float, Tensor, Mapping[str, str]]:
        """Return the gate, who is below it `(n,)`, and who copies whom.

        Both rules compare with the field, and the field is what isn't a copy: otherwise a crowd of copies moves the
        medians. So they look again at the field without the copies that they found, until they find the same.
        """
        same = _copies(field, mean, torch.ones(field.n, dtype=torch.bool), copies.SAME)
        gate, gated, copy_of = self._look(field, shape, mean, same)
        for _ in range(_LOOKS):
            known = copy_of
            gate, gated, copy_of = self._look(field, shape, mean, known)
            if copy_of == known:
                break
        return gate, gated, copy_of

    def _look(
        self, field: Field, shape: geometry.Geometry, mean: Tensor, known: Mapping[str, str]
    ) -> tuple[float, Tensor, Mapping[str, str]]:
        """Return the same, compared with the field without the known copies."""
        rules = self.settings
        originals = field.without(known)
        gate = self._gate(shape, originals)
        gated = shape.novelty < gate
        among = originals & ~gated
        limit = copies.threshold(
            mean[among][:, among],
            ceiling=rules.copy_ceiling,
            floor=rules.copy_floor,
            mads=rules.copy_mads,
            min_mad=rules.copy_min_mad,
        )
        return gate, gated, _copies(field, mean, ~gated, limit)

    def _gate(self, shape: geometry.Geometry, originals: Tensor) -> float:
        moving = shape.novelty[originals & (shape.norms > 0)]
        if not len(moving):
            return self.settings.gate_floor
        return max(self.settings.gate_floor, self.settings.gate_share * float(geometry.midpoint_median(moving)))


def _copies(field: Field, mean: Tensor, candidates: Tensor, limit: float) -> Mapping[str, str]:
    """Return who of the candidates `(n,)` bool copies whom of them."""
    rows = candidates.nonzero().flatten().tolist()
    return copies.find_copies(
        [field.hotkeys[row] for row in rows], [field.arrivals[row] for row in rows], mean[rows][:, rows], limit
    )


def per_client_credit(field: Field, clip: Tensor, aggregate: Tensor) -> Tensor:
    """Return `(n_batches, n)` the paying credits of a field without copies, each along the client's own update.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slopes:
    """Inner products of updates with a path's gradients G_b.

    Attributes:
        whole: `(n_batches, n)` <u_i, G_b>.
        novel: the same of the updates' novel parts.
        gradient: `(n_params,)` mean of G_b over the batches.
    """

    whole: Tensor
    novel: Tensor
    gradient: Tensor


def _slopes(field: Field, shape: geometry.Geometry, aggregate: Tensor, *, points: tuple[float, ...]) -> _Slopes:
    whole, novel, total = [], [], torch.zeros(len(field.base), dtype=torch.float64)
    for start in range(0, len(field.batches), _AT_ONCE):
        gradients = torch.stack(
            [
                field.objective.path_gradient(field.base, aggregate, batch, points=points)
                for batch in field.batches[start : start + _AT_ONCE]
            ]
        )
        along = geometry.dot_products(field.updates, gradients)
        public = shape.shadow @ geometry.dot_products(shape.public, gradients)
        whole.append(along.T)
        novel.append((along - public).T)
        total += gradients.sum(0)
    return _Slopes(whole=torch.cat(whole), novel=torch.cat(novel), gradient=total / len(field.batches))
