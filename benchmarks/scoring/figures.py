"""Figures: how well two kinds of clients are told apart, how well two values agree, and what players are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import torch

from subnet.scoring.shapley import values_of

__all__ = ["Spread", "auc", "pearson", "shapley", "spread"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean, standard deviation (0 for a single value) and range of `n` values."""

    mean: float
    deviation: float
    least: float
    most: float
    n: int

    def text(self, digits: int) -> str:
        """Return mean and deviation in so many digits, `0.93 ± 0.02`."""
        return f"{self.mean:.{digits}f} ± {self.deviation:.{digits}f}"


def spread(values: Sequence[float]) -> Spread:
    """Return what `values`, at least one, come to.

    >>> spread([1.0, 2.0, 3.0]).text(1)
    '2.0 ± 1.0'
    """
    deviation = stdev(values) if len(values) > 1 else 0.0
    return Spread(mean=mean(values), deviation=deviation, least=min(values), most=max(values), n=len(values))


def auc(suspects: Sequence[float], others: Sequence[float]) -> float:
    """Return the chance that a suspect's score is above another's, ties counted half: in [0, 1], .5 tells nothing.

    Args:
        suspects: scores of those who should score high, at least one.
        others: scores of the rest, at least one.

    Source: Mann and Whitney 1947; Hanley and McNeil 1982 for the area under the ROC curve.

    >>> auc([2.0, 3.0], [1.0, 2.0])
    0.875
    """
    high, low = torch.tensor(suspects, dtype=torch.float64), torch.tensor(others, dtype=torch.float64)
    order = low.sort().values
    below = torch.searchsorted(order, high, right=False)
    up_to = torch.searchsorted(order, high, right=True)
    return float((below + up_to).double().sum() / (2 * len(high) * len(low)))


def pearson(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return the correlation of two lists of the same length, in [-1, 1]; None where one of them doesn't vary.

    >>> round(pearson([1.0, 2.0, 3.0], [2.0, 4.0, 7.0]), 3)
    0.993
    """
    a, b = torch.tensor([list(one), list(other)], dtype=torch.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale > 0 else None


def shapley(worth: Sequence[float]) -> list[float]:
    """Return the exact Shapley value of every player.

    Args:
        worth: of every coalition, at the number whose binary digits are its members; of 2^n, the first is nobody's.

    >>> shapley([0.0, 1.0, 2.0, 4.0])
    [1.5, 2.5]
    """
    return [float(value) for value in values_of(torch.tensor(worth, dtype=torch.float64)[:, None])[0]]
