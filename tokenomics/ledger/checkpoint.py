"""The signed end of the ledger, in a file of its own: without it, rounds cut off the end would not be missed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from tokenomics._checks import check_hex, check_integer, check_text
from tokenomics._files import replace_atomically
from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerCorruptError, LedgerError, TokenomicsError
from tokenomics.keys import Keypair, verify

DOMAIN: Final = "checkpoint"
"""Domain of a checkpoint's signature."""

_MAX_FILE_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A validator's word that its ledger is at this round with this head.

    Two checkpoints of one round with different heads prove that the validator keeps two histories.
    """

    subnet: str
    """The subnet's name."""
    round: int
    """The last settled round; 0 for the genesis alone."""
    head: str
    """Head of the hash chain there."""
    signature: str
    """By the validator, over the canonical bytes of the three fields above, in domain `checkpoint`."""

    def __post_init__(self) -> None:
        check_text("subnet", self.subnet, error=LedgerError)
        check_integer("round", self.round, error=LedgerError)
        check_hex("head", self.head, error=LedgerError)
        check_hex("signature", self.signature, n_digits=128, error=LedgerError)

    @classmethod
    def sign(cls, *, subnet: str, round: int, head: str, signer: Keypair) -> Self:  # noqa: A002 - the field's term
        """Make a checkpoint."""
        signature = signer.sign(DOMAIN, _message(subnet, round, head))
        return cls(subnet=subnet, round=round, head=head, signature=signature)

    def verify(self, validator: str) -> bool:
        """Whether this is the word of `validator` (64 hexadecimal digits)."""
        message = _message(self.subnet, self.round, self.head)
        return verify(public=validator, domain=DOMAIN, message=message, signature=self.signature)

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Return the checkpoint of a JSON object with exactly its four fields.

        Raises:
            LedgerError: it has other fields, or one is out of range.
        """
        if not isinstance(data, Mapping) or set(data) != {"subnet", "round", "head", "signature"}:
            raise LedgerError("a checkpoint has subnet, round, head and signature", remedy="restore it from a backup")
        return cls(**data)


def checkpoint_path(path: Path) -> Path:
    """Return where the checkpoint of the ledger at `path` is kept: `<path>.checkpoint.json`."""
    return path.with_name(f"{path.name}.checkpoint.json")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint file of the ledger at `path`, atomically.

    Raises:
        LedgerError: the folder can't be written to.
    """
    try:
        replace_atomically(checkpoint_path(path), canonical_json(asdict(checkpoint)) + b"\n")
    except OSError as error:
        raise LedgerError(
            f"round {checkpoint.round} is settled, but {checkpoint_path(path)} can't be written: {error.strerror}",
            remedy="free some space or mend the permissions, then go on: the next round writes it",
        ) from error


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint kept beside the ledger at `path`; None where there is no such file.

    Raises:
        LedgerCorruptError: the file is damaged or can't be read.
    """
    file = checkpoint_path(path)
    remedy = f"restore it from a backup; `rewrite_checkpoint` makes it anew for a ledger known to be whole ({path})"
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerCorruptError(f"{file} can't be read: {error.strerror}", remedy=remedy) from error
    try:
        return Checkpoint.from_dict(json.loads(data[:_MAX_FILE_BYTES]))
    except (ValueError, RecursionError, TokenomicsError) as error:
        raise LedgerCorruptError(f"{file} isn't a checkpoint: {error}", remedy=remedy) from error


def _message(subnet: str, round: int, head: str) -> bytes:  # noqa: A002 - the field's term
    return canonical_json({"subnet": subnet, "round": round, "head": head})
