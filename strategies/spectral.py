"""Rules that look along the direction in which the updates vary most, where a coordinated attack has to show."""

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import ClassVar

import torch
from torch import Tensor

from strategies.aggregation import Call, Combined
from strategies.base import Aggregator, Gram, GramRule, Weights, sum_of_rows
from strategies.nearest import equal_weights
from strategies.registry import register
from strategies.settings import RobustSettings
from strategies.updates import Updates

# the median of a standard normal variable's square: turns a median of squares into a variance
_MEDIAN_SQUARE = NormalDist().inv_cdf(0.75) ** 2


def top_direction(matrix: Tensor, counts: Tensor) -> tuple[float, Tensor]:
    """How far the rows lie from their weighted mean along the direction of their largest weighted variance.

    Args:
        matrix: (n, n) float64 inner products of the rows about any common centre.
        counts: (n,) float64, 0 or more, not all 0: how much each row counts. Rows of 0 are left out, and lie at 0.

    Returns:
        The variance (the largest eigenvalue of the covariance), and (n,) float64 the rows' coordinates.

    >>> top_direction(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).double(), torch.ones(2).double())[0]
    1.0
    """
    rows = counts.nonzero().flatten()
    part, count = matrix[rows][:, rows], counts[rows]
    total = count.sum()
    part = part - (part @ count / total)[:, None]
    part = part - (count @ part / total)[None, :]
    scale = part.diagonal().abs().max()
    along = torch.zeros(len(counts), dtype=torch.float64)
    if float(scale) <= 0.0:
        return 0.0, along
    roots = count.sqrt()
    part = (part + part.T) / (2 * scale)
    values, vectors = torch.linalg.eigh(roots[:, None] * part * roots[None, :])
    if float(values[-1]) <= 0.0:
        return 0.0, along
    along[rows] = (part @ (roots * vectors[:, -1])) * (scale / values[-1]).sqrt()
    return float(values[-1] * scale / total), along


def filtered(counts: Tensor, along: Tensor) -> Tensor:
    """Counts after a filter step: each less the more, the farther its row lies out; the farthest counts 0.

    Args:
        counts: (n,) float64.
        along: (n,) float64 coordinates in the top direction, not all 0.

    Returns:
        (n,) float64.

    Source: Diakonikolas et al., Being Robust (in High Dimensions) Can Be Practical (ICML 2017), as the soft filter of
    Steinhardt, Robust Learning: Information Theory and Algorithms (2018).

    >>> filtered(torch.ones(3), torch.tensor([0.0, 1.0, -2.0]))
    tensor([1.0000, 0.7500, 0.0000])
    """
    outlying = torch.where(counts > 0, along.abs(), 0.0)
    left = counts * (1 - (outlying / outlying.max()).square())
    left[int(outlying.argmax())] = 0.0
    return left


@register
class CovarianceBoundAgnosticFilter(GramRule):
    """Weighted mean at the smallest top variance met while filtering along the top direction again and again.

    Every step takes all weight from one row at least, so it ends after n steps whatever the values. Filtering stops
    when n - 2f or less of the weight is left. Withstands f < n/2, with an error that goes by the honest updates'
    largest variance in any one direction, and assumes nothing of that variance. Eigenvalues are exact (byzfl: one step
    of the power method from a random start).

    Source: Allouah, Guerraoui and Stephan, Towards Trustworthy Federated Learning with Untrusted Participants (ICML
    2025), algorithm 2.

    >>> rule = CovarianceBoundAgnosticFilter(CovarianceBoundAgnosticFilter.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [1.0], [1.0], [1e30]])).update
    tensor([1.])
    """

    name: ClassVar[str] = "caf"
    summary: ClassVar[str] = "weighted mean after filtering along the top variance, with no bound on it given"
    source: ClassVar[str] = "Allouah, Guerraoui and Stephan 2025, algorithm 2"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `caf`; auto is .3 of the clients, always within the theory's n > 2f."""

    def weights(self, gram: Gram) -> Weights:
        """The filter's counts at their best, over their sum (see `GramRule.weights`)."""
        counts = torch.ones(gram.n, dtype=torch.float64)
        variance, along = top_direction(gram.matrix, counts)
        best, smallest = counts, variance
        while variance > 0.0:
            counts = filtered(counts, along)
            if float(counts.sum()) <= gram.n - 2 * gram.n_byzantine:
                break
            variance, along = top_direction(gram.matrix, counts)
            if variance < smallest:
                best, smallest = counts, variance
        return Weights(values=best / best.sum(), diagnostics={"filter_weight": best})


@register
class FilterL2(GramRule):
    """Weighted mean after filtering along the top direction until the variance there is no longer suspicious.

    It is suspicious above `expansion` times sigma squared. Filtering also ends when n - 2f or less of the weight would
    be left: then honest rows have lost more than the f malicious ones can have. Withstands a small share of malicious
    clients (its analysis: at most a twelfth), with an error of the order of sigma times that share's root, whatever the
    dimension; it assumes that sigma, given or estimated, bounds the honest updates' deviation in every direction.

    Source: Steinhardt, Robust Learning: Information Theory and Algorithms (2018), filtering for bounded covariance, for
    a known sigma; in federated learning Zhu et al., Byzantine-Robust Federated Learning with Optimal Statistical Rates
    (2023). The estimate of sigma is this package's.

    >>> rule = FilterL2(FilterL2.Settings(n_byzantine=1, sigma=0.1))
    >>> rule.aggregate(torch.tensor([[1.0], [1.0], [1.0], [1e30]])).update
    tensor([1.])
    """

    name: ClassVar[str] = "filter_l2"
    summary: ClassVar[str] = "weighted mean after filtering along the top variance until it is at most sigma's"
    source: ClassVar[str] = "Steinhardt 2018 (filtering); Zhu et al. 2023"
    breakdown: ClassVar[str] = "n >= 12f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `filter_l2`; auto is .3 of the clients, always within n > 2f."""

        sigma: float | None = field(default=None, metadata={"low": 0.0, "high": 1e150})
        """Standard deviation of the honest updates in any direction, 0 or more, in their unit. None: in every step
        estimated along the top direction from the median distance to the median there, as of a normal distribution."""
        expansion: float = field(default=20.0, metadata={"low": 1.0, "high": 1e6})
        """How many times sigma squared the top variance may be, 1 or more (20 in Zhu et al.'s code)."""

    def weights(self, gram: Gram) -> Weights:
        """The filter's last counts, over their sum (see `GramRule.weights`)."""
        assert isinstance(self.settings, FilterL2.Settings)
        counts = torch.ones(gram.n, dtype=torch.float64)
        while True:
            variance, along = top_direction(gram.matrix, counts)
            if variance <= self.settings.expansion * self._honest_variance(along[counts > 0]):
                break
            left = filtered(counts, along)
            if float(left.sum()) <= gram.n - 2 * gram.n_byzantine:
                break
            counts = left
        return Weights(values=counts / counts.sum(), diagnostics={"filter_weight": counts})

    def _honest_variance(self, along: Tensor) -> float:
        """Sigma squared, given or estimated."""
        assert isinstance(self.settings, FilterL2.Settings)
        if self.settings.sigma is not None:
            return self.settings.sigma**2
        return float((along - along.median()).square().median()) / _MEDIAN_SQUARE


@register
class DivideAndConquer(Aggregator):
    """Mean of the updates that no random projection's top direction shows as an outlier.

    In each iteration, of `columns` random coordinates, the filter_share * f rows farthest out along the top direction
    are marked; the result is the mean of the rows never marked, or of those marked least often if there are none.
    Withstands f < n/2 in its theory, which assumes that malicious updates move the mean by more than the honest vary.
    The coordinates depend on the seed alone: a secret one can't be evaded, and makes a result that only its holder can
    replay.

    Source: Shejwalkar and Houmansadr, Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses for
    Federated Learning (NDSS 2021), divide and conquer (DnC).

    >>> rule = DivideAndConquer(DivideAndConquer.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [2.0], [1e30]])).update
    tensor([1.5000])
    """

    name: ClassVar[str] = "dnc"
    summary: ClassVar[str] = "mean of the updates that aren't outliers along the top direction of sampled columns"
    source: ClassVar[str] = "Shejwalkar and Houmansadr 2021 (DnC)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `dnc`."""

        columns: int = field(default=10_000, metadata={"low": 1, "high": 10_000_000})
        """Different coordinates sampled in an iteration, 1 to 10 million (the paper's b); all if there are no more."""
        iterations: int = field(default=1, metadata={"low": 1, "high": 1_000})
        """How many samples are looked at, 1 to 1,000 (the paper's niters)."""
        filter_share: float = field(default=1.0, metadata={"low": 0.0, "high": 2.0})
        """How many rows are marked in an iteration, in parts of n_byzantine, 0 to 2 (the paper's c)."""
        seed: int = field(default=0, metadata={"low": 0, "high": 2**63 - 1})
        """Which coordinates are sampled, 0 or more."""

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Mark by the samples' Gram matrices, then add up (see `Aggregator.combine`)."""
        assert isinstance(self.settings, DivideAndConquer.Settings)
        n_marked = min(int(self.settings.filter_share * call.n_byzantine), updates.n - 1)
        generator = torch.Generator().manual_seed(self.settings.seed)
        marks = torch.zeros(updates.n, dtype=torch.float64)
        for _ in range(self.settings.iterations):
            sample = _sampled(updates, self.settings.columns, generator)
            _, along = top_direction(Gram.of(sample, call).matrix, torch.ones(updates.n, dtype=torch.float64))
            marks[along.abs().argsort(stable=True, descending=True)[:n_marked]] += 1
        weights = equal_weights((marks == marks.min()).nonzero().flatten(), n=updates.n)
        return Combined(update=sum_of_rows(updates, weights), influence=weights, diagnostics={"marks": marks})


def _sampled(updates: Updates, columns: int, generator: torch.Generator) -> Updates:
    """Some columns of the updates, or all if there are no more than asked for."""
    if columns >= updates.d:
        return updates
    wanted = _different(columns, below=updates.d, generator=generator)
    found = []
    for start, block in updates.blocks():
        inside = wanted[(wanted >= start) & (wanted < start + block.shape[1])] - start
        found.append(block[:, inside.to(block.device)])
    return Updates(torch.cat(found, dim=1))


def _different(count: int, *, below: int, generator: torch.Generator) -> Tensor:
    """(count,) different numbers below another, ascending; any set of so many is as likely as any other.

    No permutation of all numbers is made: what is few, the numbers or those left out, is drawn until it is complete.
    """
    few = min(count, below - count)
    drawn = torch.empty(0, dtype=torch.long)
    while len(drawn) < few:
        drawn = torch.unique(torch.cat([drawn, torch.randint(below, (few - len(drawn),), generator=generator)]))
    if few == count:
        return drawn
    left = torch.ones(below, dtype=torch.bool)
    left[drawn] = False
    return left.nonzero().flatten()
