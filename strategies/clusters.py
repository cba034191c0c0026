"""Rules that keep the largest group of updates that resemble each other: by their angles, or by their signs."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from strategies.aggregation import Call, Combined
from strategies.base import Aggregator, Gram, Weights, sum_of_rows
from strategies.clipping import clip_factors, median_norm
from strategies.directions import cosines
from strategies.points import LastPointRule, origin
from strategies.registry import register
from strategies.settings import RuleSettings
from strategies.updates import Updates


def majority_cluster(distances: Tensor) -> list[int]:
    """The first group of more than half of the rows to form when close pairs are linked before far ones.

    Args:
        distances: (n, n), symmetric.

    Returns:
        Row numbers, ascending; all that hang together by links no longer than the one that made the majority.

    >>> majority_cluster(torch.tensor([[0.0, 1.0, 9.0], [1.0, 0.0, 9.0], [9.0, 9.0, 0.0]]))
    [0, 1]
    """
    n = len(distances)
    values = distances.tolist()
    pairs = sorted((values[i][j], i, j) for i in range(n) for j in range(i + 1, n))
    groups = [[row] for row in range(n)]
    longest = -torch.inf
    found = groups[0] if n == 1 else []
    for length, i, j in pairs:
        if found and length > longest:
            break
        if groups[i] is not groups[j]:
            joined = groups[i] + groups[j]
            for row in joined:
                groups[row] = joined
        if 2 * len(groups[i]) > n:
            found, longest = groups[i], length
    return sorted(found)


@register
class Flame(LastPointRule):
    """Mean of the majority that points the same way, each clipped down to the median norm; without noise.

    Withstands f < n/2 as long as the honest point more alike than the attackers do with them. The paper clusters with
    HDBSCAN (smallest cluster: n/2 + 1, one cluster allowed) on cosine distances. Here links are made from the closest
    pair up until more than half of the updates hang together: the cluster that HDBSCAN starts from with min_samples=1.
    HDBSCAN may then let it grow, or, with more samples, keep stragglers out by their density. The paper's noise, which
    is there to blur backdoors, belongs to differential privacy and isn't added.

    Source: Nguyen et al., FLAME: Taming Backdoors in Federated Learning (USENIX Security 2022), algorithm 1, lines 5
    to 13.

    >>> Flame().aggregate(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 9.0]])).update
    tensor([1.8333, 0.0000])
    """

    name: ClassVar[str] = "flame"
    summary: ClassVar[str] = "clipped mean of the majority whose directions are most alike (no noise)"
    source: ClassVar[str] = "Nguyen et al. 2022, algorithm 1, with single linkage"

    def points(self, updates: Updates, call: Call) -> list[Tensor]:  # noqa: ARG002 -- it needs no evidence
        """The origin, from which angles are measured (see `PointRule.points`)."""
        return [origin(updates)]

    def weights(self, gram: Gram) -> Weights:
        """The majority's clip factors over its size (see `GramRule.weights`)."""
        n = gram.n - 1
        chosen = majority_cluster(1 - cosines(gram)[:n, :n])
        factors = clip_factors(gram.norms, median_norm(gram.norms[:n]))
        values = torch.zeros(gram.n, dtype=torch.float64)
        values[chosen] = factors[chosen] / len(chosen)
        return Weights(values=values, diagnostics={"clip_factor": factors})


def mean_shift(features: Tensor, *, quantile: float) -> list[int]:
    """The largest cluster that mean shift with a flat kernel finds.

    Args:
        features: (n, k) float64.
        quantile: The bandwidth is the mean distance to the neighbour of that rank, in parts of n (at least 1 row, the
            row itself included).

    Returns:
        Row numbers, ascending.

    Source: Comaniciu and Meer, Mean Shift (IEEE TPAMI 2002); bandwidth and merging as in scikit-learn's `MeanShift`.

    >>> mean_shift(torch.tensor([[0.0], [0.1], [0.2], [5.0]]), quantile=0.5)
    [0, 1, 2]
    """
    n = len(features)
    apart = (features[:, None] - features[None]).norm(dim=2)
    bandwidth = float(apart.sort(dim=1).values[:, max(1, int(quantile * n)) - 1].mean())
    modes = features.clone()
    for _ in range(_SHIFTS):
        near = ((modes[:, None] - features[None]).norm(dim=2) <= bandwidth).to(features.dtype)
        shifted = near @ features / near.sum(dim=1, keepdim=True).clamp_min(1.0)
        shifted = torch.where(near.sum(dim=1, keepdim=True) > 0, shifted, modes)
        if torch.equal(shifted, modes):
            break
        modes = shifted
    crowd = ((modes[:, None] - features[None]).norm(dim=2) <= bandwidth).sum(dim=1)
    centres: list[int] = []
    for row in crowd.argsort(stable=True, descending=True).tolist():
        if all(float((modes[row] - modes[other]).norm()) > bandwidth for other in centres):
            centres.append(row)
    labels = (features[:, None] - modes[centres][None]).norm(dim=2).argmin(dim=1)
    sizes = torch.bincount(labels, minlength=len(centres))
    return [row for row, label in enumerate(labels.tolist()) if label == int(sizes.argmax())]


# mean shift of a few points stands still after some ten steps; this is where it ends in any case
_SHIFTS = 300


@register
class SignGuard(Aggregator):
    """Clipped mean of the updates of ordinary size whose shares of signs are those of the largest group.

    Out are norms outside [lower, upper] times the median norm; then of all rows the largest cluster is taken by their
    shares of positive, negative and zero values, out of a run of coordinates; who passes both is clipped down to the
    median norm and averaged. Where nobody passes both, who passes the first is averaged (the paper is silent on it).
    Withstands f < n/2 as far as attacks show in the signs.

    Source: Xu et al., Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering (ICDCS
    2022), algorithm 2, with mean shift; its extra features of similarity to the last aggregate are left out.

    >>> SignGuard().aggregate(torch.tensor([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [-1.0, -2.0]])).update
    tensor([1.3333, 1.3333])
    """

    name: ClassVar[str] = "sign_guard"
    summary: ClassVar[str] = "clipped mean of the updates of ordinary norm in the largest cluster by signs"
    source: ClassVar[str] = "Xu et al. 2022, algorithm 2"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `sign_guard`."""

        lower: float = field(default=0.1, metadata={"low": 0.0, "high": 1.0})
        """The smallest norm allowed, in parts of the median norm (the paper's L)."""
        upper: float = field(default=3.0, metadata={"low": 1.0, "high": 1e6})
        """The largest norm allowed, in parts of the median norm (the paper's R)."""
        column_share: float = field(default=1.0, metadata={"low": 0.0, "high": 1.0})
        """Share of the coordinates whose signs are counted, one at least: every one (the paper: .1, to save time)."""
        seed: int = field(default=0, metadata={"low": 0, "high": 2**63 - 1})
        """Where the run of coordinates starts, if it isn't all."""
        quantile: float = field(default=0.5, metadata={"low": 0.0, "high": 1.0})
        """Bandwidth of the clustering; see `mean_shift`."""

    def combine(self, updates: Updates, call: Call) -> Combined:  # noqa: ARG002 -- it needs no evidence
        """Filter by norms and signs, clip and add up (see `Aggregator.combine`)."""
        assert isinstance(self.settings, SignGuard.Settings)
        norms = updates.norms()
        middle = median_norm(norms)
        ordinary = (norms >= self.settings.lower * middle) & (norms <= self.settings.upper * middle)
        signs = self._signs(updates)
        group = torch.zeros(updates.n, dtype=torch.bool)
        group[mean_shift(signs, quantile=self.settings.quantile)] = True
        passed = ordinary & group if bool((ordinary & group).any()) else ordinary
        weights = torch.where(passed, clip_factors(norms, middle), 0.0) / max(1, int(passed.sum()))
        diagnostics = {"ordinary_norm": ordinary.double(), "sign_group": group.double(), "positive_share": signs[:, 0]}
        return Combined(update=sum_of_rows(updates, weights), influence=weights, diagnostics=diagnostics)

    def _signs(self, updates: Updates) -> Tensor:
        """(n, 3) float64: shares of positive, negative and zero values of each row."""
        assert isinstance(self.settings, SignGuard.Settings)
        count = max(1, int(self.settings.column_share * updates.d))
        generator = torch.Generator().manual_seed(self.settings.seed)
        first = int(torch.randint(updates.d - count + 1, (1,), generator=generator))
        shares = torch.zeros(updates.n, 3, dtype=torch.float64)
        for start, block in updates.blocks():
            part = block[:, max(0, first - start) : max(0, first + count - start)]
            positive, negative = (part > 0).sum(dim=1), (part < 0).sum(dim=1)
            shares += torch.stack([positive, negative, part.shape[1] - positive - negative], dim=1).cpu()
        return shares / count
