"""Loops over blocks of columns on the CPU, compiled by numba the first time they are needed (and kept on disk).

Torch's elementwise operations go to memory and back for every comparator of a selection network; here a tile of columns
stays in the first cache through the whole network. Nothing is reordered and no product is fused with a sum, so the same
values give the same bits on every machine; only the inner products are added up in vectors as wide as the machine's.
Values come as one flat array and the distance between the rows in it, which lets the compiler see that neighbours are
neighbours.
"""

# mypy: disable-error-code="call-arg, import-untyped, no-untyped-call, untyped-decorator"

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from strategies.networks import Comparator, selection_network

__all__ = ["around_median", "middle", "product_rows", "products", "squares", "sums"]

_Floats = npt.NDArray[np.floating]
Flat = tuple[_Floats, int, tuple[int, int]]
"""Values, row after row; the distance of a row from the one before; the number of rows and of columns."""
_TILE = 128
"""Columns of a tile; 20 rows of them are 10 KiB in float32."""
_SUM_TILE = 4096
"""Columns whose sums, 32 KiB, stay in the first cache while row after row is added."""
_PRODUCT_TILE = 1024
"""Columns whose products are formed at once; four rows of them, 16 KiB, stay in the first cache beside the others."""
_ROWS_AT_ONCE = 4
"""Rows that are multiplied with as many others in one loop; their 16 sums stay in registers."""
_VECTOR = 16
"""Values of the widest vector; a tile is filled up with zeros to a multiple of these."""
_LINE_BYTES = 64
"""Of memory that is fetched at once, nearly everywhere."""
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


def sums(upper: Flat, lower: Flat | None, weights: _Floats, out: _Floats) -> None:
    """Sums of the rows times their weights (see `kernels.weighted_sum`).

    Args:
        upper: Rows.
        lower: As many columns of further rows, of the same type, below them.
        weights: (n,) float64, of all rows.
        out: (columns,) of the rows' type, where the float64 sums are written, rounded.
    """
    flat, stride, (n_upper, _) = upper
    below, below_stride, _ = lower if lower is not None else (flat[:0], 0, (0, 0))
    _sums(flat, stride, weights[:n_upper], below, below_stride, weights[n_upper:], out)


def product_rows(n: int) -> tuple[int, int]:
    """Shape of the memory that `products` works in, for n rows in all."""
    return -(-n // _ROWS_AT_ONCE) * _ROWS_AT_ONCE + 1, _PRODUCT_TILE


def products(upper: Flat, lower: Flat | None, centre: int, work: _Floats, *, with_centre: bool) -> _Floats:
    """Inner products of the rows' differences from one of them (see `kernels.products`).

    Args:
        upper: Rows.
        lower: As many columns of further rows, of the same type, below them.
        centre: Number of the row that the differences are taken from.
        work: Memory of the shape `product_rows`, of the type in which differences and products are formed.
        with_centre: Whether the centre itself is wanted too.

    Returns:
        (n - 1, n - 1) float64, of the differences of all other rows; with the centre itself, last, (n, n). Only what is
        on the diagonal and above it.
    """
    flat, stride, (n_upper, columns) = upper
    below, below_stride, (n_lower, _) = lower if lower is not None else (flat[:0], 0, (0, columns))
    n = n_upper + n_lower - (0 if with_centre else 1)
    found = np.zeros((len(work) - 1, len(work) - 1))
    work[n:-1] = 0.0
    shape = (n_upper, n_lower, columns)
    _products(flat, stride, below, below_stride, shape, centre, with_centre, work, found)
    return found[:n, :n]


def _table(network: tuple[Comparator, ...]) -> npt.NDArray[np.int64]:
    return np.array(network, dtype=np.int64).reshape(-1, 4)


@intrinsic
def _fetch(typing, flat, place):  # type: ignore[no-untyped-def]  # noqa: ARG001 -- numba's signature
    """Have the processor bring an array's value, and those beside it, to its cache while it goes on."""

    def emitted(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        number, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        address = builder.bitcast(builder.gep(array.data, [arguments[1]]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(function, [address, number(0), number(2), number(1)])  # to be read, kept in the second cache
        return context.get_dummy_value()

    return types.void(flat, types.intp), emitted


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
def _sums(upper, upper_stride, upper_weights, lower, lower_stride, lower_weights, out):  # type: ignore[no-untyped-def]
    total = np.empty(_SUM_TILE)
    for start in range(0, len(out), _SUM_TILE):
        part = total[: min(_SUM_TILE, len(out) - start)]
        for k in range(len(part)):
            part[k] = 0.0
        _add(upper[start:], upper_stride, upper_weights, part)
        _add(lower[start:], lower_stride, lower_weights, part)
        rounded = out[start : start + len(part)]
        for k in range(len(part)):
            rounded[k] = part[k]


@njit(cache=True, nogil=True)
def _add(flat, stride, weights, part):  # type: ignore[no-untyped-def]
    """Add rows times their weights, eight rows at a time, still one after the other."""
    width, eights = len(part), len(weights) // 8 * 8
    for i in range(0, eights, 8):
        a, b = flat[i * stride : i * stride + width], flat[(i + 1) * stride : (i + 1) * stride + width]
        c, d = flat[(i + 2) * stride : (i + 2) * stride + width], flat[(i + 3) * stride : (i + 3) * stride + width]
        e, f = flat[(i + 4) * stride : (i + 4) * stride + width], flat[(i + 5) * stride : (i + 5) * stride + width]
        g, h = flat[(i + 6) * stride : (i + 6) * stride + width], flat[(i + 7) * stride : (i + 7) * stride + width]
        for k in range(width):
            value = part[k] + weights[i] * np.float64(a[k])
            value += weights[i + 1] * np.float64(b[k])
            value += weights[i + 2] * np.float64(c[k])
            value += weights[i + 3] * np.float64(d[k])
            value += weights[i + 4] * np.float64(e[k])
            value += weights[i + 5] * np.float64(f[k])
            value += weights[i + 6] * np.float64(g[k])
            part[k] = value + weights[i + 7] * np.float64(h[k])
    for i in range(eights, len(weights)):
        a = flat[i * stride : i * stride + width]
        for k in range(width):
            part[k] += weights[i] * np.float64(a[k])


@njit(cache=True, nogil=True)
def _products(  # type: ignore[no-untyped-def]
    upper, upper_stride, lower, lower_stride, shape, centre, with_centre, work, found
):
    n_upper, n_lower, columns = shape
    n_rows = len(found)
    n_loops = (n_rows // 4) * (n_rows // 4 + 1) // 2
    line = _LINE_BYTES // upper.itemsize
    middle_row = work[n_rows]
    for start in range(0, columns, _PRODUCT_TILE):
        width = min(_PRODUCT_TILE, columns - start)
        full = -(-width // _VECTOR) * _VECTOR
        if centre < n_upper:
            row = upper[centre * upper_stride + start : centre * upper_stride + start + width]
        else:
            place = (centre - n_upper) * lower_stride + start
            row = lower[place : place + width]
        for k in range(width):
            middle_row[k] = row[k]
        taken = 0
        for i in range(n_upper + n_lower):
            if i == centre:
                continue
            if i < n_upper:
                row = upper[i * upper_stride + start : i * upper_stride + start + width]
            else:
                place = (i - n_upper) * lower_stride + start
                row = lower[place : place + width]
            mine = work[taken]
            for k in range(width):
                mine[k] = row[k] - middle_row[k]
            taken += 1
        if with_centre:
            mine = work[taken]
            for k in range(width):
                mine[k] = middle_row[k]
            taken += 1
        for i in range(taken):
            mine = work[i]
            for k in range(width, full):
                mine[k] = 0.0
        # the next tile's rows come from memory while this one's are multiplied
        ahead, after = start + _PRODUCT_TILE, min(columns, start + 2 * _PRODUCT_TILE)
        n_done, n_asked = 0, 0
        for i in range(0, n_rows, 4):
            for j in range(i, n_rows, 4):
                n_done += 1
                while n_asked * n_loops < n_done * n_upper:
                    for k in range(ahead, after, line):
                        _fetch(upper, n_asked * upper_stride + k)
                    n_asked += 1
                _four_by_four(work, i, j, full, found)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _four_by_four(work, i, j, width, found):  # type: ignore[no-untyped-def]
    """Add four rows' products with four others; the loop's sums are as many vectors, in registers."""
    a0, a1, a2, a3 = work[i], work[i + 1], work[i + 2], work[i + 3]
    b0, b1, b2, b3 = work[j], work[j + 1], work[j + 2], work[j + 3]
    s00 = s01 = s02 = s03 = s10 = s11 = s12 = s13 = work.dtype.type(0.0)
    s20 = s21 = s22 = s23 = s30 = s31 = s32 = s33 = work.dtype.type(0.0)
    for k in range(width):
        x0, x1, x2, x3 = a0[k], a1[k], a2[k], a3[k]
        y0, y1, y2, y3 = b0[k], b1[k], b2[k], b3[k]
        s00, s01, s02, s03 = s00 + x0 * y0, s01 + x0 * y1, s02 + x0 * y2, s03 + x0 * y3
        s10, s11, s12, s13 = s10 + x1 * y0, s11 + x1 * y1, s12 + x1 * y2, s13 + x1 * y3
        s20, s21, s22, s23 = s20 + x2 * y0, s21 + x2 * y1, s22 + x2 * y2, s23 + x2 * y3
        s30, s31, s32, s33 = s30 + x3 * y0, s31 + x3 * y1, s32 + x3 * y2, s33 + x3 * y3
    for m, sums_of_row in enumerate(
        ((s00, s01, s02, s03), (s10, s11, s12, s13), (s20, s21, s22, s23), (s30, s31, s32, s33))
    ):
        for o in range(4):
            found[i + m, j + o] += sums_of_row[o]
