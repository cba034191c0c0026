"""A strategy of your own: the mean of the updates whose norms are closest to the median norm."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from strategies.base import Gram, GramRule, Weights
from strategies.clipping import median_norm
from strategies.settings import RuleSettings


class TypicalNorm(GramRule):
    """Mean of the updates whose norms are closest to the median norm.

    Withstands size only, as long as fewer than half of the clients are malicious.

    >>> TypicalNorm(TypicalNorm.Settings(keep_share=0.5)).aggregate(torch.tensor([[1.0], [2.0], [3.0], [90.0]])).update
    tensor([2.5000])
    """

    name: ClassVar[str] = "typical_norm"
    summary: ClassVar[str] = "mean of the updates whose norms are closest to the median norm"
    source: ClassVar[str] = "examples/custom_strategy"
    breakdown: ClassVar[str] = "size only"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `typical_norm`."""

        keep_share: float = field(default=0.7, metadata={"low": 0.0, "high": 1.0})
        """Share of the updates, in [0, 1], that are averaged; one at least."""

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the typical ones (see `GramRule.weights`)."""
        assert isinstance(self.settings, TypicalNorm.Settings)
        away = (gram.norms - median_norm(gram.norms)).abs()
        kept = away.argsort(stable=True)[: max(1, round(self.settings.keep_share * gram.n))]
        values = torch.zeros(gram.n, dtype=torch.float64)
        values[kept] = 1 / len(kept)
        return Weights(values=values, diagnostics={"norm_distance": away})
