"""Coordinate rules: each parameter's value out of the middle of what the clients say about that parameter."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from strategies.base import Block, Column, CoordRule
from strategies.kernels import middle_mean
from strategies.registry import register
from strategies.settings import RobustSettings, RuleSettings


@register
class Median(CoordRule):
    """Median of every coordinate.

    Withstands f < n/2: in every coordinate the result lies between honest values. Its error grows with how much the
    honest differ there, so it assumes clients with like data. It isn't told f.

    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates (ICML 2018),
    coordinate-wise median.

    >>> import torch
    >>> Median().aggregate(torch.tensor([[1.0], [2.0], [9.0]])).update
    tensor([2.])
    """

    name: ClassVar[str] = "median"
    summary: ClassVar[str] = "median of every coordinate"
    source: ClassVar[str] = "Yin et al. 2018 (coordinate-wise median)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `median`."""

        even: Literal["midpoint", "lower"] = "midpoint"
        """Of an even number of values: the middle two's midpoint (numpy.median), or the lower one (torch.median)."""

    def reduce(self, block: Block) -> Column:
        """The middle value, or the middle two's mean (see `CoordRule.reduce`)."""
        assert isinstance(self.settings, Median.Settings)
        n = block.values.shape[0]
        low = (n - 1) // 2
        high = low if self.settings.even == "midpoint" else n - 1 - low
        values, shares = middle_mean(block.values, low=low, high=high)
        return Column(values=values, shares=shares)


@register
class TrimmedMean(CoordRule):
    """Mean of every coordinate without its f smallest and f largest values.

    Withstands f < n/2, where f is at least the number of malicious clients: in every coordinate the result lies between
    honest values. Its error grows with how much the honest differ there, so it assumes clients with like data. With
    `n_byzantine` a share beta, f is `int(beta * n)` a side, as in Flower and scipy.

    Source: Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates (ICML 2018),
    coordinate-wise trimmed mean.

    >>> import torch
    >>> TrimmedMean(TrimmedMean.Settings(n_byzantine=1)).aggregate(torch.tensor([[1.0], [2.0], [4.0], [1e30]])).update
    tensor([3.])
    """

    name: ClassVar[str] = "trimmed_mean"
    summary: ClassVar[str] = "mean of every coordinate without its n_byzantine smallest and largest values"
    source: ClassVar[str] = "Yin et al. 2018 (coordinate-wise trimmed mean)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `trimmed_mean`; auto is .3 of the clients, always within the theory's n > 2f."""

    def reduce(self, block: Block) -> Column:
        """The mean of the values left (see `CoordRule.reduce`)."""
        values, shares = middle_mean(block.values, low=block.n_byzantine, high=block.n_byzantine)
        return Column(values=values, shares=shares)
