"""The geometric median and the medoid: centres to which the distances, not their squares, add up to least."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from strategies.aggregation import EvidenceKind, claimed_shares
from strategies.base import Call, Gram, GramRule, Weights
from strategies.points import PointRule, columnwise_median, origin
from strategies.registry import register
from strategies.settings import RuleSettings
from strategies.updates import Updates

# the centre has stopped when it moves by less than this part of its median distance to the rows
_STILL = 1e-12


def distances_to(matrix: Tensor, weights: Tensor) -> Tensor:
    """Distances of points from a centre that is their weighted sum.

    Args:
        matrix: (n, n) float64 inner products of the points about any common centre.
        weights: (n,) float64, adding up to 1.

    Returns:
        (n,) float64, 0 or more.

    >>> distances_to(torch.tensor([[0.0, 0.0], [0.0, 16.0]]), torch.tensor([0.75, 0.25]))
    tensor([1., 3.])
    """
    products = matrix @ weights
    squares: Tensor = matrix.diagonal() - 2 * products + weights @ products
    return squares.clamp_min_(0.0).sqrt_()


@register
class GeometricMedian(PointRule):
    """The point with the least sum of distances to the updates, by the smoothed Weiszfeld algorithm.

    Withstands f < n/2: far outliers pull with constant strength, not in proportion to their distance. Its error grows
    with how far the honest are from each other, so it assumes clients with like data. All iterations work on n x n
    numbers, so by default they go on until the centre stands still. It starts from the mean: an outlier of size s takes
    log(s) iterations to get away from, so don't lower `iterations` to a few with that start.

    Source: Pillutla, Kakade and Harchaoui, Robust Aggregation for Federated Learning (IEEE TSP 2022), RFA's smoothed
    Weiszfeld algorithm.

    >>> GeometricMedian().aggregate(torch.tensor([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0], [1.0, 1.0]])).update
    tensor([1., 1.])
    """

    name: ClassVar[str] = "geometric_median"
    summary: ClassVar[str] = "the point with the least sum of distances to the updates (smoothed Weiszfeld, RFA)"
    source: ClassVar[str] = "Pillutla et al. 2022 (RFA, smoothed Weiszfeld)"
    breakdown: ClassVar[str] = "n > 2f"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"n_examples"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `geometric_median`; iteration ends at the first of its four reasons."""

        nu: float = field(default=1e-6, metadata={"low": 1e-150, "high": 1e150})
        """Smoothing: distances below this, above 0 and in the updates' unit, count as this (the paper's nu, others'
        eps)."""
        iterations: int = field(default=1_000, metadata={"low": 1, "high": 100_000})
        """The most iterations, 1 to 100,000 (the paper's budget, others' T or maxiter); the centre standing still, to
        1e-12 of its median distance to the rows, ends them earlier."""
        start: Literal["mean", "zero", "median"] = "mean"
        """The first centre: the (weighted) mean (Blades), the origin (byzfl), or the coordinate-wise median."""
        tol: float = field(default=0.0, metadata={"low": 0.0})
        """Iteration ends once the centre moves by less than this, 0 or more, in the updates' unit; 0: never for that
        reason."""
        ftol: float = field(default=0.0, metadata={"low": 0.0})
        """Iteration ends once the sum of distances changes by less than this part of it, 0 or more; 0: never for that
        reason."""
        weighting: Literal["equal", "examples"] = "equal"
        """Whether each client counts the same, or as often as `Evidence.n_examples` claims (which a liar can use)."""

    def points(self, updates: Updates, call: Call) -> list[Tensor]:  # noqa: ARG002 -- whatever the evidence
        """The first centre if it isn't made of rows (see `PointRule.points`)."""
        assert isinstance(self.settings, GeometricMedian.Settings)
        return [columnwise_median(updates) if self.settings.start == "median" else origin(updates)]

    def weights(self, gram: Gram) -> Weights:
        """The last centre as weights of the rows (see `GramRule.weights`)."""
        assert isinstance(self.settings, GeometricMedian.Settings)
        shares = torch.cat([self._shares(gram), torch.zeros(1, dtype=torch.float64)])
        weights = shares.clone()
        if self.settings.start != "mean":
            weights.zero_()[-1] = 1.0
        apart = distances_to(gram.matrix, weights)
        for _ in range(self.settings.iterations):
            before, apart_before = weights, apart
            smooth = apart.clamp_min(self.settings.nu)
            weights = shares * (smooth.min() / smooth)  # times the smallest distance, so that nothing overflows
            weights /= weights.sum()
            apart = distances_to(gram.matrix, weights)
            if self._still(gram.matrix, weights - before, shares, apart_before, apart):
                break
        return Weights(values=weights, diagnostics={"distance": apart})

    def _still(self, matrix: Tensor, step: Tensor, shares: Tensor, before: Tensor, after: Tensor) -> bool:
        """Whether the last step was small enough to be the last."""
        assert isinstance(self.settings, GeometricMedian.Settings)
        moved = float((step @ (matrix @ step)).clamp_min_(0.0).sqrt_())
        if moved <= _STILL * float(after[:-1].median()) or moved < self.settings.tol:
            return True
        old, new = float(shares @ before), float(shares @ after)
        return abs(old - new) < self.settings.ftol * new

    def _shares(self, gram: Gram) -> Tensor:
        """(n,) float64: how much each client counts; they add up to 1."""
        assert isinstance(self.settings, GeometricMedian.Settings)
        n = gram.n - 1
        if self.settings.weighting == "equal":
            return torch.full((n,), 1 / n, dtype=torch.float64)
        return claimed_shares(gram.evidence, torch.arange(n), rule=self.name)


@register
class Medoid(GramRule):
    """The one update with the least sum of distances to the others.

    Withstands f < n/2, as the geometric median does, than which its sum of distances is at most twice as large; it may
    pick a malicious update, but none much farther from the honest than they are from each other, and so assumes clients
    with like data.

    Source: Kaufman and Rousseeuw, Clustering by Means of Medoids (1987), with one cluster; as a rule, the package krum.

    >>> Medoid().aggregate(torch.tensor([[1.0], [2.0], [4.0], [1e30]])).update
    tensor([2.])
    """

    name: ClassVar[str] = "medoid"
    summary: ClassVar[str] = "the one update with the least sum of distances to the others"
    source: ClassVar[str] = "Kaufman and Rousseeuw 1987, with one cluster"
    breakdown: ClassVar[str] = "n > 2f"

    def weights(self, gram: Gram) -> Weights:
        """All of the weight on the most central row (see `GramRule.weights`)."""
        # each distance less the centre's own, as a difference of squares over a sum: a huge row blurs no digits
        squares = gram.matrix.diagonal()
        sums = gram.distances.sqrt() + squares.sqrt()
        longer = (squares[:, None] - 2 * gram.matrix) / torch.where(sums > 0, sums, 1.0)
        excess = longer.sum(dim=1)
        values = torch.zeros(gram.n, dtype=torch.float64)
        values[int(excess.argsort(stable=True)[0])] = 1.0
        return Weights(values=values, diagnostics={"distance_sum": gram.distances.sqrt().sum(dim=1)})
