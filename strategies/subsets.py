"""Means of the n - f updates that agree best as a group: by their diameter, or by their largest variance."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from strategies.base import Gram, GramRule, Weights
from strategies.errors import UpdatesError
from strategies.nearest import equal_weights
from strategies.registry import register
from strategies.settings import RobustSettings

# a search that looks at so many rows takes a second or two in Python; typical rounds look at some thousands
_MOST_LOOKS = 6_000_000
# eigenvalues of so many subsets take half a second at 20 clients, which is what "auto" allows itself, and ten seconds
_AUTO_SUBSETS = 2_000
_MOST_SUBSETS = 50_000


class _Removal:
    """Whether removing few rows leaves no two of the others too far apart: a bounded search for a vertex cover.

    Rows are bits of an integer, and `far[i]` holds those too far from row i.
    """

    def __init__(self) -> None:
        self.looks = 0

    def enough(self, far: list[int], alive: int, budget: int) -> bool:
        """Whether at most `budget` of the rows alive have to go.

        Args:
            far: For each row, the rows that it can't stay with.
            alive: The rows still in question.
            budget: How many may go.

        Returns:
            True if some choice of them leaves no conflict.

        Raises:
            UpdatesError: The search is too long.
        """
        waiting = [(alive, budget)]
        while waiting:
            alive, budget = waiting.pop()
            worst, most, conflicts = self._worst(far, alive)
            if conflicts > 2 * budget * most:
                continue
            if most <= 1:  # pairs that share no row: one of each goes
                return True
            # either the worst row goes, or all that it can't stay with do
            if most <= budget:
                waiting.append((alive & ~far[worst] & ~(1 << worst), budget - most))
            waiting.append((alive & ~(1 << worst), budget - 1))
        return False

    def _worst(self, far: list[int], alive: int) -> tuple[int, int, int]:
        """The row in most conflicts, how many those are, and twice the number of all."""
        self.looks += len(far)
        if self.looks > _MOST_LOOKS:
            raise UpdatesError(
                f"mda gave up on {len(far)} updates after looking at {_MOST_LOOKS} rows: its search is NP-hard",
                remedy="give a smaller n_byzantine, or use bulyan, multi_krum, or nnm+trimmed_mean",
            )
        worst, most, conflicts = -1, 0, 0
        for row, bad in enumerate(far):
            degree = (bad & alive).bit_count() if alive >> row & 1 else 0
            conflicts += degree
            if degree > most:
                worst, most = row, degree
        return worst, most, conflicts


def minimum_diameter_subset(distances: Tensor, *, n_removed: int) -> list[int]:
    """The rows left when those are removed whose absence makes the largest distance smallest.

    Exact: the diameter is found by halving among the distances that occur, asking each time whether `n_removed` rows
    can meet (cover) all larger ones.

    Args:
        distances: (n, n) float64, symmetric.
        n_removed: How many rows are removed, from 0 to n - 1.

    Returns:
        Row numbers, ascending; of several such subsets the first in lexicographic order.

    Raises:
        UpdatesError: The search is too long.

    >>> minimum_diameter_subset(torch.tensor([[0.0, 9.0, 1.0], [9.0, 0.0, 9.0], [1.0, 9.0, 0.0]]), n_removed=1)
    [0, 2]
    """
    n = len(distances)
    search = _Removal()

    def conflicts(limit: float) -> list[int]:
        return [sum(1 << j for j, bad in enumerate(row) if bad) for row in (distances > limit).tolist()]

    diameters = sorted(set(distances.flatten().tolist()))  # the last one is always enough
    low, high = 0, len(diameters) - 1
    while low < high:
        middle = (low + high) // 2
        if search.enough(conflicts(diameters[middle]), (1 << n) - 1, n_removed):
            high = middle
        else:
            low = middle + 1
    far, alive, budget = conflicts(diameters[low]), (1 << n) - 1, n_removed
    chosen: list[int] = []
    for row in range(n):
        if len(chosen) == n - n_removed or not alive >> row & 1:
            continue
        # with this row in, all that it can't stay with have to go
        left = alive & ~far[row] & ~(1 << row)
        cost = (alive & far[row]).bit_count()
        if cost <= budget and search.enough(far, left, budget - cost):
            chosen.append(row)
            alive, budget = left, budget - cost
        else:
            alive, budget = alive & ~(1 << row), budget - 1
    return chosen


@register
class MinimumDiameterAveraging(GramRule):
    """Mean of the n - f updates whose largest distance from each other is smallest.

    Withstands f < n/2: a malicious update among those averaged is no farther from the honest ones there than the honest
    can be from each other. Its error grows with that diameter, so it assumes clients with like data. The exact search
    may take exponentially long in f, and gives up with an error that names other rules. Of several best subsets the
    first in lexicographic order is taken.

    Source: Rousseeuw, Multivariate Estimation with High Breakdown Point (1985); as a rule, El Mhamdi et al., Genuinely
    Distributed Byzantine Machine Learning (PODC 2020), minimum-diameter averaging.

    >>> rule = MinimumDiameterAveraging(MinimumDiameterAveraging.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [2.0], [-9.0]])).update
    tensor([1.5000])
    """

    name: ClassVar[str] = "mda"
    summary: ClassVar[str] = "mean of the n - n_byzantine updates of the smallest diameter (exact search)"
    source: ClassVar[str] = "Rousseeuw 1985; El Mhamdi et al. 2020 (MDA)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `mda`; auto is .3 of the clients, always within the theory's n > 2f."""

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the subset (see `GramRule.weights`)."""
        chosen = minimum_diameter_subset(gram.distances, n_removed=gram.n_byzantine)
        return Weights(values=equal_weights(torch.tensor(chosen), n=gram.n))


@register
class SmallestMaximumEigenvalueAveraging(GramRule):
    """Mean of the n - f updates whose covariance has the smallest largest eigenvalue.

    Withstands f < n/2; its error goes by the honest updates' largest variance in any one direction, where that of most
    rules goes by the sum over all of them, and it assumes nothing else of them. Every subset is looked at, so it is for
    few clients: "auto" stays at numbers of which there are 2,000 subsets at most, and a count that makes more than
    50,000 is refused. Of equal subsets the first in lexicographic order is taken. Eigenvalues are exact (byzfl: one
    step of the power method from a random start).

    Source: Allouah et al., On the Privacy-Robustness-Utility Trilemma in Distributed Learning (ICML 2023), SMEA.

    >>> rule = SmallestMaximumEigenvalueAveraging(SmallestMaximumEigenvalueAveraging.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [2.0], [-9.0]])).update
    tensor([1.5000])
    """

    name: ClassVar[str] = "smea"
    summary: ClassVar[str] = "mean of the n - n_byzantine updates of the smallest top variance (every subset)"
    source: ClassVar[str] = "Allouah et al. 2023 (SMEA)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `smea`; see the rule for what auto and counts may be."""

    def most_byzantine(self, n_clients: int) -> int:
        """As many as leave 2,000 subsets at most (see `Aggregator.most_byzantine`)."""
        counts = range((n_clients - 1) // 2 + 1)
        return max(f for f in counts if math.comb(n_clients, f) <= _AUTO_SUBSETS or f == 0)

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the best subset (see `GramRule.weights`)."""
        n, f = gram.n, gram.n_byzantine
        if math.comb(n, f) > _MOST_SUBSETS:
            raise UpdatesError(
                f"smea has {math.comb(n, f)} subsets to look at with n_byzantine={f} of {n} updates, "
                f"more than {_MOST_SUBSETS}",
                remedy="give a smaller n_byzantine or 'auto', or use caf or mda",
            )
        best, smallest = torch.arange(n), math.inf
        for subsets in _batches(itertools.combinations(range(n), n - f)):
            rows = torch.tensor(subsets)
            variances = _top_variances(gram.matrix, rows)
            lowest = int(variances.argmin())
            if float(variances[lowest]) < smallest:
                best, smallest = rows[lowest], float(variances[lowest])
        return Weights(values=equal_weights(best, n=n))


def _batches(subsets: Iterator[tuple[int, ...]]) -> Iterator[list[tuple[int, ...]]]:
    """A thousand subsets at a time, in order."""
    while batch := list(itertools.islice(subsets, 1_000)):
        yield batch


def _top_variances(matrix: Tensor, rows: Tensor) -> Tensor:
    """(subsets,) float64: largest eigenvalue of the covariance of each subset (subsets, k) of rows."""
    part = matrix[rows[:, :, None], rows[:, None, :]]
    part = part - part.mean(dim=1, keepdim=True)
    part = part - part.mean(dim=2, keepdim=True)
    variances: Tensor = torch.linalg.eigvalsh(part)[:, -1] / rows.shape[1]
    return variances
