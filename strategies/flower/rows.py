"""A round's rows, one a reply: in memory, or in a file that nobody else sees."""

import errno
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from strategies.errors import SettingsError
from strategies.flower.errors import SpoolError
from strategies.updates import Updates


class Rows:
    """Rows in memory.

    A reply that can't be used has a row too, which the rule sets aside and counts among the Byzantine: it is all NaN,
    and takes neither memory nor disk.

    Args:
        n_params: Number of values in a row.
        dtype: Their type.
    """

    def __init__(self, *, n_params: int, dtype: torch.dtype) -> None:
        self._unusable = torch.full((1,), torch.nan, dtype=dtype).expand(n_params)
        self._rows: list[Tensor] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, row: Tensor | None) -> None:
        """Keep a row; None is one that can't be used."""
        self._rows.append(self._unusable if row is None else row)

    def updates(self) -> Updates:
        """The rows, in the order in which they were added; of no use after `close`.

        Raises:
            SpoolError: They couldn't be kept.
        """
        return Updates(self._rows)

    def close(self) -> None:
        """Let go of the rows."""
        self._rows = []


class SpooledRows(Rows):
    """Rows in a file of a folder.

    A disk that fails is told when the rows are asked for, so that the round's replies are dealt with all the same.

    Args:
        folder: Where the file is; on a disk, since a `tmpfs` is memory again.
        n_params: Number of values in a row.
        dtype: Their type.
    """

    def __init__(self, folder: Path, *, n_params: int, dtype: torch.dtype) -> None:
        super().__init__(n_params=n_params, dtype=dtype)
        self._spool = _Spool(folder)
        self._places: list[int | None] = []
        self._lost: SpoolError | None = None

    def add(self, row: Tensor | None) -> None:
        """Write a row; None is one that can't be used."""
        super().add(None)
        place = None
        if row is not None and self._lost is None:
            try:
                place = self._spool.append(row)
            except SpoolError as error:
                self._lost = error
                self._spool.close()  # others need the disk too
        self._places.append(place)

    def updates(self) -> Updates:
        """The rows, read block by block when they are asked for; of no use after `close`.

        Raises:
            SpoolError: They couldn't be written. Reading them raises it too.
        """
        if self._lost is not None:
            raise self._lost
        return _SpooledUpdates(self._rows, places=self._places, spool=self._spool)

    def close(self) -> None:
        """Remove the file."""
        super().close()
        self._spool.close()


class _Spool:
    """A file without a name, made when something is written: it is gone once closed, however the process ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: io.FileIO | None = None

    def append(self, row: Tensor) -> int:
        """Write a row to the end; returns the place of its first byte."""
        left = row.numpy().data.cast("B")
        with self._told():
            if self._file is None:
                self._file = _file_in(self._folder)
            place = self._file.tell()
            while left:  # one call writes 2 GiB at most
                left = left[self._file.write(left) :]
        return place

    def read(self, place: int, *, into: Tensor) -> None:
        """Fill a contiguous tensor with what is there from a place on; threads may do so at the same time."""
        assert self._file is not None
        left = into.numpy().data.cast("B")
        with self._told():
            while left and (n_read := os.preadv(self._file.fileno(), [left], place)):
                left, place = left[n_read:], place + n_read
            if left:
                raise OSError(errno.EIO, f"the file ends {len(left):,} bytes too early")

    def close(self) -> None:
        """Remove the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SpoolError(
                f"the replies can't be kept in {self._folder}: {error.strerror or error}",
                remedy="make room there, or start again with another folder as spool, or with none and more memory",
            ) from error


class _SpooledUpdates(Updates):
    """Updates of which some columns are in memory at a time.

    They are read rather than mapped: the pages of a mapping count as the process's memory until somebody else needs it
    (362 MB instead of 58 for the mean of eight rows of 40 MB), and a disk that fails under one is a signal, no error.

    Args:
        unusable: As many rows of NaN as there are rows.
        places: Where each row is in the spool; None for those that stay as they are.
        spool: Where the rows are.
    """

    def __init__(self, unusable: list[Tensor], *, places: list[int | None], spool: _Spool) -> None:
        super().__init__(unusable)
        self._places = places
        self._spool = spool

    def copied(self, start: int, stop: int, out: Tensor) -> Tensor:
        """Copy some columns of all rows into a tensor (see `Updates.copied`)."""
        super().copied(start, stop, out)
        columns = torch.empty(stop - start, dtype=self.dtype)
        for row, place in zip(out, self._places, strict=True):
            if place is not None:
                self._spool.read(place + start * self.dtype.itemsize, into=columns)
                row.copy_(columns)
        return out

    def rows(self, indices: Sequence[int]) -> Updates:
        """Some of the clients (see `Updates.rows`)."""
        part = super().rows(indices)
        if isinstance(part, _SpooledUpdates) and part is not self:
            part._places, part._spool = [self._places[i] for i in indices], self._spool  # noqa: SLF001 -- its own class
        return part

    def row(self, index: int) -> Tensor:
        """One client's update (see `Updates.row`)."""
        row, place = super().row(index), self._places[index]
        if place is None:
            return row
        row = row.clone()
        self._spool.read(place, into=row)
        return row


def check_folder(folder: Path) -> None:
    """Try a folder out.

    Raises:
        SettingsError: No file can be written there.
    """
    try:
        with _file_in(folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise SettingsError(
            f"spool={str(folder)!r}: no file can be written there: {error.strerror or error}",
            remedy="name a folder that exists, on a disk with room for a round's replies, or leave it out",
        ) from error


def _file_in(folder: Path) -> io.FileIO:
    return tempfile.TemporaryFile("w+b", buffering=0, dir=folder)
