"""Loops over blocks of columns on the CPU, compiled by numba the first time they are needed (and kept on disk).

Torch's elementwise operations go to memory and back for every comparator of a selection network; here a tile of columns
stays in the first cache through the whole network. Nothing is reordered and no product is fused with a sum, so the same
values give the same bits on every machine. Values come as one flat array and the distance between the rows in it, which
lets the compiler see that neighbours are neighbours.
"""

# mypy: disable-error-code="untyped-decorator"

import numpy as np
import numpy.typing as npt
from numba import njit

from strategies.networks import Comparator, selection_network

__all__ = ["around_median", "middle", "squares", "sums"]

_Floats = npt.NDArray[np.floating]
_TILE = 128
"""Columns of a tile; 20 rows of them are 10 KiB in float32."""
_SUM_TILE = 4096
"""Columns whose sums, 32 KiB, stay in the first cache while row after row is added."""
_LANES = 64
"""Sums of a row's values that are kept apart until the end, so that they can be formed side by side."""


def middle(flat: _Floats, stride: int, shape: tuple[int, int], low: int, high: int) -> tuple[_Floats, _Floats]:
    """Mean of each column's values but the smallest and largest, and the rows' shares (see `kernels.middle_mean`).

    Args:
        flat: The values, row after row.
        stride: Distance of a row from the one before.
        shape: Number of rows and of columns.
        low: How many of the smallest are left out.
        high: How many of the largest are left out.

    Returns:
        (columns,) the means; (n,) float64 the shares, summed over the columns.
    """
    n, columns = shape
    means, shares = np.empty(columns, dtype=flat.dtype), np.zeros(n)
    _middle(flat, stride, n, _table(selection_network(n, low, high)), low, high, means, shares)
    return means, shares


def around_median(flat: _Floats, stride: int, shape: tuple[int, int], keep: int) -> tuple[_Floats, _Floats]:
    """Mean of each column's values closest to its median, and the rows' shares (see `kernels.mean_around_median`).

    Args:
        flat: As for `middle`.
        stride: As for `middle`.
        shape: As for `middle`.
        keep: How many values are averaged.

    Returns:
        (columns,) float64 the means; (n,) float64 the shares, summed over the columns.
    """
    n, columns = shape
    edge = (n - 1) // 2
    means, shares = np.empty(columns), np.zeros(n)
    halves, nearest = selection_network(n, edge, edge), selection_network(n, keep - 1, n - keep)
    _around_median(flat, stride, n, _table(halves), edge, _table(nearest), keep, means, shares)
    return means, shares


def squares(flat: _Floats, stride: int, shape: tuple[int, int]) -> _Floats:
    """(n,) float64 sum of squares of every row (see `kernels.row_squares`)."""
    n, columns = shape
    found = np.zeros(n)
    _squares(flat, stride, columns, found)
    return found


def sums(flat: _Floats, stride: int, shape: tuple[int, int], weights: _Floats) -> _Floats:
    """(columns,) float64 sum of the rows times their weights (see `kernels.weighted_sum`)."""
    found = np.empty(shape[1])
    _sums(flat, stride, weights, found)
    return found


def _table(network: tuple[Comparator, ...]) -> npt.NDArray[np.int64]:
    return np.array(network, dtype=np.int64).reshape(-1, 4)


@njit(cache=True, nogil=True, inline="always")
def _apply(network, work):  # type: ignore[no-untyped-def]
    """Put a tile's rows in a selection network's order."""
    for c in range(len(network)):
        one, other = work[network[c, 0]], work[network[c, 1]]
        if network[c, 2] and network[c, 3]:
            for k in range(_TILE):
                a, b = one[k], other[k]
                one[k] = a if a < b else b
                other[k] = b if a < b else a
        elif network[c, 2]:
            for k in range(_TILE):
                one[k] = one[k] if one[k] < other[k] else other[k]
        else:
            for k in range(_TILE):
                other[k] = other[k] if one[k] < other[k] else one[k]


@njit(cache=True, nogil=True, inline="always")
def _load(flat, stride, start, width, values, work):  # type: ignore[no-untyped-def]
    """Copy a tile twice: to be kept, and to be put in order."""
    for i in range(len(values)):
        row, mine, other = flat[i * stride + start : i * stride + start + width], values[i], work[i]
        for k in range(width):
            mine[k] = row[k]
        for k in range(_TILE):
            other[k] = mine[k]


@njit(cache=True, nogil=True)
def _middle(flat, stride, n, network, low, high, means, shares):  # type: ignore[no-untyped-def]
    columns = len(means)
    count = n - high - low
    values = np.zeros((n, _TILE), dtype=flat.dtype)
    work = np.zeros((n, _TILE), dtype=flat.dtype)
    least, most = np.zeros(_TILE, dtype=flat.dtype), np.zeros(_TILE, dtype=flat.dtype)
    inside = np.zeros(_TILE)
    parts = np.zeros((n, _TILE))
    for start in range(0, columns, _TILE):
        width = min(_TILE, columns - start)
        _load(flat, stride, start, width, values, work)
        _apply(network, work)
        for k in range(_TILE):
            least[k] = work[low, k]
            most[k] = work[low, k]
            inside[k] = 0.0
        for i in range(low + 1, n - high):
            row = work[i]
            for k in range(_TILE):
                least[k] = row[k] if row[k] < least[k] else least[k]
                most[k] = row[k] if row[k] > most[k] else most[k]
        for i in range(n):
            row = values[i]
            for k in range(_TILE):
                inside[k] += 1.0 if (row[k] >= least[k]) & (row[k] <= most[k]) else 0.0
        for k in range(_TILE):
            inside[k] = 1.0 / inside[k] if k < width else 0.0
        for i in range(n):
            row, part = values[i], parts[i]
            for k in range(_TILE):
                part[k] += inside[k] if (row[k] >= least[k]) & (row[k] <= most[k]) else 0.0
        step = 1
        while step < count:
            for i in range(low, n - high - step, 2 * step):
                row, added = work[i], work[i + step]
                for k in range(_TILE):
                    row[k] += added[k]
            step *= 2
        row = work[low]
        for k in range(width):
            means[start + k] = row[k] / count
    for i in range(n):
        for k in range(_TILE):
            shares[i] += parts[i, k]


@njit(cache=True, nogil=True)
def _around_median(flat, stride, n, halves, edge, nearest, keep, means, shares):  # type: ignore[no-untyped-def]
    columns = len(means)
    values, work = np.zeros((n, _TILE)), np.zeros((n, _TILE))
    apart, parts = np.zeros((n, _TILE)), np.zeros((n, _TILE))
    median, farthest = np.zeros(_TILE), np.zeros(_TILE)
    open_places, total = np.zeros(_TILE), np.zeros(_TILE)
    for start in range(0, columns, _TILE):
        width = min(_TILE, columns - start)
        _load(flat, stride, start, width, values, work)
        _apply(halves, work)
        one, other = work[edge], work[n - 1 - edge]
        for k in range(_TILE):
            median[k] = (one[k] + other[k]) / 2
        for i in range(n):
            mine, far, other = values[i], apart[i], work[i]
            for k in range(_TILE):
                far[k] = abs(mine[k] - median[k])
                other[k] = far[k]
        _apply(nearest, work)
        for k in range(_TILE):
            farthest[k] = work[keep - 1, k]
            open_places[k] = keep
            total[k] = 0.0
        for i in range(n):
            far = apart[i]
            for k in range(_TILE):
                open_places[k] -= 1.0 if far[k] < farthest[k] else 0.0
        for i in range(n):
            mine, far, part = values[i], apart[i], parts[i]
            for k in range(_TILE):
                equal = (far[k] == farthest[k]) & (open_places[k] > 0.0)
                kept = 1.0 if (far[k] < farthest[k]) | equal else 0.0
                open_places[k] -= 1.0 if equal else 0.0
                total[k] += kept * mine[k]
                part[k] += kept if k < width else 0.0
        for k in range(width):
            means[start + k] = total[k] / keep
    for i in range(n):
        for k in range(_TILE):
            shares[i] += parts[i, k] / keep


@njit(cache=True, nogil=True)
def _squares(flat, stride, columns, found):  # type: ignore[no-untyped-def]
    whole = columns // _LANES * _LANES
    lanes = np.zeros(_LANES)
    for i in range(len(found)):
        row = flat[i * stride : i * stride + columns]
        for k in range(_LANES):
            lanes[k] = 0.0
        for start in range(0, whole, _LANES):
            for k in range(_LANES):
                value = np.float64(row[start + k])
                lanes[k] += value * value
        for k in range(whole, columns):
            value = np.float64(row[k])
            lanes[k - whole] += value * value
        for k in range(_LANES):
            found[i] += lanes[k]


@njit(cache=True, nogil=True)
def _sums(flat, stride, weights, found):  # type: ignore[no-untyped-def]
    columns, n = len(found), len(weights)
    fours = n // 4 * 4
    for start in range(0, columns, _SUM_TILE):
        stop = min(start + _SUM_TILE, columns)
        part = found[start:stop]
        for k in range(stop - start):
            part[k] = 0.0
        for i in range(0, fours, 4):  # four rows at a time, still one after the other
            a = flat[i * stride + start : i * stride + stop]
            b = flat[(i + 1) * stride + start : (i + 1) * stride + stop]
            c = flat[(i + 2) * stride + start : (i + 2) * stride + stop]
            d = flat[(i + 3) * stride + start : (i + 3) * stride + stop]
            for k in range(stop - start):
                value = part[k] + weights[i] * np.float64(a[k])
                value += weights[i + 1] * np.float64(b[k])
                value += weights[i + 2] * np.float64(c[k])
                part[k] = value + weights[i + 3] * np.float64(d[k])
        for i in range(fours, n):
            a = flat[i * stride + start : i * stride + stop]
            for k in range(stop - start):
                part[k] += weights[i] * np.float64(a[k])
