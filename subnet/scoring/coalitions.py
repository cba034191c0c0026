"""The game that updates play: what a group of them is worth together.

    v_b(S) = L_b(w) - L_b(w + mean of clip_i x u_i over i in S),    v_b({}) = 0

One model is kept for all groups and one vector of parameters is formed at a time, so memory doesn't grow with the
number of groups, but for the n_batches numbers of each.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from subnet.scoring.base import Field


class Game:
    """The round's game, on all of its batches at once.

    Args:
        field: the round's updates.
        clip: `(n,)` factors that bring them down to the median norm.

    Attributes:
        n_evaluations: how many groups' models have been evaluated so far, each on all batches.
    """

    def __init__(self, field: Field, clip: Tensor) -> None:
        self._field = field
        self._clip = clip.tolist()
        self._base_losses = field.objective.losses(field.base, field.batches)
        self.n_evaluations = 0

    @property
    def n(self) -> int:
        """Number of players."""
        return self._field.n

    @property
    def base_loss(self) -> float:
        """Mean loss of the base model over the batches."""
        return float(self._base_losses.mean())

    def zero(self) -> Tensor:
        """Return the sum of nobody's updates, `(n_params,)` float64."""
        return torch.zeros(len(self._field.base), dtype=torch.float64)

    def add(self, total: Tensor, player: int, *, sign: int = 1) -> None:
        """Add a player's clipped update to `total` `(n_params,)`, or take it off again, in place."""
        total.add_(self._field.updates[player].double(), alpha=sign * self._clip[player])

    def value(self, total: Tensor, size: int) -> Tensor:
        """Return `(n_batches,)` float64: what `size` players whose clipped updates sum to `total` are worth.

        What isn't finite becomes a number, as in `base.mean_and_error`: differences of infinities would say nothing.
        """
        if not size:
            return torch.zeros_like(self._base_losses)
        self.n_evaluations += 1
        losses = self._field.objective.losses(self._field.base + (total / size).float(), self._field.batches)
        return (self._base_losses - losses).nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30).clamp(-1e30, 1e30)

    def everyone(self) -> Tensor:
        """Return the sum of all clipped updates, `(n_params,)`."""
        total = self.zero()
        for player in range(self.n):
            self.add(total, player)
        return total

    def table(self) -> Tensor:
        """Return `(2**n, n_batches)`: the worth of every group, at the number whose binary digits are its members.

        Groups are visited in Gray code (Knuth, TAOCP 4A, 7.2.1.1), so each differs from the last by one update.
        """
        values = torch.zeros(1 << self.n, len(self._base_losses), dtype=torch.float64)
        total = self.zero()
        for group, changed in _gray(self.n):
            self.add(total, changed, sign=1 if group >> changed & 1 else -1)
            values[group] = self.value(total, group.bit_count())
        return values


def _gray(n: int) -> Iterator[tuple[int, int]]:
    """Yield every non-empty group once, with the player by which it differs from the one before."""
    for number in range(1, 1 << n):
        yield number ^ (number >> 1), (number & -number).bit_length() - 1
