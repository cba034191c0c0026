"""Norm clipping: nobody counts more than the size of a typical update."""

import sys
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from strategies.base import Gram, GramRule, Weights
from strategies.registry import register
from strategies.settings import RuleSettings


def median_norm(norms: Tensor) -> float:
    """Median of the norms that aren't zero (midpoint of the middle two if they are even in number).

    Zero updates are left out, since otherwise half of the clients could clip everybody to nothing by sending nothing.

    Args:
        norms: (n,) float64, finite.

    Returns:
        The median; 0 if all norms are.

    >>> median_norm(torch.tensor([0.0, 1.0, 2.0, 4.0, 9.0]))
    3.0
    """
    sizes = norms[norms > 0].sort().values
    count = len(sizes)
    return float(sizes[(count - 1) // 2] + sizes[count // 2]) / 2 if count else 0.0


def clip_factors(norms: Tensor, limit: float) -> Tensor:
    """What each update is multiplied with so that its norm is `limit` at most.

    Args:
        norms: (n,) float64, finite.
        limit: The largest norm allowed, 0 or more.

    Returns:
        (n,) float64 in [0, 1]: 1 for what is within the limit. Never up.

    Source: Sun et al., Can You Really Backdoor Federated Learning? (2019), norm thresholding of updates.

    >>> clip_factors(torch.tensor([0.0, 1.0, 4.0]), 2.0)
    tensor([1.0000, 1.0000, 0.5000])
    """
    return torch.where(norms > limit, limit / norms, 1.0)


@register
class NormClipping(GramRule):
    """Mean of the updates after clipping each down to the median norm.

    Withstands size only: a client moves the mean by the limit over n at most, whatever it sends, but in any direction
    that it likes. It assumes that fewer than half of the clients (of those that send anything) are malicious, since
    otherwise they set the median.

    Source: Sun et al., Can You Really Backdoor Federated Learning? (2019), norm thresholding of updates, there with a
    fixed limit (`max_norm`); the median, which needs no tuning, is this package's.

    >>> NormClipping().aggregate(torch.tensor([[2.0], [2.0], [200.0]])).update
    tensor([2.])
    """

    name: ClassVar[str] = "norm_clipping"
    summary: ClassVar[str] = "mean of the updates, each clipped down to the median norm (or to max_norm)"
    source: ClassVar[str] = "Sun et al. 2019 (norm thresholding)"
    breakdown: ClassVar[str] = "size only"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `norm_clipping`."""

        max_norm: float | None = field(default=None, metadata={"low": sys.float_info.min, "high": sys.float_info.max})
        """The largest norm allowed, above 0; None: the median norm of the updates that aren't zero."""

    def weights(self, gram: Gram) -> Weights:
        """The clip factors over n (see `GramRule.weights`)."""
        assert isinstance(self.settings, NormClipping.Settings)
        limit = median_norm(gram.norms) if self.settings.max_norm is None else self.settings.max_norm
        factors = clip_factors(gram.norms, limit)
        return Weights(values=factors / gram.n, diagnostics={"clip_factor": factors})
