"""Mixers: weighted sums of the updates that any rule takes better than the updates themselves.

NNM and bucketing bring the honest updates closer together (heterogeneous data spreads them), and clipping takes away
the size of the largest; the rule comes after: `strategies.create("nnm", "trimmed_mean", n_byzantine=4)`.
"""

import random
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from strategies.base import Gram, Mixer, Mixing
from strategies.clipping import clip_factors
from strategies.errors import TooFewClientsError
from strategies.registry import register
from strategies.settings import RobustSettings, RuleSettings


@register
class NearestNeighbourMixing(Mixer):
    """Every update replaced by the mean of its n - f nearest, itself included.

    Withstands f < n/2 with a rule after it that does: the mixed rows of the honest lie closer together, so that the
    rule's error under heterogeneous data comes down to the best possible order. It assumes nothing of the data.

    Source: Allouah et al., Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity (AISTATS 2023),
    nearest neighbour mixing (NNM).

    >>> import strategies
    >>> rule = strategies.create("nnm", "median", n_byzantine=1)
    >>> rule.aggregate(torch.tensor([[0.0], [2.0], [4.0], [99.0]])).update
    tensor([2.])
    """

    name: ClassVar[str] = "nnm"
    summary: ClassVar[str] = "every update becomes the mean of its n - n_byzantine nearest"
    source: ClassVar[str] = "Allouah et al. 2023 (NNM)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `nnm`; auto is .3 of the clients, always within the theory's n > 2f."""

    def matrix(self, gram: Gram) -> Mixing:
        """1/(n - f) for each row's nearest (see `Mixer.matrix`)."""
        count = gram.n - gram.n_byzantine
        nearest = gram.distances.clone().fill_diagonal_(-1.0).argsort(dim=1, stable=True)[:, :count]
        matrix = torch.zeros(gram.n, gram.n, dtype=torch.float64).scatter_(1, nearest, 1 / count)
        return Mixing(
            matrix=matrix, home=tuple(range(gram.n)), diagnostics={"chosen_by": (matrix != 0).sum(0).double()}
        )


@register
class Bucketing(Mixer):
    """Means of random buckets of s updates each; the last bucket has what is left.

    Withstands what the rule after it does, which sees fewer rows and as many malicious ones: fewer than half of the
    buckets. It assumes a seed that the clients can't choose their hotkeys by. Buckets depend on the seed and the number
    of updates alone (which are in the order of their hotkeys), so that a result can be replayed. They are the same in
    every round with as many updates: give another seed to have others.

    Source: Karimireddy, He and Jaggi, Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing (ICLR 2022),
    bucketing.

    >>> import strategies
    >>> strategies.create("bucketing", "median", n_byzantine=1).aggregate(torch.tensor([[1.0], [2.0], [99.0]])).update
    tensor([2.])
    """

    name: ClassVar[str] = "bucketing"
    summary: ClassVar[str] = "means of random buckets of bucket_size updates"
    source: ClassVar[str] = "Karimireddy, He and Jaggi 2022 (bucketing)"
    breakdown: ClassVar[str] = "n/s > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `bucketing`; auto stays within what the rule allows at the number of buckets."""

        bucket_size: int | None = field(default=None, metadata={"low": 1})
        """Updates in a bucket, 1 or more (the paper's s). None: the most that leave 2f + 1 buckets (the paper's
        delta_max/delta for rules that withstand any minority, in whole buckets), f counted as 1 at least; a rule that
        needs more rows needs a smaller size."""
        seed: int = field(default=0, metadata={"low": 0})
        """Which updates share a bucket, 0 or more."""

    def n_rows(self, n_clients: int, n_byzantine: int) -> int:
        """Number of buckets (see `Mixer.n_rows`)."""
        return -(-n_clients // self._size(n_clients, n_byzantine))

    def matrix(self, gram: Gram) -> Mixing:
        """1/s for each of a bucket's members (see `Mixer.matrix`)."""
        assert isinstance(self.settings, Bucketing.Settings)
        size = self._size(gram.n, gram.n_byzantine)
        count = self.n_rows(gram.n, gram.n_byzantine)
        if 2 * gram.n_byzantine >= count:
            raise TooFewClientsError(
                f"bucket_size={size} makes {count} buckets of {gram.n} updates, and n_byzantine={gram.n_byzantine} of "
                "them may hold a malicious one; it has to be less than half of them",
                remedy="leave bucket_size out, or give a smaller one",
            )
        order = list(range(gram.n))
        random.Random(self.settings.seed).shuffle(order)
        matrix = torch.zeros(count, gram.n, dtype=torch.float64)
        home = [0] * gram.n
        for bucket in range(count):
            members = order[bucket * size : (bucket + 1) * size]
            matrix[bucket, members] = 1 / len(members)
            for row in members:
                home[row] = bucket
        return Mixing(matrix=matrix, home=tuple(home), diagnostics={"bucket": torch.tensor(home, dtype=torch.float64)})

    def _size(self, n_clients: int, n_byzantine: int) -> int:
        assert isinstance(self.settings, Bucketing.Settings)
        if self.settings.bucket_size is not None:
            return min(self.settings.bucket_size, n_clients)
        wanted = 2 * max(1, n_byzantine) + 1
        return max((size for size in range(1, n_clients + 1) if -(-n_clients // size) >= wanted), default=1)


@register
class AdaptiveClipping(Mixer):
    """The floor(2 f/n (n - f)) largest updates clipped to the norm of the next one.

    Withstands f < n/2 with a rule after it that does, whose guarantee it keeps; it bounds what the malicious can do
    where the start is good, and assumes nothing of the data.

    Source: Allouah et al., Adaptive Gradient Clipping for Robust Federated Learning (ICLR 2025), adaptive robust
    clipping (ARC).

    >>> import strategies
    >>> strategies.create("arc", "mean", n_byzantine=1).aggregate(torch.tensor([[1.0], [2.0], [300.0]])).update
    tensor([1.6667])
    """

    name: ClassVar[str] = "arc"
    summary: ClassVar[str] = "the 2 f/n (n - f) largest updates clipped to the norm of the next (f = n_byzantine)"
    source: ClassVar[str] = "Allouah et al. 2025 (ARC)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `arc`; auto is .3 of the clients, always within the theory's n > 2f."""

    def matrix(self, gram: Gram) -> Mixing:
        """The clip factors on the diagonal (see `Mixer.matrix`)."""
        n, f = gram.n, gram.n_byzantine
        n_clipped = int(2 * f / n * (n - f))
        return _scaled(clip_factors(gram.norms, float(gram.norms.sort().values[n - n_clipped - 1])))


@register
class StaticClipping(Mixer):
    """Every update clipped to a fixed norm.

    Withstands size only, whatever the number of malicious clients; it assumes that honest updates are about as large as
    the norm given.

    Source: Sun et al., Can You Really Backdoor Federated Learning? (2019), norm thresholding of updates.

    >>> import strategies
    >>> strategies.create("static_clipping", "mean", max_norm=2.0).aggregate(torch.tensor([[1.0], [300.0]])).update
    tensor([1.5000])
    """

    name: ClassVar[str] = "static_clipping"
    summary: ClassVar[str] = "every update clipped to the norm max_norm"
    source: ClassVar[str] = "Sun et al. 2019 (norm thresholding)"
    breakdown: ClassVar[str] = "size only"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `static_clipping`."""

        max_norm: float = field(default=1.0, metadata={"low": sys.float_info.min, "high": sys.float_info.max})
        """The largest norm allowed, above 0."""

    def matrix(self, gram: Gram) -> Mixing:
        """The clip factors on the diagonal (see `Mixer.matrix`)."""
        assert isinstance(self.settings, StaticClipping.Settings)
        return _scaled(clip_factors(gram.norms, self.settings.max_norm))


def _scaled(factors: Tensor) -> Mixing:
    """Every row times its own factor."""
    return Mixing(matrix=factors.diag(), home=tuple(range(len(factors))), diagnostics={"clip_factor": factors})
