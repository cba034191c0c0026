"""Writing a file so that it is either the old one or the new one, whatever crashes."""

import contextlib
import glob
import os
import tempfile
import time
from pathlib import Path

LEFTOVER_S = 600
"""No file is being written for so long."""


def write_new(path: Path, data: bytes) -> None:
    """Write a file that doesn't exist yet, readable by its owner alone, and flush it to the disk.

    Raises:
        OSError: it exists, or can't be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_atomically(path: Path, data: bytes, *, mode: int = 0o644, lasts: bool = True) -> None:
    """Write or replace a file through a temporary one beside it.

    Args:
        path: where; its folder must exist.
        data: the whole content.
        mode: the file's permissions.
        lasts: whether the new file has to outlive a power cut; otherwise the old one may be back, whole, after it.

    Raises:
        OSError: the folder can't be written to or the disk is full; the old file is then as it was.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    if lasts:
        sync_folder(path.parent)


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files of a file that crashes have left beside it.

    A writer at work needs its own, so younger ones than `LEFTOVER_S` stay.

    Raises:
        OSError: the folder can't be read or written to.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        with contextlib.suppress(FileNotFoundError):  # another writer was faster
            if leftover.is_file() and time.time() - leftover.stat().st_mtime > LEFTOVER_S:
                leftover.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename in it outlives a power cut.

    Raises:
        OSError: the folder can't be opened.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
