"""Mixers in front of a rule, as one rule.

The mixers' matrices multiply to one (m, n) matrix W. A `GramRule` then works on W G W^T, and its weights w come back to
the clients as W^T w: n x n work, and one sum over the updates. Any other rule reads the mixed rows, which are formed
block by block and never exist in one piece.
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from strategies.aggregation import Call, Combined
from strategies.base import Aggregator, GramRule, Mixer, sum_of_rows
from strategies.errors import SettingsError, TooFewClientsError
from strategies.gram import Gram
from strategies.settings import RobustSettings
from strategies.threads import scratch
from strategies.updates import DerivedUpdates, Updates

__all__ = ["Composition", "MixedUpdates"]


class MixedUpdates(DerivedUpdates):
    """Weighted sums of other updates' rows, formed one block at a time.

    Args:
        base: Finite rows.
        weights: (m, n) float64.

    >>> mixed = MixedUpdates(Updates(torch.tensor([[1.0, 2.0], [3.0, 6.0]])), torch.tensor([[0.5, 0.5]]).double())
    >>> mixed.n, mixed.row(0)
    (1, tensor([2., 4.]))
    """

    def __init__(self, base: Updates, weights: Tensor) -> None:
        super().__init__(base)
        self._weights = weights.contiguous()
        self._product_type = base.dtype if base.within_float32() else torch.float64
        square = weights.shape[0] == weights.shape[1]
        self._factors = (
            weights.diagonal().clone() if square and bool((weights == weights.diag().diag()).all()) else None
        )

    @property
    def n(self) -> int:
        """Number of mixed rows."""
        return len(self._weights)

    def block(self, start: int, stop: int) -> Tensor:
        """Some columns of the mixed rows, in a new tensor (see `Updates.block`)."""
        return self._formed(start, stop).to(self.dtype, copy=True)

    def parts(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """Some columns of the mixed rows, in memory that the next call takes again (see `Updates.parts`)."""
        return (self._formed(start, stop).to(self.dtype),)

    def copied(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Copy some columns of the mixed rows (see `Updates.copied`)."""
        return out.copy_(self._formed(start, stop))

    def _formed(self, start: int, stop: int) -> Tensor:
        """Products in float32 if the norms allow it, else in float64; in memory that the next call takes again."""
        if self._factors is not None:
            wide = scratch("mixed", (self._base.n, stop - start), torch.float64, self.device)
            return self._base.copied(start, stop, wide).mul_(self._factors.to(self.device)[:, None])
        rows = scratch("mixed", (self._base.n, stop - start), self._product_type, self.device)
        sums = scratch("mixtures", (self.n, stop - start), self._product_type, self.device)
        return torch.mm(self._weights.to(rows), self._base.copied(start, stop, rows), out=sums)

    def rows(self, indices: Sequence[int]) -> "MixedUpdates":
        """Some of the mixed rows, in the order given (see `Updates.rows`)."""
        return MixedUpdates(self._base, self._weights[list(indices)])

    def norm_limit(self) -> float:
        """A norm that no mixed row exceeds, by the triangle inequality (see `Updates.norm_limit`)."""
        return float((self._weights.abs() @ self._base.norms()).max())

    def row(self, index: int) -> Tensor:
        """One mixed row, formed anew: (d,) of the updates' type."""
        return sum_of_rows(self._base, self._weights[index])


class Composition(Aggregator):
    """Mixers, from the first to the last, and the rule that combines what comes out of them.

    Influence is on the clients' own updates, W^T w. Diagnostics and rejections of a mixed row go to the clients that it
    stands for; a client that still has influence through another mixed row isn't rejected. The number of Byzantine
    clients is resolved once, for all parts.

    Args:
        mixers: One or more.
        rule: Any rule.

    Raises:
        SettingsError: No mixer, or parts that expect different numbers of Byzantine clients.
    """

    def __init__(self, mixers: Sequence[Mixer], rule: Aggregator) -> None:
        if not mixers:
            raise SettingsError(f"{rule.name} is composed with no mixer", remedy="use the rule itself")
        parts: tuple[Mixer | Aggregator, ...] = (*mixers, rule)
        self.mixers = tuple(mixers)
        self.rule = rule
        self.settings = rule.settings
        name = "+".join(part.name for part in parts)
        # a rule's are its class's, a composition's its own
        vars(self).update(
            name=name,
            summary="; then ".join(part.summary for part in parts),
            source="; ".join(part.source for part in parts),
            breakdown="; ".join(part.breakdown for part in parts),
            evidence=frozenset(kind for part in parts for kind in part.evidence),
        )
        robust = [part for part in parts if isinstance(part.settings, RobustSettings)]
        for one, other in pairwise(robust):
            expected = [getattr(part.settings, "n_byzantine", None) for part in (one, other)]
            if expected[0] != expected[1]:
                raise SettingsError(
                    f"{name}: n_byzantine={expected[0]!r} for {one.name}, {expected[1]!r} for {other.name}",
                    remedy="give all parts the same one, as strategies.create does",
                )
        self._robust = robust[0].settings if robust else None

    def most_byzantine(self, n_clients: int) -> int:
        """The most that all parts allow, each at the number of rows that it sees (see `Aggregator.most_byzantine`)."""
        return next((count for count in range((n_clients - 1) // 2, 0, -1) if self._allows(n_clients, count)), 0)

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Mix, let the rule combine, and give every row its part (see `Aggregator.combine`)."""
        gram = Gram.of(updates, call)
        matrix = torch.eye(updates.n, dtype=torch.float64)
        home = list(range(updates.n))
        diagnostics: dict[str, Tensor] = {}
        for mixer in self.mixers:
            mixing = mixer.matrix(gram)
            diagnostics |= {f"{mixer.name}_{name}": values[home] for name, values in mixing.diagnostics.items()}
            home = [mixing.home[row] for row in home]
            matrix = mixing.matrix @ matrix
            gram = gram.mixed(mixing.matrix, _after(gram.call, mixing.matrix))
            if 2 * gram.n_byzantine >= gram.n:
                raise TooFewClientsError(
                    f"n_byzantine={gram.n_byzantine}, and {mixer.name} makes {gram.n} rows of {updates.n} updates",
                    remedy=f"let {mixer.name} leave {2 * gram.n_byzantine + 1} rows or more",
                )
        combined = self._combined(updates, matrix, gram)
        influence = matrix.T @ combined.influence
        rejected = {
            row: combined.rejected[stands]
            for row, stands in enumerate(home)
            if stands in combined.rejected and float(influence[row]) == 0.0
        }
        diagnostics |= {name: values[home] for name, values in combined.diagnostics.items()}
        return Combined(update=combined.update, influence=influence, diagnostics=diagnostics, rejected=rejected)

    def _combined(self, updates: Updates, matrix: Tensor, gram: Gram) -> Combined:
        """What the rule makes of the mixed rows."""
        if not (isinstance(self.rule, GramRule) and type(self.rule).combine is GramRule.combine):
            return self.rule.combine(MixedUpdates(updates, matrix), gram.call)
        weights = self.rule.weights(gram)
        return Combined(
            update=sum_of_rows(updates, matrix.T @ weights.values),
            influence=weights.values,
            diagnostics=weights.diagnostics,
            rejected=weights.rejected,
        )

    def _n_byzantine(self, n_clients: int) -> int:
        if self._robust is None:
            return 0
        assert isinstance(self._robust, RobustSettings)
        return self._robust.resolve(n_clients=n_clients, most=self.most_byzantine(n_clients))

    def _allows(self, n_clients: int, n_byzantine: int) -> bool:
        """Whether every part withstands so many."""
        rows = n_clients
        for mixer in self.mixers:
            if n_byzantine > mixer.most_byzantine(rows):
                return False
            rows = mixer.n_rows(rows, n_byzantine)
        return n_byzantine <= self.rule.most_byzantine(rows)


def _after(call: Call, matrix: Tensor) -> Call:
    """What is known of mixed rows: as before if their number is the same, else the mean of their members' numbers."""
    m, n = matrix.shape
    if m == n:
        return call

    def mean(values: Tensor) -> Tensor:
        wide = values.to(device="cpu", dtype=torch.float64)
        total = torch.where(matrix != 0, matrix * wide, 0.0).sum(dim=1)
        return total / matrix.sum(dim=1)

    known = call.evidence
    evidence = dataclasses.replace(
        known,
        credit=None if known.credit is None else mean(known.credit),
        z=None if known.z is None else mean(known.z),
        n_examples=None if known.n_examples is None else mean(known.n_examples),
        gated=None,  # those are out already
        hotkeys=(),
    )
    return Call(n_clients=m, n_byzantine=call.n_byzantine, evidence=evidence)
