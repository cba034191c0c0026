"""Rules that keep the largest group of updates that resemble each other: by their angles, or by their signs."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

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

    This is what HDBSCAN labels with min_cluster_size = n // 2 + 1, min_samples = 1 and allow_single_cluster. With one
    sample a core distance changes no distance between rows, so its hierarchy is single linkage; two children of a
    majority can't both be one, so the only cluster is the root, from which rows fall out until the smallest majority
    splits; and of a root that stands alone, those rows are labelled that stayed to the end.

    Args:
        distances: (n, n), symmetric.

    Returns:
        Row numbers, ascending; all that hang together by links no longer than the one that made the majority.

    Source: Campello, Moulavi and Sander, Density-Based Clustering Based on Hierarchical Density Estimates (PAKDD 2013),
    with the labels of a single cluster as in scikit-learn and hdbscan.

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

    Withstands f < n/2, under the assumption that the honest point more alike than the attackers do with them. The
    clusters are the paper's: HDBSCAN's on cosine distances, smallest cluster n/2 + 1, min_samples 1, one cluster
    allowed (see `majority_cluster`). Two things differ: the paper takes the angles between whole models, where the base
    that they share makes them small, and a rule sees updates alone; and the paper's noise, which is there to blur
    backdoors, isn't added.

    Source: Nguyen et al., FLAME: Taming Backdoors in Federated Learning (USENIX Security 2022), dynamic clustering and
    adaptive clipping.

    >>> Flame().aggregate(torch.tensor([[1.0, 0.0], [2.0, 0.0], [3.0, 0.0], [0.0, 9.0]])).update
    tensor([1.8333, 0.0000])
    """

    name: ClassVar[str] = "flame"
    summary: ClassVar[str] = "clipped mean of the majority whose directions are most alike (no noise)"
    source: ClassVar[str] = "Nguyen et al. 2022 (FLAME), without noise"
    breakdown: ClassVar[str] = "n > 2f"

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


def mean_shift(features: Tensor, *, quantile: float, orphans: bool = False) -> list[int]:
    """The largest cluster that mean shift with a flat kernel finds.

    Args:
        features: (n, k) float64.
        quantile: The bandwidth is the mean distance to the neighbour of that rank, in parts of n (at least 1 row, the
            row itself included).
        orphans: Whether rows farther than the bandwidth from every centre belong to no cluster, instead of to that of
            the nearest.

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
    away, labels = (features[:, None] - modes[centres][None]).norm(dim=2).min(dim=1)
    belongs = away <= bandwidth if orphans else torch.ones(n, dtype=torch.bool)
    largest = torch.bincount(labels[belongs], minlength=len(centres)).argmax()
    return [int(row) for row in (belongs & (labels == largest)).nonzero()]


# a kind of sign that nobody has stays at 0
_TINY = 1e-300
# mean shift of a few points stands still after some ten steps; this is where it ends in any case
_SHIFTS = 300


@register
class SignGuard(Aggregator):
    """Clipped mean of the updates of ordinary size whose shares of signs are those of the largest group.

    Out are norms outside [lower, upper] times the median norm; then of all rows the largest cluster is taken by their
    shares of positive, negative and zero values, out of a run of coordinates; who passes both is clipped down to the
    median norm and averaged. Where nobody passes both, who passes the first is averaged (the paper is silent on it).
    Withstands f < n/2 as far as attacks show in the norm or the signs; it assumes that the honest are the largest group
    by their signs.

    Source: Xu et al., Byzantine-robust Federated Learning through Collaborative Malicious Gradient Filtering (ICDCS
    2022), the plain SignGuard with mean shift; the variants' features of similarity are left out.

    >>> SignGuard().aggregate(torch.tensor([[1.0, 2.0], [1.0, 1.0], [2.0, 1.0], [-1.0, -2.0]])).update
    tensor([1.3333, 1.3333])
    """

    name: ClassVar[str] = "sign_guard"
    summary: ClassVar[str] = "clipped mean of the updates of ordinary norm in the largest cluster by signs"
    source: ClassVar[str] = "Xu et al. 2022 (SignGuard)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `sign_guard`."""

        lower: float = field(default=0.1, metadata={"low": 0.0, "high": 1.0})
        """The smallest norm allowed, in parts of the median norm, 0 to 1 (the paper's L)."""
        upper: float = field(default=3.0, metadata={"low": 1.0, "high": 1e6})
        """The largest norm allowed, in parts of the median norm, 1 or more (the paper's R)."""
        column_share: float = field(default=1.0, metadata={"low": 0.0, "high": 1.0})
        """Share of the coordinates whose signs are counted, 0 to 1, one coordinate at least: all of them (its authors:
        .1, to save time)."""
        seed: int = field(default=0, metadata={"low": 0, "high": 2**63 - 1})
        """Where the run of coordinates starts, if it isn't all; 0 or more."""
        quantile: float = field(default=0.5, metadata={"low": 0.0, "high": 1.0})
        """Bandwidth of the clustering, 0 to 1; see `mean_shift`."""
        features: Literal["shares", "scaled"] = "shares"
        """What is clustered: the shares of signs (the paper), or each over the largest of its kind, rows far from every
        centre in no cluster (its authors' code)."""

    def combine(self, updates: Updates, call: Call) -> Combined:  # noqa: ARG002 -- it needs no evidence
        """Filter by norms and signs, clip and add up (see `Aggregator.combine`)."""
        assert isinstance(self.settings, SignGuard.Settings)
        norms = updates.norms()
        middle = median_norm(norms)
        ordinary = (norms >= self.settings.lower * middle) & (norms <= self.settings.upper * middle)
        signs = self._signs(updates)
        group = torch.zeros(updates.n, dtype=torch.bool)
        scaled = self.settings.features == "scaled"
        features = signs / signs.amax(dim=0).clamp_min(_TINY) if scaled else signs
        group[mean_shift(features, quantile=self.settings.quantile, orphans=scaled)] = True
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
