"""Centred clipping: steps of bounded length from a centre that most clients agree on."""

import sys
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from strategies.aggregation import EvidenceKind
from strategies.base import Call, Gram, Weights
from strategies.clipping import clip_factors, median_norm
from strategies.geometric import distances_to
from strategies.points import PointRule, evidence_row, origin
from strategies.registry import register
from strategies.settings import RuleSettings
from strategies.updates import Updates


@register
class CenteredClipping(PointRule):
    """The centre, moved `iterations` times by the mean of the updates' differences from it, each clipped to tau.

    Withstands fewer than a tenth of the clients in its analysis; no client moves the centre by more than tau / n an
    iteration, whatever it sends. It assumes a centre to start from that is near: the paper's is the last round's
    aggregate. Rules keep no state, so that is given with the call, as `Evidence.previous`; without it (the first round)
    the centre is zero. The mean is no safe start: one client moves it at will.

    Source: Karimireddy, He and Jaggi, Learning from History for Byzantine Robust Optimization (ICML 2021), algorithm 1;
    the median distance as tau is this package's, since the paper's tau needs the unknown variance.

    >>> rule = CenteredClipping(CenteredClipping.Settings(tau=2.0))
    >>> rule.aggregate(torch.tensor([[1.0], [1.0], [1.0], [-1e30]])).update
    tensor([0.2500])
    """

    name: ClassVar[str] = "centered_clipping"
    summary: ClassVar[str] = "the last aggregate, moved by the mean of the differences from it, each clipped to tau"
    source: ClassVar[str] = "Karimireddy et al. 2021, algorithm 1"
    breakdown: ClassVar[str] = "n > 10f"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"previous"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `centered_clipping`."""

        tau: float | None = field(default=None, metadata={"low": sys.float_info.min, "high": sys.float_info.max})
        """The largest difference allowed, above 0, in the updates' unit; None: in every iteration the median of those
        distances to the centre that aren't zero."""
        iterations: int = field(default=1, metadata={"low": 1, "high": 10_000})
        """How often the centre is moved, 1 to 10,000 (the paper's L)."""
        start: Literal["previous", "zero", "mean"] = "previous"
        """The first centre: `Evidence.previous`, or zero if none was given (the paper); always zero (byzfl); or the
        mean (byzpy)."""

    def points(self, updates: Updates, call: Call) -> list[Tensor]:
        """The first centre (see `PointRule.points`)."""
        assert isinstance(self.settings, CenteredClipping.Settings)
        previous = call.evidence.previous
        if self.settings.start != "previous" or previous is None:
            return [origin(updates)]
        return [evidence_row(previous, name="previous", rule=self.name, updates=updates)]

    def weights(self, gram: Gram) -> Weights:
        """The last centre as weights of the rows and of the first one (see `GramRule.weights`)."""
        assert isinstance(self.settings, CenteredClipping.Settings)
        n = gram.n - 1
        weights = torch.zeros(gram.n, dtype=torch.float64)
        if self.settings.start == "mean":
            weights[:n] = 1 / n
        else:
            weights[n] = 1.0
        factors = torch.zeros_like(weights)
        for _ in range(self.settings.iterations):
            apart = distances_to(gram.matrix, weights)[:n]
            tau = median_norm(apart) if self.settings.tau is None else self.settings.tau
            factors[:n] = clip_factors(apart, tau)
            weights = weights * (1 - factors.sum() / n) + factors / n
        return Weights(values=weights, diagnostics={"clip_factor": factors})
