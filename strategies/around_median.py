"""Means around the median: coordinate by coordinate, the values that lie closest to the middle one."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from strategies.base import Aggregator, Block, Call, Column, Combined, CoordRule, Gram
from strategies.errors import TooFewClientsError
from strategies.kernels import mean_around_median
from strategies.krum import krum_scores
from strategies.registry import register
from strategies.settings import RobustSettings
from strategies.updates import Updates


@register
class Meamed(CoordRule):
    """Mean of the n - f values of every coordinate that lie closest to its median.

    Withstands f < n/2: every value kept is as near to the median as some honest one. It assumes clients with like data,
    as the median does. Unlike the trimmed mean it may drop more on one side than on the other. Of two values equally
    far from the median the earlier client's is kept.

    Source: Xie, Koyejo and Gupta, Generalized Byzantine-tolerant SGD (2018), mean around median.

    >>> Meamed(Meamed.Settings(n_byzantine=1)).aggregate(torch.tensor([[1.0], [2.0], [4.0], [1e30]])).update
    tensor([2.3333])
    """

    name: ClassVar[str] = "meamed"
    summary: ClassVar[str] = "mean of every coordinate's n - n_byzantine values closest to its median"
    source: ClassVar[str] = "Xie, Koyejo and Gupta 2018 (mean around median)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `meamed`; auto is .3 of the clients, always within the theory's n > 2f."""

    def reduce(self, block: Block) -> Column:
        """The mean of the values kept (see `CoordRule.reduce`)."""
        values, shares = mean_around_median(block.values, keep=block.values.shape[0] - block.n_byzantine)
        return Column(values=values, shares=shares)


@register
class Bulyan(Aggregator):
    """Mean of theta - 2f values around the median of theta = n - 2f updates, which Krum picks one after the other.

    Each pick is Krum's among the updates not yet picked, whose number of neighbours shrinks with them (at least one).
    Withstands f with n >= 4f + 3, under `krum`'s assumptions: what stays is near to honest values in every coordinate,
    not just near in norm.

    Source: El Mhamdi, Guerraoui and Rouault, The Hidden Vulnerability of Distributed Learning in Byzantium (ICML 2018),
    Bulyan over Krum.

    >>> updates = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [1e30]])
    >>> Bulyan(Bulyan.Settings(n_byzantine=1)).aggregate(updates).update
    tensor([3.])
    """

    name: ClassVar[str] = "bulyan"
    summary: ClassVar[str] = "mean around the median of the updates that Krum picks one after the other"
    source: ClassVar[str] = "El Mhamdi et al. 2018 (Bulyan)"
    breakdown: ClassVar[str] = "n >= 4f + 3"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `bulyan`; n has to be 4f + 3 or more, and auto stays within it."""

    def most_byzantine(self, n_clients: int) -> int:
        """(n - 3) // 4, from n >= 4f + 3 (see `Aggregator.most_byzantine`)."""
        return max(0, (n_clients - 3) // 4)

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Pick by the Gram matrix, then reduce the picked rows' blocks (see `Aggregator.combine`)."""
        f = call.n_byzantine
        if f > 0 and updates.n < 4 * f + 3:
            raise TooFewClientsError(
                f"bulyan has {updates.n} usable updates against n_byzantine={f}; it needs 4 n_byzantine + 3 of them",
                remedy=f"wait for {4 * f + 3} clients or more, give a smaller n_byzantine, or use nnm+trimmed_mean",
            )
        picked = recursive_krum(Gram.of(updates, call).distances, n_picked=updates.n - 2 * f, n_byzantine=f)
        total = torch.zeros(updates.d, dtype=updates.dtype, device=updates.device)
        shares = torch.zeros(len(picked), dtype=torch.float64)

        def reduced(start: int, block: Tensor) -> Tensor:
            total[start : start + block.shape[1]], part = mean_around_median(block, keep=len(picked) - 2 * f)
            return part

        updates.rows(picked).each_block(reduced, shares.add_)
        influence = torch.zeros(updates.n, dtype=torch.float64)
        influence[picked] = shares / updates.d
        inside = torch.zeros(updates.n, dtype=torch.float64)
        inside[picked] = 1.0
        return Combined(update=total, influence=influence, diagnostics={"picked": inside})


def recursive_krum(distances: Tensor, *, n_picked: int, n_byzantine: int) -> list[int]:
    """Rows that Krum picks when each pick is taken away before the next.

    Args:
        distances: (n, n) float64 squared distances.
        n_picked: How many rows, from 1 to n.
        n_byzantine: Krum's f; r rows left have r - f - 2 neighbours, or one.

    Returns:
        The rows picked, in ascending order.

    Source: El Mhamdi et al. 2018, Bulyan's selection.

    >>> recursive_krum(torch.tensor([[0.0, 1.0, 9.0], [1.0, 0.0, 4.0], [9.0, 4.0, 0.0]]), n_picked=2, n_byzantine=0)
    [0, 1]
    """
    left = list(range(len(distances)))
    picked: list[int] = []
    while len(picked) < n_picked:
        neighbours = min(max(1, len(left) - n_byzantine - 2), len(left) - 1)
        scores = krum_scores(distances[left][:, left], neighbours=neighbours)
        picked.append(left.pop(int(scores.argsort(stable=True)[0])))
    return sorted(picked)
