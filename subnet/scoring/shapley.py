"""The Shapley value of the round's game: what an update adds on average to a group that it joins.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! x (v(S + i) - v(S))

with v the loss improvement of the clipped mean of a group (`coalitions.Game`), for each batch on its own. Up to 10
clients it is exact, over all 2^n - 1 groups; beyond that it is estimated by GTG-Shapley, from permutations:

- between rounds: when all together move the loss by less than a thousandth, nobody gets anything;
- within a permutation: once a prefix is worth all but a thousandth of what all are, the rest of it adds nothing;
- guided: every client leads as many permutations as every other, give or take one;
- it stops when the last ten estimates lie within 5 % of the last one, after 30 permutations or n at the least.

A group that comes up again isn't evaluated again. The draw is fixed by the hotkeys and the batches, so the same field
gives the same values.

Source: Shapley 1953, "A value for n-person games"; GTG-Shapley (Liu et al. 2022, arXiv:2109.02053, algorithm 1), with
its truncations, guidance and convergence criterion. Different here: the thresholds are relative to the loss and to
v(N), since v is a loss and not an accuracy; and the spread of the estimates is measured against their mean size over
all clients, since a client of no worth never has a small relative error. The criterion is a loose one: a value was off
by 10 to 15 % of a value's mean size on average, at 12 and 14 clients of the optdigits example (docs/scoring.md).
"""

import hashlib
from dataclasses import dataclass
from math import comb
from typing import ClassVar

import torch
from torch import Tensor

from clients.seeds import generator
from clients.task import Examples
from subnet.scoring.base import Field, mean_and_error
from subnet.scoring.coalitions import Game
from subnet.scoring.plain import Plain

EXACT_CLIENTS = 10
"""Up to so many all groups are evaluated: 1,023 at most."""

BETWEEN_ROUNDS = 1e-3
"""Least change of the loss, over the base's loss, for which a round is looked into."""
WITHIN_ROUND = 1e-3
"""What of v(N) may be missing when a permutation is cut short."""
LEAST_PERMUTATIONS = 30
MOST_PERMUTATIONS = 500
"""An estimate that hasn't settled by then is taken as it is: 500 n evaluations at most."""
LAST_ESTIMATES = 10
SPREAD = 0.05
"""The last estimates may differ from the last one by this share of the mean size of a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Shapley values and what they cost.

    Attributes:
        values: `(n_batches, n)` float64.
        n_evaluations: groups whose model was evaluated, each on all batches.
        n_permutations: that were walked; 0 for exact values and for a round that wasn't looked into.
        settled: False where the most permutations were reached first.
    """

    values: Tensor
    n_evaluations: int
    n_permutations: int = 0
    settled: bool = True


class Shapley(Plain):
    """Pay the Shapley value of the clipped mean's loss improvement."""

    name: ClassVar[str] = "shapley"
    summary: ClassVar[str] = "Shapley value; exact up to 10 clients, GTG-Shapley beyond: for comparison"

    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values."""
        return mean_and_error(self.values(field, clip).values)

    @staticmethod
    def values(field: Field, clip: Tensor) -> Estimate:
        """Return the values and what they cost."""
        game = Game(field, clip)
        return exact(game) if field.n <= EXACT_CLIENTS else estimate(game, draw_of(field))


def exact(game: Game) -> Estimate:
    """Return the values over all groups. Memory: 2^n x n_batches numbers."""
    return Estimate(values=values_of(game.table()), n_evaluations=game.n_evaluations)


def values_of(worth: Tensor) -> Tensor:
    """Return the exact values `(n_batches, n)` of any game of n players.

    Args:
        worth: `(2**n, n_batches)` float64, n at least 1: of every group, at the number whose binary digits are its
            members.
    """
    n = len(worth).bit_length() - 1
    groups = torch.arange(len(worth))
    sizes = sum((groups >> player & 1 for player in range(n)), torch.zeros_like(groups))
    # |S|! (n - |S| - 1)! / n! = 1 / (n x (n - 1 over |S|))
    weights = torch.tensor([1 / (n * comb(n - 1, size)) for size in range(n)], dtype=torch.float64)
    values = []
    for player in range(n):
        without = groups[(groups >> player & 1) == 0]
        added = worth[without | 1 << player] - worth[without]
        values.append(weights[sizes[without]] @ added)
    return torch.stack(values, dim=1)


def estimate(game: Game, draw: torch.Generator) -> Estimate:
    """Return the values by GTG-Shapley.

    Args:
        game: the round's.
        draw: gives the permutations.
    """
    together = game.value(game.everyone(), game.n)
    total = torch.zeros(len(together), game.n, dtype=torch.float64)
    if abs(float(together.mean())) <= BETWEEN_ROUNDS * abs(game.base_loss):
        return Estimate(values=total, n_evaluations=game.n_evaluations)
    known = {(1 << game.n) - 1: together}
    recent: list[Tensor] = []
    for number in range(1, MOST_PERMUTATIONS + 1):
        _walk(game, _permutation(game.n, number, draw), known, total)
        recent = [*recent[-LAST_ESTIMATES:], total.mean(0) / number]
        if number >= max(LEAST_PERMUTATIONS, game.n) and _settled(recent):
            return Estimate(values=total / number, n_evaluations=game.n_evaluations, n_permutations=number)
    return Estimate(
        values=total / MOST_PERMUTATIONS,
        n_evaluations=game.n_evaluations,
        n_permutations=MOST_PERMUTATIONS,
        settled=False,
    )


def draw_of(field: Field) -> torch.Generator:
    """Return a generator that is fixed by a field's hotkeys and batches."""
    return generator("gtg-shapley", *field.hotkeys, *(_digest(batch) for batch in field.batches))


def _digest(batch: Examples) -> str:
    found = hashlib.sha256()
    for tensor in (batch.inputs, batch.targets):
        found.update(tensor.contiguous().cpu().numpy().tobytes())
    return found.hexdigest()


def _permutation(n: int, number: int, draw: torch.Generator) -> list[int]:
    """Return the permutation of a number from 1: it begins with the next client in turn, and the rest is random."""
    leader = (number - 1) % n
    rest = [player for player in torch.randperm(n, generator=draw).tolist() if player != leader]
    return [leader, *rest]


def _walk(game: Game, order: list[int], known: dict[int, Tensor], total: Tensor) -> None:
    """Add to `total` what each player of a permutation adds to those before it; remember what groups are worth."""
    together = known[(1 << game.n) - 1]
    enough = WITHIN_ROUND * abs(float(together.mean()))
    joined, group = game.zero(), 0
    before = game.value(joined, 0)
    for size, player in enumerate(order, start=1):
        if abs(float((together - before).mean())) <= enough:
            return
        group |= 1 << player
        game.add(joined, player)
        if group not in known:
            known[group] = game.value(joined, size)
        total[:, player] += known[group] - before
        before = known[group]


def _settled(recent: list[Tensor]) -> bool:
    """Say whether the estimates before the last one lie close to it."""
    *earlier, last = recent
    if len(earlier) < LAST_ESTIMATES:
        return False
    spread = (torch.stack(earlier) - last).abs().mean(0).max()
    return float(spread) <= SPREAD * float(last.abs().mean())
