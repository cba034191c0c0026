"""The model that was sent: what a reply adds to it, and what it becomes with an aggregate."""

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord
from torch import Tensor

from strategies.errors import UpdatesError
from strategies.flower.errors import ReplyError

_HEADER_BYTES = 4096
"""Room for the header of a NumPy array, beside its values."""


class Model:
    """The arrays that were sent, as one flat vector of their floating-point values; nothing is copied.

    Args:
        arrays: As Flower sends them.

    Raises:
        UpdatesError: None of the arrays is of floating point.
    """

    def __init__(self, arrays: ArrayRecord) -> None:
        self._sent = arrays
        self._values = {name: _view(array.data) for name, array in arrays.items()}
        self._floating = [name for name, value in self._values.items() if value.dtype.kind == "f" and value.size]
        if not self._floating:
            raise UpdatesError(
                "the model has no floating-point arrays", remedy="start with the arrays that clients train"
            )
        wide = any(self._values[name].dtype.itemsize > 4 for name in self._floating)
        self._dtype: type[np.float32 | np.float64] = np.float64 if wide else np.float32

    @property
    def n_params(self) -> int:
        """Number of floating-point values."""
        return sum(self._values[name].size for name in self._floating)

    @property
    def dtype(self) -> torch.dtype:
        """Type of a row: float64 if any of the values is, else float32."""
        return torch.float64 if self._dtype is np.float64 else torch.float32

    def delta(self, record: ArrayRecord) -> Tensor:
        """What a reply's arrays add to the ones sent.

        Args:
            record: A stranger's arrays.

        Returns:
            (n_params,) of the model's `dtype`.

        Raises:
            ReplyError: Other names or shapes, or bytes that aren't such an array.
        """
        if record.keys() != self._values.keys():
            wrong = min(record.keys() ^ self._values.keys())
            raise ReplyError("malformed", f"array {wrong[:100]!r} is {'extra' if wrong in record else 'missing'}")
        row = np.empty(self.n_params, dtype=self._dtype)
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):  # what isn't finite is the rule's to set aside
            for name in self._floating:
                own = self._values[name]
                theirs = _decoded(record[name], name=name, like=own)
                part = row[start : start + own.size]
                np.subtract(theirs.reshape(-1), own.reshape(-1), out=part, dtype=self._dtype, casting="same_kind")
                start += own.size
        return torch.from_numpy(row)

    def plus(self, update: Tensor) -> ArrayRecord:
        """The model with an update, in its own names, order, shapes and types.

        Args:
            update: (n_params,) finite.

        Returns:
            The arrays; those that aren't of floating point are the ones sent.

        Raises:
            UpdatesError: A value leaves the range of its array's type.
        """
        flat, start = update.numpy(), 0
        moved: dict[str, Array] = {}
        for name in self._floating:
            own = self._values[name]
            with np.errstate(over="ignore"):
                step = flat[start : start + own.size].reshape(own.shape)
                value = np.asarray(np.add(own, step, dtype=self._dtype)).astype(own.dtype, copy=False)
            if not np.isfinite(value).all():
                raise UpdatesError(
                    f"the aggregate takes array {name!r} out of the range of {own.dtype}",
                    remedy="choose a rule that bounds updates, or start with arrays of a wider type",
                )
            moved[name] = Array(value)
            start += own.size
        return ArrayRecord({name: moved.get(name, array) for name, array in self._sent.items()})


def _view(data: bytes) -> npt.NDArray[Any]:
    """The array in the bytes of a `.npy` file, not copied."""
    shape, by_column, dtype, body = _parsed(data)
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if by_column else "C")


def _parsed(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], memoryview]:
    """Shape, order, type and values of a `.npy` file; nothing of the shape's size is allocated."""
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, by_column, dtype = read(stream)
    return shape, by_column, dtype, memoryview(data)[stream.tell() :]


def _decoded(array: Array, *, name: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A stranger's array, checked to be one of that shape before it is looked at.

    Raises:
        ReplyError: It isn't.
    """
    if len(array.data) > like.size * 8 + _HEADER_BYTES:
        raise ReplyError("malformed", f"array {name!r} has {len(array.data):,} bytes for {like.size:,} values")
    try:
        shape, _, dtype, body = _parsed(array.data)
    except Exception as error:  # whatever numpy raises on a stranger's bytes, they aren't an array
        raise ReplyError("malformed", f"array {name!r} can't be decoded: {type(error).__name__}") from error
    if shape != like.shape or dtype.kind != "f" or dtype.itemsize > 8:
        raise ReplyError(
            "malformed", f"array {name!r} is {str(shape)[:60]} of {str(dtype)[:30]}, not {like.shape} of floats"
        )
    if len(body) != like.size * dtype.itemsize:
        raise ReplyError("malformed", f"array {name!r} has {len(body):,} bytes after its header")
    return _view(array.data)
