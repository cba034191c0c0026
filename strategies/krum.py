"""Krum and Multi-Krum: the updates that lie closest to their neighbours."""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from strategies.aggregation import EvidenceKind, claimed_shares
from strategies.base import Gram, GramRule, Weights
from strategies.registry import register
from strategies.settings import RobustSettings


def krum_scores(distances: Tensor, *, neighbours: int) -> Tensor:
    """Sum of the squared distances to the nearest neighbours.

    Args:
        distances: (n, n) float64 squared distances.
        neighbours: How many of the others count, from 0 to n - 1.

    Returns:
        (n,) float64; smaller is more central.

    Source: Blanchard et al., Machine Learning with Adversaries (NeurIPS 2017), the Krum function's score.

    >>> krum_scores(torch.tensor([[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]]), neighbours=1)
    tensor([1., 1., 4.])
    """
    others = distances.clone().fill_diagonal_(torch.inf).sort(dim=1).values
    return others[:, :neighbours].sum(dim=1)


class _KrumRule(GramRule):
    """What Krum and Multi-Krum share: the scores, and the mean of the best-scored."""

    source: ClassVar[str] = "Blanchard et al. 2017 (the Krum function)"
    breakdown: ClassVar[str] = "n >= 2f + 3"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `krum`.

        The guarantee asks for n >= 2f + 3, and "auto" stays within it. A count is taken as long as n > 2f, as the
        published libraries do: below 2f + 3 the rule still runs, on one neighbour at least, but nothing is promised.
        """

        neighbours: Literal["n-f-2", "n-f-1"] = "n-f-2"
        """How many neighbours the score sums over, one at least: n-f-2 (the paper and Flower), or n-f-1 (byzfl)."""

    def most_byzantine(self, n_clients: int) -> int:
        """(n - 3) // 2, from n >= 2f + 3 (see `Aggregator.most_byzantine`)."""
        return max(0, (n_clients - 3) // 2)

    def weights(self, gram: Gram) -> Weights:
        """The weights of the best-scored (see `GramRule.weights`)."""
        assert isinstance(self.settings, _KrumRule.Settings)
        wanted = gram.n - gram.n_byzantine - int(self.settings.neighbours[-1])
        scores = krum_scores(gram.distances, neighbours=min(max(1, wanted), gram.n - 1))
        best = scores.argsort(stable=True)[: self.n_selected(gram)]
        values = torch.zeros(gram.n, dtype=torch.float64)
        values[best] = self.shares(gram, best)
        return Weights(values=values, diagnostics={"krum_score": scores})

    @abstractmethod
    def n_selected(self, gram: Gram) -> int:
        """How many of the best-scored rows are averaged, 1 or more."""

    def shares(self, gram: Gram, best: Tensor) -> Tensor:  # noqa: ARG002 -- Multi-Krum may look at the claims
        """(k,) float64: what each of the k rows picked counts; they add up to 1."""
        return torch.full((len(best),), 1 / len(best), dtype=torch.float64)


@register
class Krum(_KrumRule):
    """The one update whose neighbours are closest.

    Withstands f with n >= 2f + 3, by the angle between the expected result and the honest mean. It assumes that honest
    updates vary little beside their mean's size (by a bound that falls with the root of d), so clients with like data;
    and it takes one client's update as it is, so it learns from one client's data a round.

    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent (NeurIPS 2017), the
    Krum function.

    >>> Krum(Krum.Settings(n_byzantine=1)).aggregate(torch.tensor([[1.0], [1.1], [1.3], [1.6], [9.0]])).update
    tensor([1.1000])
    """

    name: ClassVar[str] = "krum"
    summary: ClassVar[str] = "the one update whose neighbours are closest"

    def n_selected(self, gram: Gram) -> int:  # noqa: ARG002 -- one, whatever the rows
        """One (see `_KrumRule.n_selected`)."""
        return 1


@register
class MultiKrum(_KrumRule):
    """The mean of the m updates whose neighbours are closest.

    Withstands what `krum` does, n >= 2f + 3 under its assumptions, as long as m is n - f or less; a larger m trades
    that for less noise, up to the plain mean at n.

    Source: Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent (NeurIPS 2017),
    Multi-Krum.

    >>> rule = MultiKrum(MultiKrum.Settings(n_byzantine=1, m=2))
    >>> rule.aggregate(torch.tensor([[1.0], [2.0], [3.0], [4.0], [99.0]])).update
    tensor([2.5000])
    """

    name: ClassVar[str] = "multi_krum"
    summary: ClassVar[str] = "mean of the m updates whose neighbours are closest"
    source: ClassVar[str] = "Blanchard et al. 2017 (Multi-Krum)"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"n_examples"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(_KrumRule.Settings):
        """Settings of `multi_krum`; see `krum`'s for the number of Byzantine clients."""

        m: int | Literal["n-f", "n-f-2", "n-2f-3"] = field(default="n-f", metadata={"low": 1})
        """How many updates are averaged: a count from 1 up (at most all that are left), or out of the numbers of
        clients and of Byzantine ones, at least one: n-f (byzfl), n-f-2 (its authors' code), n-2f-3 (the package
        krum)."""
        weighting: Literal["equal", "examples"] = "equal"
        """Whether each update picked counts the same (the paper), or as often as `Evidence.n_examples` claims (Flower),
        which a liar can use."""

    def n_selected(self, gram: Gram) -> int:
        """The setting m, resolved (see `_KrumRule.n_selected`)."""
        assert isinstance(self.settings, MultiKrum.Settings)
        n, f = gram.n, gram.n_byzantine
        named = {"n-f": n - f, "n-f-2": n - f - 2, "n-2f-3": n - 2 * f - 3}
        m = self.settings.m
        return min(max(1, named[m] if isinstance(m, str) else m), n)

    def shares(self, gram: Gram, best: Tensor) -> Tensor:
        """Equal or claimed ones (see `_KrumRule.shares`)."""
        assert isinstance(self.settings, MultiKrum.Settings)
        if self.settings.weighting == "equal":
            return super().shares(gram, best)
        return claimed_shares(gram.evidence, best, rule=self.name)
