"""The few loops that must be fast, and give the same bits on every run.

Elementwise operations give the same bits whatever the number of threads and the block size. Matrix products and sums
don't: they run inside `one_thread`, on buffers of their own (whose alignment and strides never depend on where the
updates came from), and are accumulated over the blocks in float64, in order.
"""

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import Tensor

_THREADS = threading.RLock()
# up to here a pruned network of elementwise min/max beats numpy's vectorised sort of transposed chunks
_NETWORK_MAX_CLIENTS = 32


@contextmanager
def one_thread() -> Iterator[None]:
    """Run what is inside on one thread, so that sums and matrix products don't depend on the number of threads.

    BLAS splits a small product differently on two threads than on one, and the last bits differ. Its thread count is
    global, so only one such section runs at a time in a process; the count is restored at the end.
    """
    with _THREADS:
        before = torch.get_num_threads()
        if before != 1:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if before != 1:
                torch.set_num_threads(before)


def row_norms(blocks: Iterable[tuple[int, Tensor]], *, n_rows: int) -> Tensor:
    """Euclidean norm of every row, squared and summed in float64.

    Args:
        blocks: `(start, (n_rows, columns))` column blocks, in order.
        n_rows: Number of rows.

    Returns:
        (n_rows,) float64 on the CPU; not finite where the row isn't, or where its squares leave float64 (norms from
        1.3e154).
    """
    squares = torch.zeros(n_rows, dtype=torch.float64)
    for _, block in blocks:
        wide = torch.empty(block.shape, dtype=torch.float64, device=block.device).copy_(block)
        squares += wide.square_().sum(dim=1).cpu()
    return squares.sqrt()


def gram_about(blocks: Iterable[tuple[int, Tensor]], *, n_rows: int, centre: int, wide: bool) -> Tensor:
    """Inner products of the rows' differences from one of them.

    The difference of two nearby floats is exact (Sterbenz), so what the rows have in common costs no precision; the
    float32 products of one block are added to the others' in float64.

    Args:
        blocks: `(start, (n_rows, columns))` column blocks, in order.
        n_rows: Number of rows.
        centre: Index of the row that the differences are taken from.
        wide: Multiply in float64 (values whose squares leave float32) instead of the blocks' own dtype.

    Returns:
        (n_rows, n_rows) float64 on the CPU, symmetric to the bit.
    """
    gram = torch.zeros(n_rows, n_rows, dtype=torch.float64)
    for _, block in blocks:
        dtype = torch.float64 if wide else block.dtype
        difference = torch.empty(block.shape, dtype=dtype, device=block.device).copy_(block)
        difference -= difference[centre].clone()
        gram += (difference @ difference.T).to(device="cpu", dtype=torch.float64)
    return (gram + gram.T) / 2


def squared_distances(gram: Tensor) -> Tensor:
    """Squared distances between rows whose inner products (about any common centre) are known.

    Args:
        gram: (n, n) float64.

    Returns:
        (n, n) float64, symmetric, zero on the diagonal, never negative.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [0.0, 9.0]]))
    tensor([[0., 9.],
            [9., 0.]])
    """
    squares = gram.diagonal()
    distances = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min_(0.0)
    return distances.fill_diagonal_(0.0)


def weighted_sum(block: Tensor, weights: Sequence[float]) -> Tensor:
    """Sum of the rows times their weights, in float64 and in the rows' order; rows of weight 0 aren't read.

    A product and a sum for every element, rounded each: the result depends neither on the block size nor on the
    threads.

    Args:
        block: (n, columns).
        weights: n numbers.

    Returns:
        (columns,) float64.

    >>> weighted_sum(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), [0.5, 0.25])
    tensor([1.2500, 2.0000], dtype=torch.float64)
    """
    total = torch.zeros(block.shape[1], dtype=torch.float64, device=block.device)
    scaled = torch.empty_like(total)
    for row, weight in zip(block, weights, strict=True):
        if weight != 0.0:
            total.add_(scaled.copy_(row).mul_(weight))
    return total


def middle_mean(block: Tensor, *, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Mean of each column's values but the `low` smallest and `high` largest, and whose values those were.

    The kept values themselves are summed, in float64: taking the extremes off a total cancels as soon as one of them is
    huge.

    Args:
        block: (n, columns), finite.
        low: How many of the smallest are left out, 0 or more.
        high: How many of the largest are left out; `low + high < n`.

    Returns:
        The means, (columns,) float64; and (n,) float64, each row's share in them summed over the columns: every row
        whose value lies within the kept range has an equal part in that column.

    >>> middle_mean(torch.tensor([[1.0], [2.0], [3.0], [1e30]]), low=1, high=1)
    (tensor([2.5000], dtype=torch.float64), tensor([0.0000, 0.5000, 0.5000, 0.0000], dtype=torch.float64))
    """
    rows = block.shape[0]
    assert low + high < rows, "at least one value is kept"
    if low == high == 0:
        return weighted_sum(block, [1.0] * rows) / rows, torch.full((rows,), block.shape[1] / rows, dtype=torch.float64)
    mean, least, most = _middle(block, low, high)
    return mean, _shares(block, least, most)


def median_of_columns(block: Tensor) -> Tensor:
    """Median of each column; of an even number of values the middle two's midpoint.

    Args:
        block: (n, columns), finite.

    Returns:
        (columns,) float64.

    >>> median_of_columns(torch.tensor([[1.0], [2.0], [9.0], [1e30]]))
    tensor([5.5000], dtype=torch.float64)
    """
    edge = (block.shape[0] - 1) // 2
    return _middle(block, edge, edge)[0]


def mean_around_median(block: Tensor, *, keep: int) -> tuple[Tensor, Tensor]:
    """Mean of the values of each column that lie closest to its median, and whose values those were.

    Args:
        block: (n, columns), finite.
        keep: How many values are averaged, from 1 to n; of two equally far ones the earlier row's.

    Returns:
        The means, (columns,) float64; and (n,) float64, each row's share in them summed over the columns.

    Source: Xie et al., Generalized Byzantine-tolerant SGD (2018), definition 3.

    >>> mean_around_median(torch.tensor([[1.0], [2.0], [4.0], [1e30]]), keep=3)[0]
    tensor([2.3333], dtype=torch.float64)
    """
    rows = block.shape[0]
    assert 1 <= keep <= rows, "at least one value is kept"
    if keep == rows:
        return middle_mean(block, low=0, high=0)
    apart = block.to(torch.float64).sub(median_of_columns(block)).abs_()
    farthest = _middle(apart, keep - 1, rows - keep)[0]
    kept = apart < farthest
    equal = apart == farthest
    kept |= equal & (equal.cumsum(dim=0) <= keep - kept.sum(dim=0))
    total = torch.zeros(block.shape[1], dtype=torch.float64, device=block.device)
    for row, inside in zip(block, kept, strict=True):
        total += torch.where(inside, row, 0.0)
    return total.div_(keep), kept.sum(dim=1).to(device="cpu", dtype=torch.float64).div_(keep)


def _middle(block: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, smallest and largest of the kept values, the faster way for that many rows."""
    if block.shape[0] <= _NETWORK_MAX_CLIENTS or block.device.type != "cpu":
        return _middle_by_network(block, low, high)
    return _middle_by_sort(block, low, high)


def _shares(block: Tensor, least: Tensor, most: Tensor) -> Tensor:
    """(n,) float64: each row's equal part in the columns where it lies in `[least, most]`, summed over the columns."""
    inside = torch.empty(block.shape, dtype=block.dtype, device=block.device)
    torch.clamp(block, least, most, out=inside).eq_(block)  # 1 where clamping changed nothing
    return (inside @ inside.sum(dim=0).reciprocal_()).to(device="cpu", dtype=torch.float64)


def _middle_by_sort(block: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, smallest and largest of the kept values, by sorting the transposed block with numpy's vectorised sort."""
    columns = np.array(block.T.numpy(), order="C", copy=True)
    columns.sort(axis=1)
    kept = torch.from_numpy(columns[:, low : columns.shape[1] - high].T)
    total = weighted_sum(kept, [1.0] * kept.shape[0])
    return total.div_(kept.shape[0]), kept[0], kept[-1]


def _middle_by_network(block: Tensor, low: int, high: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, smallest and largest of the kept values, by a pruned sorting network of elementwise min and max."""
    rows = block.shape[0]
    work = torch.empty((rows + 1, block.shape[1]), dtype=block.dtype, device=block.device)
    work[:rows].copy_(block)
    wires, spare = list(work[:rows]), work[rows]
    for i, j, smaller, larger in selection_network(rows, low, high):
        if smaller and larger:
            torch.minimum(wires[i], wires[j], out=spare)
            torch.maximum(wires[i], wires[j], out=wires[j])
            wires[i], spare = spare, wires[i]
        elif smaller:
            torch.minimum(wires[i], wires[j], out=wires[i])
        else:
            torch.maximum(wires[i], wires[j], out=wires[j])
    kept = torch.stack(wires[low : rows - high]) if low + high + 1 < rows else wires[low][None]
    total = weighted_sum(kept, [1.0] * kept.shape[0])
    return total.div_(kept.shape[0]), kept.amin(dim=0), kept.amax(dim=0)


@cache
def selection_network(n_wires: int, low: int, high: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Comparators that bring the `low` smallest values to the first wires and the `high` largest to the last ones.

    Batcher's odd-even merge sort without what doesn't matter here: the order among the discarded and among the kept
    values.

    Args:
        n_wires: Number of values, 1 or more.
        low: How many of the smallest are discarded.
        high: How many of the largest are discarded.

    Returns:
        `(i, j, smaller, larger)` in order, `i < j`: wire i takes the smaller value where `smaller` says that it is read
        later, wire j the larger one where `larger` does.

    Source: Knuth, The Art of Computer Programming 3, section 5.2.2, algorithm M.

    >>> selection_network(3, 1, 1)
    ((0, 2, True, True), (0, 1, False, True), (1, 2, True, False))
    """
    kept, discarded, needed = "kept", "discarded", "needed"
    labels = [kept if low <= wire < n_wires - high else discarded for wire in range(n_wires)]
    network = []
    for i, j in reversed(_batcher(n_wires)):
        if labels[i] == labels[j] != needed:
            continue  # the two values share one fate, so their order is nobody's business
        network.append((i, j, labels[i] != discarded, labels[j] != discarded))
        labels[i] = labels[j] = needed
    return tuple(reversed(network))


def _batcher(n_wires: int) -> list[tuple[int, int]]:
    """Comparators `(i, j)`, `i < j`, of Batcher's odd-even merge sort."""
    if n_wires < 2:
        return []
    pairs = []
    top = 1 << (math.ceil(math.log2(n_wires)) - 1)
    p = top
    while p > 0:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(n_wires - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return pairs
