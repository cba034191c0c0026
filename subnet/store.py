"""A run's folder: models, updates, signed contributions, receipts and round records, each named by its SHA-256.

```
RUN/
  subnet.toml, run.json          what was run, and what a resumed run must agree with
  ledger.sqlite                  the money (tokenomics.ledger); ledger.sqlite.url where that is on a server
  models/HASH.safetensors        every base model
  updates/HASH.safetensors       every update received, as received
  contributions/HASH.json        its signed envelope
  receipts/HASH.json             why each participant earned what it earned
  rounds/HASH.json               what the round's numbers were computed from
  enrolments/HOTKEY.json         who works for which coldkey, in the hotkey's signed words (subnet.enrolments)
  orders/                        what coldkeys want moved: waiting, settled, refused (subnet.orders)
```

An object is written to a temporary file, flushed to the disk and renamed, so a name that exists is whole.
"""

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any, Literal

from subnet.errors import StoreError
from tokenomics.canonical import canonical_json, sha256_hex

Kind = Literal["models", "updates", "contributions", "receipts", "rounds"]
_SUFFIX: dict[Kind, str] = {
    "models": ".safetensors",
    "updates": ".safetensors",
    "contributions": ".json",
    "receipts": ".json",
    "rounds": ".json",
}

_UNFINISHED = ".writing-"
"""How the name of a file begins that isn't whole yet."""


class Store:
    """Content-addressed files below one folder.

    Args:
        root: the run's folder; made with its parents when missing.

    Raises:
        StoreError: the folder can't be made or written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            for kind in _SUFFIX:
                (root / kind).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _write_error(root, error) from error

    def folder(self, kind: Kind) -> Path:
        """Return the folder in which objects of a kind lie."""
        return self.root / kind

    def path(self, kind: Kind, digest: str) -> Path:
        """Return where the object named `digest` lies, or would."""
        return self.root / kind / f"{digest}{_SUFFIX[kind]}"

    def put(self, kind: Kind, data: bytes) -> str:
        """Write `data` and return its hash, by which it is found again. Writing it twice is harmless.

        Args:
            kind: which folder.
            data: what to write.

        Raises:
            StoreError: the disk is full or the folder can't be written to.
        """
        name = sha256_hex(data)
        write_atomically(self.path(kind, name), data)
        return name

    def get(self, kind: Kind, digest: str) -> bytes:
        """Return the object named `digest`, after checking that it still has that hash.

        Raises:
            StoreError: it is missing or was altered.
        """
        path = f"{self.root}/{kind}/{digest}{_SUFFIX[kind]}"
        try:
            with open(path, "rb") as file:  # noqa: PTH123 - a fifth of the time of a small file is pathlib's
                data = file.read()
        except OSError as error:
            raise StoreError(
                f"{path} can't be read: {error.strerror}", remedy="restore the run's folder from a copy"
            ) from error
        if sha256_hex(data) != digest:
            raise StoreError(
                f"{path} was altered: its content no longer has the hash it is named by",
                remedy="restore the file from a copy",
            )
        return data

    def sweep(self) -> None:
        """Remove what a crash has left half written. For whoever holds the run's lock: nobody else writes here then.

        Raises:
            StoreError: the folder can't be written to.
        """
        for kind in _SUFFIX:
            for path in self.folder(kind).glob(f"{_UNFINISHED}*"):
                try:
                    path.unlink(missing_ok=True)
                except OSError as error:
                    raise _write_error(path, error) from error

    def sync(self) -> None:
        """Make sure that the names of all objects are on the disk too, before a ledger names them.

        Raises:
            StoreError: the disk reports an error.
        """
        for kind in _SUFFIX:
            try:
                handle = os.open(self.root / kind, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)
            except OSError as error:
                raise _write_error(self.root / kind, error) from error

    def put_json(self, kind: Kind, value: dict[str, Any]) -> str:
        """Write a document in canonical form and return its hash."""
        return self.put(kind, canonical_json(value))

    def get_json(self, kind: Kind, digest: str) -> dict[str, Any]:
        """Return the document named `digest`."""
        value: dict[str, Any] = json.loads(self.get(kind, digest))
        return value


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that it is whole or not there, whatever happens.

    Raises:
        StoreError: the disk is full or the folder can't be written to.
    """
    try:
        if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
            return
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_UNFINISHED)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _write_error(path, error) from error


def _write_error(path: Path, error: OSError) -> StoreError:
    remedy = {
        errno.ENOSPC: "free some space and give the same command again: it goes on from the last settled round",
        errno.EACCES: "choose another folder with --out, or change its permissions",
        errno.EROFS: "choose another folder with --out: this one is on a read-only file system",
        errno.ENOTDIR: "choose another folder with --out: part of this path is a file",
        errno.EEXIST: "choose another folder with --out: part of this path is a file",
    }.get(error.errno or 0, "check the disk, or choose another folder with --out")
    return StoreError(f"can't write {path}: {error.strerror}", remedy=remedy)
