"""Means of the updates nearest to something: the origin, the coordinate-wise median, or a trusted update."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from strategies.aggregation import EvidenceKind
from strategies.base import Call, Gram, GramRule, Weights
from strategies.points import LastPointRule, PointRule, columnwise_median, evidence_row
from strategies.registry import register
from strategies.settings import RobustSettings
from strategies.updates import Updates


def equal_weights(rows: Tensor, *, n: int) -> Tensor:
    """(n,) float64: the mean of some rows as weights.

    >>> equal_weights(torch.tensor([0, 2]), n=3)
    tensor([0.5000, 0.0000, 0.5000], dtype=torch.float64)
    """
    values = torch.zeros(n, dtype=torch.float64)
    values[rows] = 1 / len(rows)
    return values


@register
class ComparativeGradientElimination(GramRule):
    """Mean of the n - f updates of smallest norm.

    Withstands f < n/2 under the assumption that the honest agree (their costs have a minimum in common); it stops what
    is too large, not what points the wrong way. Of equal norms the earlier update stays. The paper adds the gradients
    up; the mean is the same direction at the size of an update, as in its reference implementations.

    Source: Gupta, Liu and Vaidya, Byzantine Fault-Tolerant Distributed Machine Learning Using Stochastic Gradient
    Descent (SGD) and Norm-Based Comparative Gradient Elimination (CGE) (2020; DSN-W 2021), the CGE filter.

    >>> rule = ComparativeGradientElimination(ComparativeGradientElimination.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [2.0], [-9.0]])).update
    tensor([1.5000])
    """

    name: ClassVar[str] = "cge"
    summary: ClassVar[str] = "mean of the n - n_byzantine updates of smallest norm"
    source: ClassVar[str] = "Gupta, Liu and Vaidya 2021 (CGE)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `cge`; auto is .3 of the clients, always within the theory's n > 2f."""

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the smallest (see `GramRule.weights`)."""
        smallest = gram.norms.argsort(stable=True)[: gram.n - gram.n_byzantine]
        return Weights(values=equal_weights(smallest, n=gram.n))


@register
class Aksel(PointRule):
    """Mean of the updates that lie closest to the coordinate-wise median.

    Withstands f < n/2: the updates averaged are as near to the median as some honest one. It assumes clients with like
    data, as the median does.

    Source: Boussetta et al., AKSEL: Fast Byzantine SGD (OPODIS 2020); the number kept is that of its authors' code.

    >>> Aksel().aggregate(torch.tensor([[1.0], [2.0], [4.0], [9.0]])).update
    tensor([3.])
    """

    name: ClassVar[str] = "aksel"
    summary: ClassVar[str] = "mean of the updates closest to the coordinate-wise median"
    source: ClassVar[str] = "Boussetta et al. 2020 (AKSEL)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `aksel`."""

        keep: Literal["half", "n-f"] = "half"
        """How many are averaged: those up to the (lower) median distance (its authors' default, where n_byzantine
        doesn't matter), or n - f (the package krum)."""

    def points(self, updates: Updates, call: Call) -> list[Tensor]:  # noqa: ARG002 -- the median needs no evidence
        """The coordinate-wise median (see `PointRule.points`)."""
        return [columnwise_median(updates)]

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the closest (see `GramRule.weights`)."""
        assert isinstance(self.settings, Aksel.Settings)
        n = gram.n - 1
        distances = gram.distances[n]
        count = (n + 1) // 2 if self.settings.keep == "half" else n - gram.n_byzantine
        closest = distances[:n].argsort(stable=True)[:count]
        return Weights(values=equal_weights(closest, n=gram.n), diagnostics={"distance": distances.sqrt()})


@register
class Monna(LastPointRule):
    """Mean of the n - f updates nearest to one that is trusted, `Evidence.root`.

    Withstands f < n/2, by the assumption that the trusted update is honest: what is averaged is as near to it as some
    honest update. In the paper every node trusts its own update and averages what comes from its neighbours with it,
    and the guarantee for all nodes together asks for fewer malicious ones. If the trusted update is to be among those
    averaged, give it as one of the updates too.

    Source: Farhadkhani et al., Robust Collaborative Learning with Linear Gradient Overhead (ICML 2023), MoNNA's
    nearest-neighbour averaging.

    >>> from strategies import Evidence
    >>> rule = Monna(Monna.Settings(n_byzantine=1))
    >>> rule.aggregate(torch.tensor([[1.0], [3.0], [-9.0]]), evidence=Evidence(root=torch.tensor([1.5]))).update
    tensor([2.])
    """

    name: ClassVar[str] = "monna"
    summary: ClassVar[str] = "mean of the n - n_byzantine updates nearest to a trusted one (needs evidence: root)"
    source: ClassVar[str] = "Farhadkhani et al. 2023 (MoNNA)"
    breakdown: ClassVar[str] = "n > 2f"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"root"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `monna`; auto is .3 of the clients, always within the theory's n > 2f."""

    def points(self, updates: Updates, call: Call) -> list[Tensor]:
        """The trusted update (see `PointRule.points`)."""
        return [evidence_row(call.evidence.root, name="root", rule=self.name, updates=updates)]

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the nearest (see `GramRule.weights`)."""
        n = gram.n - 1
        distances = gram.distances[n]
        nearest = distances[:n].argsort(stable=True)[: n - gram.n_byzantine]
        return Weights(values=equal_weights(nearest, n=gram.n), diagnostics={"distance": distances.sqrt()})
