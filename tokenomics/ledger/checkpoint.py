"""The signed end of the ledger, in a file of its own: without it, rounds cut off the end would not be missed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tokenomics._checks import check_hex
from tokenomics._files import remove_leftovers, replace_atomically
from tokenomics.errors import LedgerCorruptError, LedgerError, ProofError
from tokenomics.keys import Keypair
from tokenomics.note import NoteSignature, TreeHead, VerifierKey, parse_note, write_note

_MAX_FILE_BYTES: Final = 65_536
"""No checkpoint is longer, with many witnesses' signatures below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A validator's word on its ledger's log: how long it is, and its root.

    Two checkpoints of one size with different roots prove that the validator keeps two histories; a later one that
    doesn't extend an earlier one, that it rewrote its history.

    Source: C2SP tlog-checkpoint.
    """

    tree: TreeHead
    key_id: str
    """Which key signed: 8 hexadecimal digits."""
    signature: str
    """By the validator, over the checkpoint's text: 128 hexadecimal digits."""

    def __post_init__(self) -> None:
        check_hex("key id", self.key_id, n_digits=8, error=LedgerError)
        check_hex("signature", self.signature, n_digits=128, error=LedgerError)

    @property
    def round(self) -> int:
        """The last settled round; 0 for the genesis alone."""
        return self.tree.size - 1

    @property
    def note(self) -> str:
        """The checkpoint as a signed note, the form in which it is published."""
        return write_note(self.tree.text, self._signature())

    @classmethod
    def sign(cls, tree: TreeHead, signer: Keypair) -> Self:
        """Make a checkpoint."""
        key = VerifierKey(name=tree.origin, public=signer.public)
        return cls(tree=tree, key_id=key.key_id.hex(), signature=signer.sign_note(tree.text.encode()).hex())

    @classmethod
    def of(cls, tree: TreeHead, *, validator: str, signature: str) -> Self:
        """Return a checkpoint that was signed before.

        Args:
            tree: what was signed.
            validator: whose signature it is to be: 64 hexadecimal digits.
            signature: 128 hexadecimal digits, unchecked.

        Raises:
            TokenomicsError: one of them is malformed.
        """
        return cls(tree=tree, key_id=VerifierKey(name=tree.origin, public=validator).key_id.hex(), signature=signature)

    @classmethod
    def parse(cls, note: str) -> Self:
        """Read a published checkpoint; its signature isn't checked, and others' are of no concern.

        Raises:
            ProofError: it isn't a checkpoint, or the log itself hasn't signed it.
        """
        text, signatures = parse_note(note)
        tree = TreeHead.parse(text)
        own = [one for one in signatures if one.name == tree.origin and len(one.signature) == 64]
        if not own or not tree.size:
            raise ProofError("the log hasn't signed this checkpoint", remedy="give the checkpoint as it was published")
        return cls(tree=tree, key_id=own[0].key_id.hex(), signature=own[0].signature.hex())

    def verify(self, validator: str) -> bool:
        """Whether this is the word of `validator` (64 hexadecimal digits)."""
        return self._signature().holds(self.tree.text, validator)

    def _signature(self) -> NoteSignature:
        return NoteSignature(
            name=self.tree.origin, key_id=bytes.fromhex(self.key_id), signature=bytes.fromhex(self.signature)
        )


def checkpoint_path(path: Path) -> Path:
    """Return where the checkpoint of the ledger at `path` is kept: `<path>.checkpoint`."""
    return path.with_name(f"{path.name}.checkpoint")


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the checkpoint file of the ledger at `path`, atomically.

    After a power cut an earlier one may be there, as after a crash before it was written: a ledger that is opened makes
    up for that. So only the first has to last.

    Raises:
        LedgerError: the folder can't be written to.
    """
    file = checkpoint_path(path)
    try:
        replace_atomically(file, checkpoint.note.encode(), lasts=not file.exists())
    except OSError as error:
        raise LedgerError(
            f"round {checkpoint.round} is settled, but {file} can't be written: {error.strerror}",
            remedy="free some space or mend the permissions, then go on: the next round writes it",
        ) from error


def tidy(path: Path) -> None:
    """Remove what crashes have left of checkpoint files beside the ledger at `path`.

    Raises:
        LedgerError: the folder can't be written to.
    """
    file = checkpoint_path(path)
    try:
        remove_leftovers(file)
    except OSError as error:
        raise LedgerError(
            f"a temporary file beside {file} can't be removed: {error.strerror}", remedy="mend the folder's permissions"
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
        return Checkpoint.parse(data[:_MAX_FILE_BYTES].decode())
    except (UnicodeDecodeError, ProofError) as error:
        raise LedgerCorruptError(f"{file} isn't a checkpoint: {error}", remedy=remedy) from error
