"""The bundle: what a validator publishes of its run, for anyone to audit.

```
subnet.toml                                   the rules
ledger.sqlite, ledger.sqlite.checkpoint       the money and its signed log
log.key                                       the key that the log is checked with
models/ receipts/ rounds/                     what the ledger's rounds name
contributions/ updates/                       signed contributions to settled rounds, and what they name
enrolments/                                   who works for which coldkey
```

Nothing else is taken along: no secret of the nonces to come, no wallet, no contribution to a round that is still open,
and nothing that a simulation keeps for its clients. Files lie in a folder, or in a plain tar file of the same names.
"""

import json
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from clients.contribution import Envelope
from subnet.errors import RunError
from subnet.report import read_round
from subnet.run_files import LEDGER_NAME, find_ledger
from subnet.spec import FILE_NAME
from subnet.store import Kind, Store
from tokenomics.ledger import Ledger, checkpoint_path, copy_ledger

KEY_NAME: Final = "log.key"
TAR_SUFFIX: Final = ".tar"
_CHECKPOINT_NAME: Final = checkpoint_path(Path(LEDGER_NAME)).name
_OBJECT: Final = re.compile(rf"(?:{'|'.join(get_args(Kind))}|enrolments)/[0-9a-f]{{64}}\.(?:json|safetensors)")
_MAX_FILES: Final = 10_000_000
_SENT: Final[tuple[tuple[Kind, str], ...]] = (("contributions", "contribution"), ("updates", "update_hash"))
"""What a receipt names of what was sent: the kind, and the receipt's field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """What was written.

    Attributes:
        path: the folder or tar file.
        log: the name of the ledger's log.
        rounds: settled rounds in it.
        head: the chain's head after them.
        n_files: how many files.
        size_bytes: what they weigh together.
        n_left_out: contributions that stayed behind: to the round that is open, or of no readable round.
    """

    path: Path
    log: str
    rounds: int
    head: str
    n_files: int
    size_bytes: int
    n_left_out: int


def bundle(run: Path, out: Path) -> Bundled:
    """Write a run's public bundle, also while its validator is at work.

    Args:
        run: the run's folder; nothing is written to it.
        out: a tar file if its name ends with `.tar`, or else a folder; it mustn't exist yet.

    Raises:
        RunError: there is no run, or `out` exists or can't be written.
        StoreError: something that the ledger names is missing or was altered.
        TokenomicsError: the ledger can't be read.
    """
    find_ledger(run)
    if out.exists():
        raise RunError(f"{out} is there already", remedy="name a folder or a .tar file that isn't there yet")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.absolute().parent) as holder:
            folder = Path(holder) / "bundle"
            folder.mkdir()
            done = _fill(run, folder, out)
            if out.suffix == TAR_SUFFIX:
                whole = Path(holder) / "whole.tar"
                _pack(folder, whole)
                whole.rename(out)
            else:
                folder.rename(out)
    except OSError as error:
        raise RunError(
            f"can't write {out}: {error.strerror}", remedy="check the folder, its permissions and the disk"
        ) from error
    return done


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a bundle's folder: `path` itself, or a temporary one with what a tar file holds.

    Raises:
        RunError: the file isn't a bundle's tar, holds something that no bundle has, or can't be unpacked.
    """
    if not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="subnet-bundle-") as holder:
        try:
            with tarfile.open(path, "r:") as tar:
                for n_files, member in enumerate(tar):
                    _unpack(tar, member, Path(holder), n_files=n_files)
        except (tarfile.TarError, OSError) as error:
            raise RunError(
                f"{path} can't be unpacked: {error}", remedy="give a bundle's folder or .tar file"
            ) from error
        yield Path(holder)


def _fill(run: Path, folder: Path, out: Path) -> Bundled:
    shutil.copyfile(run / FILE_NAME, folder / FILE_NAME)
    copy_ledger(find_ledger(run), folder / LEDGER_NAME)
    with closing(sqlite3.connect(folder / LEDGER_NAME)) as copy:
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, which can be read where nothing may be written
    source, target = Store(run), _Target(folder)
    with Ledger.open(folder / LEDGER_NAME, read_only=True) as ledger:
        (folder / KEY_NAME).write_text(f"{ledger.key}\n")
        target.copy(source, "models", ledger.genesis.model_hash)
        named: set[str] = set()
        for row in ledger.rounds():
            target.copy(source, "models", row.model_hash)
            target.copy(source, "rounds", row.record_hash)
            played = read_round(ledger, source, row)
            for entry in played.entries:
                target.copy(source, "receipts", entry.receipt_hash)
            for receipt in played.receipts.values():
                for kind, field in _SENT:
                    if receipt[field] is not None:
                        target.copy(source, kind, receipt[field])
                        named.add(receipt[field])
        height, log, head = ledger.height, ledger.key.name, ledger.head
    n_left_out = _copy_unnamed(source, target, named, height)
    (folder / "enrolments").mkdir()
    for path in sorted((run / "enrolments").glob("*.json")):
        shutil.copyfile(path, folder / "enrolments" / path.name)
    files = [path for path in folder.rglob("*") if path.is_file()]
    size_bytes = sum(path.stat().st_size for path in files)
    return Bundled(
        path=out,
        log=log,
        rounds=height,
        head=head,
        n_files=len(files),
        size_bytes=size_bytes,
        n_left_out=n_left_out,
    )


class _Target:
    """The folder that is being filled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for kind in get_args(Kind):
            (folder / kind).mkdir()

    def copy(self, source: Store, kind: Kind, digest: str) -> None:
        """Copy one object, after checking that it has its hash; once."""
        path = self._folder / kind / source.path(kind, digest).name
        if not path.exists():
            path.write_bytes(source.get(kind, digest))


def _copy_unnamed(source: Store, target: _Target, named: set[str], height: int) -> int:
    """Copy contributions to settled rounds that no receipt names, for the audit to judge; return how many others stay.

    Those to the round that is open stay: nobody is to read them before it closes.
    """
    n_left_out = 0
    for path in sorted(source.folder("contributions").glob("*.json")):
        if path.stem in named:
            continue
        if 1 <= _round_of(source.get("contributions", path.stem)) <= height:
            target.copy(source, "contributions", path.stem)
        else:
            n_left_out += 1
    return n_left_out


def _round_of(contribution: bytes) -> int:
    """Return which round a contribution is for; 0 where that can't be read."""
    try:
        return Envelope.model_validate_json(json.loads(contribution)["document"]).round
    except (ValueError, LookupError, TypeError):
        return 0


def _pack(folder: Path, whole: Path) -> None:
    """Write a folder as a tar file: names ascending, no owner and no time, so that equal bundles have equal bytes."""
    with tarfile.open(whole, "x", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            member.size = path.stat().st_size
            with path.open("rb") as file:
                tar.addfile(member, file)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path, *, n_files: int) -> None:
    """Write one member, if it is a file that a bundle has."""
    plain = member.name in {FILE_NAME, LEDGER_NAME, _CHECKPOINT_NAME, KEY_NAME} or _OBJECT.fullmatch(member.name)
    source = tar.extractfile(member) if plain and member.isreg() else None
    if source is None or n_files >= _MAX_FILES:
        raise tarfile.TarError(f"{member.name!r:.80} is nothing that a bundle has")
    path = folder / member.name
    path.parent.mkdir(exist_ok=True)
    with source, path.open("wb") as file:
        shutil.copyfileobj(source, file)
