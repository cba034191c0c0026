"""The few loops that must be fast, and give the same bits on every run.

Every function here works on one block of columns, in compiled loops on the CPU and in torch's operations on a GPU. They
give each column the same bits whatever the block size; sums over the columns are of one block, and whoever calls adds
them up over the blocks in float64, in order.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from strategies import compiled
from strategies.threads import scratch


def row_squares(block: Tensor) -> Tensor:
    """Sum of squares of every row, in float64.

    Args:
        block: (n, columns).

    Returns:
        (n,) float64 on the CPU; not finite where the row isn't, or where its squares leave float64 (norms from
        1.3e154).
    """
    if _on_cpu(block):
        return torch.from_numpy(compiled.squares(*_flat(block)))
    return block.to(torch.float64).square_().sum(dim=1).cpu()


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


def products(parts: Sequence[Tensor], *, centre: int, dtype: torch.dtype, with_centre: bool) -> Tensor:
    """Inner products of the rows' differences from one of them and, if asked for, last, of that one itself.

    Args:
        parts: One or two blocks of the same columns, one's rows below the other's.
        centre: Number of the row that the differences are taken from; its own, zero, is left out.
        dtype: float32 or float64: what differences and products are formed in. On a CPU float32 products of a thousand
            columns are added up in it, further ones in float64.
        with_centre: Whether the centre itself, not a difference, is one more row.

    Returns:
        (n - 1, n - 1) or (n, n) float64 on the CPU, to be read on the diagonal and above it only.

    >>> rows = torch.tensor([[1.0, 2.0], [4.0, 6.0], [1.0, 3.0]])
    >>> products([rows], centre=0, dtype=torch.float32, with_centre=True).triu()
    tensor([[25.,  4., 11.],
            [ 0.,  1.,  2.],
            [ 0.,  0.,  5.]], dtype=torch.float64)
    """
    n = sum(len(part) for part in parts) - (not with_centre)
    if _on_cpu(parts[0]):
        work = scratch("products", compiled.product_rows(n), dtype, parts[0].device).numpy()
        upper, *lower = (_flat(part) for part in parts)
        half = compiled.products(upper, lower[0] if lower else None, centre, work, with_centre=with_centre)
        return torch.from_numpy(half)
    rows = torch.cat([part.to(dtype) for part in parts])
    middle = rows[centre].clone()
    others = torch.cat([rows[:centre], rows[centre + 1 :]]) - middle
    if with_centre:
        others = torch.cat([others, middle[None]])
    return (others @ others.T).to(device="cpu", dtype=torch.float64)


def weighted_sum(parts: Sequence[Tensor], weights: Tensor, out: Tensor) -> None:
    """Sum of the rows times their weights, in float64 and in the rows' order.

    Args:
        parts: One or two blocks of the same columns, one's rows below the other's.
        weights: (n,) float64 on the CPU, of the rows of both.
        out: (columns,) of the blocks' type and device: where the sums are written, rounded.

    >>> sums = torch.empty(2)
    >>> weighted_sum([torch.tensor([[1.0, 2.0], [3.0, 4.0]])], torch.tensor([0.5, 0.25]).double(), sums)
    >>> sums
    tensor([1.2500, 2.0000])
    """
    if _on_cpu(out):
        upper, *lower = (_flat(part) for part in parts)
        compiled.sums(upper, lower[0] if lower else None, weights.numpy(), out.numpy())
        return
    out.copy_(weights.to(out.device) @ torch.cat([part.to(torch.float64) for part in parts]))


def middle_mean(block: Tensor, *, low: int, high: int) -> tuple[Tensor, Tensor]:
    """Mean of each column's values but the `low` smallest and `high` largest, and whose values those were.

    The kept values themselves are summed, in pairs, pairs of pairs and so on: taking the extremes off a total cancels
    as soon as one of them is huge.

    Args:
        block: (n, columns), finite, no n values of which sum to more than the type holds.
        low: How many of the smallest are left out, 0 or more.
        high: How many of the largest are left out; `low + high < n`.

    Returns:
        The means, (columns,) of the block's type; and (n,) float64, each row's share in them summed over the columns:
        every row whose value lies within the kept range has an equal part in that column.

    >>> middle_mean(torch.tensor([[1.0], [2.0], [3.0], [1e30]]), low=1, high=1)
    (tensor([2.5000]), tensor([0.0000, 0.5000, 0.5000, 0.0000], dtype=torch.float64))
    """
    rows = block.shape[0]
    assert low + high < rows, "at least one value is kept"
    if _on_cpu(block):
        means, shares = compiled.middle(*_flat(block), low, high)
        return torch.from_numpy(means), torch.from_numpy(shares)
    kept = block.sort(dim=0).values[low : rows - high]
    inside = ((block >= kept[0]) & (block <= kept[-1])).to(torch.float64)
    return kept.mean(dim=0), (inside @ inside.sum(dim=0).reciprocal_()).cpu()


def median_of_columns(block: Tensor) -> Tensor:
    """Median of each column; of an even number of values the middle two's midpoint.

    Args:
        block: (n, columns), finite; as for `middle_mean`.

    Returns:
        (columns,) of the block's type.

    >>> median_of_columns(torch.tensor([[1.0], [2.0], [9.0], [1e30]]))
    tensor([5.5000])
    """
    edge = (block.shape[0] - 1) // 2
    return middle_mean(block, low=edge, high=edge)[0]


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
    assert 1 <= keep <= block.shape[0], "at least one value is kept"
    if _on_cpu(block):
        means, shares = compiled.around_median(*_flat(block), keep)
        return torch.from_numpy(means), torch.from_numpy(shares)
    wide = block.to(torch.float64)
    apart = (wide - median_of_columns(wide)).abs_()
    nearest = apart.sort(dim=0, stable=True).indices[:keep]
    counts = torch.bincount(nearest.flatten(), minlength=block.shape[0]).to(device="cpu", dtype=torch.float64)
    return wide.gather(0, nearest).mean(dim=0), counts / keep


def _on_cpu(block: Tensor) -> bool:
    return block.device.type == "cpu"


def _flat(block: Tensor) -> compiled.Flat:
    """A block's memory as one flat array, the distance between its rows in it, and its shape."""
    if block.stride(1) != 1 or (block.shape[0] > 1 and block.stride(0) < block.shape[1]):
        block = block.contiguous()
    rows, columns = block.shape
    stride = block.stride(0) if rows > 1 else columns
    flat = block.detach().as_strided(((rows - 1) * stride + columns,), (1,))
    return flat.numpy(), stride, (rows, columns)
