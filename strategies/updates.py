"""The updates of one round as a matrix `(n_clients, n_params)` that never has to exist in one piece.

An update is a delta against the base model, flattened. It may be a row of a dense tensor, a 1-D tensor of its own, a
state dict or a slice of a file on disk; rules read all of them through the same column blocks, and never write to them.
"""

import math
import mmap
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, TypeVar, Union

import torch
from torch import Tensor

from strategies.errors import UpdatesError
from strategies.kernels import row_squares
from strategies.threads import in_order, one_thread, scratch

# A block that stays in the cache is read from memory once, whatever is done to it. Measured on a core with 1 MiB of L2
# and a shared L3 of 32 MiB, at 20 clients: medians take 56, 40 and 31 ms a million parameters with blocks of .5, 1 and
# 2 MiB (smaller ones spend their time in the dispatch of operations); larger ones start to fall out of the cache.
BLOCK_BYTES = 2 * 2**20
_LEAST_COLUMNS = 512
# sums of squared distances between rows of this norm stay well inside float64's range (1.8e308)
_MOST_NORM = 1e150
# no square of a row between these leaves float32's range on the way, or all of it below
_FLOAT32_NORMS = (1e-12, 1e15)
# Linux's number, which Python's mmap names from 3.13 on; other systems reserve nothing for a private map
_MAP_NORESERVE = 0x4000 if sys.platform == "linux" else 0
_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)

_Result = TypeVar("_Result")
UpdatesLike: TypeAlias = Union["Updates", Tensor, Sequence[Tensor], Sequence[Mapping[str, Tensor]]]


def _nothing(result: object) -> None:
    """Take a result that says nothing."""


class Updates:
    """Flattened deltas of n clients, read in column blocks.

    Rows are tuples of 1-D segments with the same lengths in every row (one segment a row, or one a parameter of a state
    dict). A dense tensor is kept whole beside them, since its blocks are views. Nothing is copied until a block is
    asked for, and values must not change while this object is in use (norms are computed once).

    Args:
        data: `(n_clients, n_params)` tensor; or a sequence of n_clients 1-D tensors; or a sequence of n_clients state
            dicts with the same names and shapes, flattened in the first one's order. Floating point, on one device.

    Raises:
        UpdatesError: No client, no parameter, different shapes or names, or values that aren't floating point.

    >>> updates = Updates(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    >>> updates.n, updates.d, updates.norms()
    (2, 2, tensor([5., 0.], dtype=torch.float64))
    """

    def __init__(self, data: Tensor | Sequence[Tensor] | Sequence[Mapping[str, Tensor]]) -> None:
        self._dense: Tensor | None = None
        self._rows: list[tuple[Tensor, ...]]
        if isinstance(data, Tensor):
            if data.ndim != 2 or data.shape[0] == 0:
                raise UpdatesError(
                    f"updates have the shape {tuple(data.shape)}, not (n_clients, n_params)",
                    remedy="flatten each client's delta to one row, and give at least one",
                )
            self._dense = data.detach()
            self._rows = [(row,) for row in self._dense]
        else:
            self._rows = _segments(data)
        self._norms: Tensor | None = None
        self._dtype: torch.dtype | None = None
        self._check()

    @classmethod
    def of(cls, data: UpdatesLike) -> "Updates":
        """Take updates in any of their forms; an `Updates` is returned as it is.

        Args:
            data: What the constructor takes, or `Updates`.

        Returns:
            The updates, not copied.

        Raises:
            UpdatesError: As the constructor.
        """
        return data if isinstance(data, Updates) else cls(data)

    @classmethod
    def from_file(
        cls, path: str | Path, *, n_clients: int, n_params: int, dtype: torch.dtype = torch.float32
    ) -> "Updates":
        """Read a file of `n_clients * n_params` values, row after row in the machine's byte order, without loading it.

        Args:
            path: The file; mapped into memory, never written to.
            n_clients: Number of rows, 1 or more.
            n_params: Number of values in a row, 1 or more.
            dtype: Floating-point type of the values.

        Returns:
            Updates whose blocks are read from disk when asked for.

        Raises:
            UpdatesError: The file isn't there, or doesn't have that size.
        """
        path = Path(path)
        expected = n_clients * n_params * dtype.itemsize
        found = path.stat().st_size if path.is_file() else -1
        if min(n_clients, n_params) < 1 or found != expected:
            state = "isn't a file" if found < 0 else f"has {found} bytes"
            raise UpdatesError(
                f"{path} {state}; {n_clients} x {n_params} values of {dtype} are {expected} bytes",
                remedy="give the number of clients, of parameters and the dtype that the file was written with",
            )
        # a private map of more than memory is refused unless the kernel is told that no page of it will be written
        with path.open("rb") as file:
            mapped = mmap.mmap(
                file.fileno(),
                0,
                flags=mmap.MAP_PRIVATE | _MAP_NORESERVE,
                prot=mmap.PROT_READ | mmap.PROT_WRITE,  # torch has no read-only tensors
            )
        return cls(torch.frombuffer(mapped, dtype=dtype).view(n_clients, n_params))

    @property
    def n(self) -> int:
        """Number of clients."""
        return len(self._rows)

    @property
    def d(self) -> int:
        """Number of parameters."""
        return sum(segment.numel() for segment in self._rows[0])

    @property
    def dtype(self) -> torch.dtype:
        """Type of the blocks and of an aggregate: float64 if any update is, else float32 (halves are widened)."""
        if self._dtype is None:
            wide = any(segment.dtype == torch.float64 for row in self._rows for segment in row)
            self._dtype = torch.float64 if wide else torch.float32
        return self._dtype

    @property
    def device(self) -> torch.device:
        """Where the values are."""
        return self._rows[0][0].device

    def blocks(self, columns: int | None = None) -> Iterator[tuple[int, Tensor]]:
        """Walk over the columns from the first to the last.

        Args:
            columns: Columns in a block, 1 or more; by default as many as keep a block at 2 MiB, and at least 512.

        Yields:
            `(start, block)`: index of the first column, and the values, `(n, columns or fewer)`. A block may be a view
            of the caller's memory: read it, don't write to it.

        Raises:
            UpdatesError: `columns` below 1.
        """
        for start, stop in self._spans(columns):
            yield start, self.block(start, stop)

    def each_block(self, work: Callable[[int, Tensor], _Result], take: Callable[[_Result], object] = _nothing) -> None:
        """Work on all blocks, as many at a time as torch has threads, and take the results in the columns' order.

        Args:
            work: Called with `(start, block)` as `blocks` yields them, in a thread of its own; the block may be in
                memory that the thread's next one takes again.
            take: Called with each result, in the calling thread.
        """

        def read(start: int, stop: int) -> _Result:
            parts = self.parts(start, stop)
            return work(start, parts[0] if len(parts) == 1 else self.block(start, stop))

        self.each_span(read, take)

    def each_span(self, work: Callable[[int, int], _Result], take: Callable[[_Result], object] = _nothing) -> None:
        """As `each_block`, for work that reads the columns itself.

        Args:
            work: Called with a block's first column and the one after its last.
            take: Called with each result, in the calling thread.
        """
        with one_thread() as found, torch.no_grad():
            n_threads = found if self.device.type == "cpu" else 1
            in_order(lambda span: work(*span), self._spans(None), take, n_threads=n_threads)

    def block(self, start: int, stop: int) -> Tensor:
        """Some columns of all rows.

        Args:
            start: The first, in `[0, d)`.
            stop: The one after the last, in `(start, d]`.

        Returns:
            (n, stop - start) of the updates' type; a view where they are one tensor of that type.
        """
        if self._dense is not None:
            return self._dense[:, start:stop].to(self.dtype)
        return self.copied(start, stop, torch.empty(self.n, stop - start, dtype=self.dtype, device=self.device))

    def parts(self, start: int, stop: int) -> tuple[Tensor, ...]:
        """Some columns of all rows, for those who read them at once.

        Args:
            start: As for `block`.
            stop: As for `block`.

        Returns:
            One or two blocks of the updates' type, one's rows below the other's: views, or memory that the next call in
            this thread takes again.
        """
        if self._dense is not None and self._dense.dtype == self.dtype:
            return (self._dense[:, start:stop],)
        return (self.copied(start, stop, scratch("rows", (self.n, stop - start), self.dtype, self.device)),)

    def copied(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Copy some columns of all rows into a tensor.

        Args:
            start: As for `block`.
            stop: As for `block`.
            out: (n, stop - start) of any floating-point type, on the updates' device.

        Returns:
            `out`.
        """
        if self._dense is not None:
            return out.copy_(self._dense[:, start:stop])
        for mine, row in zip(out, self._rows, strict=True):
            mine.copy_(_slice(row, start, stop))
        return out

    def _spans(self, columns: int | None) -> list[tuple[int, int]]:
        """First column of every block, and the one after its last."""
        step = max(_LEAST_COLUMNS, BLOCK_BYTES // (self.n * self.dtype.itemsize)) if columns is None else columns
        if step < 1:
            raise UpdatesError(f"a block of {columns} columns; it has 1 or more", remedy="leave columns out")
        return [(start, min(start + step, self.d)) for start in range(0, self.d, step)]

    def rows(self, indices: Sequence[int]) -> "Updates":
        """Some of the clients, in the order given; nothing is copied.

        Args:
            indices: Row numbers in `[0, n)`, one or more.

        Returns:
            Updates that share these ones' memory (and norms, where already computed).

        Raises:
            UpdatesError: No index, or one outside the range.
        """
        picked = list(indices)
        if not picked or min(picked) < 0 or max(picked) >= self.n:
            raise UpdatesError(f"rows {picked} of {self.n} clients", remedy=f"give row numbers from 0 to {self.n - 1}")
        if picked == list(range(self.n)):
            return self
        part = object.__new__(type(self))
        part._rows = [self._rows[index] for index in picked]
        one_run = picked == list(range(picked[0], picked[0] + len(picked)))
        part._dense = self._dense[picked[0] : picked[-1] + 1] if self._dense is not None and one_run else None
        part._norms = None if self._norms is None else self._norms[picked]
        part._dtype = None
        return part

    def row(self, index: int) -> Tensor:
        """One client's update.

        Args:
            index: Row number in `[0, n)`.

        Returns:
            (d,) of the segments' own type; a view where the row is one tensor.
        """
        return _slice(self._rows[index], 0, self.d)

    def norms(self) -> Tensor:
        """Euclidean norms, computed once.

        Returns:
            (n,) float64 on the CPU; not finite where a row isn't.
        """
        if self._norms is None:
            squares = torch.zeros(self.n, dtype=torch.float64)
            self.each_block(lambda _, block: row_squares(block), squares.add_)
            self._norms = squares.sqrt_()
        return self._norms.clone()

    def finite(self) -> Tensor:
        """Which rows can be aggregated: every value finite, and squares of distances too.

        Returns:
            (n,) bool on the CPU. Every finite float32 row passes; a float64 one needs a norm of 1e150 at most.
        """
        return self.norms() <= _MOST_NORM

    def norm_limit(self) -> float:
        """A norm that no row exceeds, without forming any row."""
        return float(self.norms().max())

    def within_float32(self) -> bool:
        """Whether products of the rows' values stay within float32's range, so that they may be formed in it."""
        norms = self.norms()
        sizes = norms[norms > 0].tolist()
        low, high = _FLOAT32_NORMS
        return all(low <= size <= high for size in sizes)

    def _check(self) -> None:
        if self.d == 0:
            raise UpdatesError("the updates have no parameters", remedy="give updates with at least one value")
        for index, row in enumerate(self._rows):
            for segment in row:
                if segment.dtype not in _DTYPES or segment.device != self.device:
                    raise UpdatesError(
                        f"client {index} has values of {segment.dtype} on {segment.device}; "
                        f"updates are float64, float32, float16 or bfloat16, all on {self.device}",
                        remedy="send floating-point deltas only (leave counters and masks out), on one device",
                    )


def _slice(row: tuple[Tensor, ...], start: int, stop: int) -> Tensor:
    """Columns `start` to `stop` of a row made of segments: a view if they lie in one segment."""
    pieces, offset = [], 0
    for segment in row:
        first, last = max(start - offset, 0), min(stop - offset, segment.numel())
        if first < last:
            pieces.append(segment[first:last])
        offset += segment.numel()
        if offset >= stop:
            break
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _segments(data: Sequence[Tensor] | Sequence[Mapping[str, Tensor]]) -> list[tuple[Tensor, ...]]:
    """Rows of 1-D segments out of 1-D tensors or state dicts, checked to have one layout."""
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Sequence):
        raise UpdatesError(
            f"updates are a {type(data).__name__}", remedy="give a tensor, or a list of tensors or state dicts"
        )
    named = [item if isinstance(item, Mapping) else {"update": item} for item in data]
    if not named:
        raise UpdatesError(
            "no updates: 0 clients", remedy="aggregate only rounds in which at least one client answered"
        )
    layout = _layout(named[0], client=0)
    for client, item in enumerate(named[1:], start=1):
        found = _layout(item, client=client)
        if found != layout:
            wrong = sorted(name for name in layout.keys() | found.keys() if layout.get(name) != found.get(name))
            raise UpdatesError(
                f"client {client} has the shape {found.get(wrong[0])} in {wrong[0]!r}, client 0 {layout.get(wrong[0])}",
                remedy="aggregate updates of one model: the same names and shapes from every client",
            )
    if not all(isinstance(item, Mapping) for item in data) and any(len(shape) != 1 for shape in layout.values()):
        raise UpdatesError(
            f"an update of shape {layout['update']}, not (n_params,)", remedy="flatten each client's delta"
        )
    return [
        tuple(item[name].detach().reshape(-1) for name, shape in layout.items() if math.prod(shape)) for item in named
    ]


def _layout(item: Mapping[str, Tensor], *, client: int) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor by name."""
    for name, value in item.items():
        if not isinstance(value, Tensor):
            raise UpdatesError(f"client {client} has a {type(value).__name__} in {name!r}", remedy="give tensors")
    return {name: tuple(value.shape) for name, value in item.items()}


class DerivedUpdates(Updates):
    """Rows made out of another `Updates`' as they are read: of its width, type and device.

    Subclasses give `n`, `block`, `copied`, `rows` and `row`.

    Args:
        base: What the rows are made of.
    """

    def __init__(self, base: Updates) -> None:
        self._base = base
        self._norms = None
        self._dense = None

    @property
    def d(self) -> int:
        """Number of parameters."""
        return self._base.d

    @property
    def dtype(self) -> torch.dtype:
        """The updates' type."""
        return self._base.dtype

    @property
    def device(self) -> torch.device:
        """Where the updates are."""
        return self._base.device
