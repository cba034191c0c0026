"""Rules that weigh rows by where they lie to points that no client sent: the origin, a centre, a trusted update."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from strategies.aggregation import Call, Combined
from strategies.base import Gram, GramRule, sum_of_rows
from strategies.errors import EvidenceError
from strategies.kernels import median_of_columns
from strategies.threads import scratch
from strategies.updates import DerivedUpdates, Updates

__all__ = ["LastPointRule", "PointRule", "WithPoints", "columnwise_median", "evidence_row", "origin"]


class WithPoints(DerivedUpdates):
    """Updates, and more rows below them, converted to their type one block at a time.

    Args:
        base: The updates.
        points: `(n_params,)` finite tensors.

    >>> both = WithPoints(Updates(torch.tensor([[1.0, 2.0]])), [torch.tensor([3.0, 4.0])])
    >>> both.n, both.norms(), both.row(1)
    (2, tensor([2.2361, 5.0000], dtype=torch.float64), tensor([3., 4.]))
    """

    def __init__(self, base: Updates, points: Sequence[Tensor]) -> None:
        super().__init__(base)
        self._points = [point.detach() for point in points]

    @property
    def n(self) -> int:
        """Number of updates and points."""
        return self._base.n + len(self._points)

    def block(self, start: int, stop: int) -> Tensor:
        """Some columns of updates and points, in a new tensor (see `Updates.block`)."""
        return self.copied(start, stop, torch.empty(self.n, stop - start, dtype=self.dtype, device=self.device))

    def copied(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Copy some columns of updates and points (see `Updates.copied`)."""
        self._base.copied(start, stop, out[: self._base.n])
        self._copy_points(start, stop, out[self._base.n :])
        return out

    def parts(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """Some columns of the updates, not copied if they needn't be, and of the points (see `Updates.parts`)."""
        points = scratch("points", (len(self._points), stop - start), self.dtype, self.device)
        return *self._base.parts(start, stop), self._copy_points(start, stop, points)

    def _copy_points(self, start: int, stop: int, out: Tensor) -> Tensor:
        for mine, point in zip(out, self._points, strict=True):
            mine.copy_(point[start:stop])
        return out

    def rows(self, indices: Sequence[int]) -> Updates:
        """Some of the rows; points come after updates (see `Updates.rows`)."""
        n = self._base.n
        points = [self._points[index - n] for index in indices if index >= n]
        updates = [index for index in indices if index < n]
        if not updates:
            return Updates([point.to(device=self.device, dtype=self.dtype) for point in points])
        base = self._base.rows(updates)
        return WithPoints(base, points) if points else base

    def row(self, index: int) -> Tensor:
        """One update or point: (d,)."""
        return self._base.row(index) if index < self._base.n else self._points[index - self._base.n]

    def norms(self) -> Tensor:
        """(n,) float64 Euclidean norms; those of the updates aren't computed again."""
        if self._norms is None:
            norms = [torch.zeros(1) if _is_origin(point) else self._alone(point).norms() for point in self._points]
            self._norms = torch.cat([self._base.norms(), *norms])
        return self._norms.clone()

    def _alone(self, point: Tensor) -> Updates:
        return Updates([point.to(device=self.device, dtype=self.dtype)])


class PointRule(GramRule):
    """A `GramRule` whose Gram matrix has more points below the clients' rows.

    Formed in the same pass as the rest, their products are as precise: to work them out from norms and distances would
    cancel as soon as one update is huge. Weights are given to the rows and to the points.
    """

    @abstractmethod
    def points(self, updates: Updates, call: Call) -> list[Tensor]:
        """The points, the same number at every call.

        Args:
            updates: The rows that can be used.
            call: What the call is about.

        Returns:
            `(n_params,)` finite tensors.
        """

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Weigh rows and points and add them up; tell of the rows only (see `GramRule.combine`)."""
        points = self.points(updates, call)
        both = WithPoints(updates, points)
        weights = self.weights(self.gram(both, call))
        counted = [True] * updates.n + [not _is_origin(point) for point in points]
        return Combined(
            update=sum_of_rows(both, torch.where(torch.tensor(counted), weights.values, 0.0)),
            influence=weights.values[: updates.n],
            diagnostics={name: values[: updates.n] for name, values in weights.diagnostics.items()},
            rejected=weights.rejected,
        )

    def gram(self, both: Updates, call: Call) -> Gram:
        """The Gram matrix of rows and points, about the row of median norm."""
        return Gram.of(both, call)


class LastPointRule(PointRule):
    """A `PointRule` that measures from its last point, and so is exact however many rows are far away.

    Products are of the differences from that point, in float64.
    """

    def gram(self, both: Updates, call: Call) -> Gram:
        """The Gram matrix of rows and points, about the last point (see `PointRule.gram`)."""
        return Gram.about(both, call, centre=both.n - 1, wide=True)


def origin(updates: Updates) -> Tensor:
    """(n_params,) the update that changes nothing, without the memory for it."""
    return torch.zeros(1, dtype=updates.dtype, device=updates.device).expand(updates.d)


def _is_origin(point: Tensor) -> bool:
    """Whether a point is what `origin` makes: it adds nothing to a sum, and has no norm."""
    return point.stride(0) == 0 and float(point[0]) == 0.0


def columnwise_median(updates: Updates) -> Tensor:
    """(n_params,) the median of every coordinate, in the updates' type."""
    median = torch.empty(updates.d, dtype=updates.dtype, device=updates.device)

    def fill(start: int, block: Tensor) -> None:
        median[start : start + block.shape[1]] = median_of_columns(block.to(torch.float64))

    updates.each_block(fill)
    return median


def evidence_row(row: Tensor | None, *, name: str, rule: str, updates: Updates) -> Tensor:
    """An update given as evidence, checked to be there and to fit.

    Args:
        row: `Evidence.root` or `Evidence.previous`.
        name: Which of them.
        rule: Name of the rule that needs it.
        updates: The updates that it belongs to.

    Returns:
        (n_params,) the row.

    Raises:
        EvidenceError: There is none, or it has another length.
    """
    if row is None:
        raise EvidenceError(
            f"{rule} needs the {name} update, and none was given",
            remedy=f"pass evidence=Evidence({name}=...), or choose a rule that needs none, such as norm_clipping",
        )
    if len(row) != updates.d:
        raise EvidenceError(
            f"the {name} update has {len(row)} parameters, the clients' have {updates.d}",
            remedy="give an update of the same model, flattened in the same order",
        )
    if not bool(Updates([row.to(device=updates.device, dtype=updates.dtype)]).finite()):
        raise EvidenceError(
            f"the {name} update has values too large for {updates.dtype}", remedy="give it in the updates' own type"
        )
    return row
