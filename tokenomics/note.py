"""Signed notes and the checkpoints of transparency logs, as witnesses and log monitors read them.

A checkpoint says how long a log is and what its root is, in three lines; a signed note is a text with signature lines
below it:

```
example.org/digits
24
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.org/digits Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
```

A signature line is the signer's name and, in base64, four bytes that tell its keys apart and an Ed25519 signature over
the text with its last newline.

Source: C2SP signed-note and C2SP tlog-checkpoint; golang.org/x/mod/sumdb/note.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final, Self

from tokenomics._checks import check_hex, check_integer, check_text
from tokenomics.errors import ProofError
from tokenomics.keys import Keypair, verify_note

__all__ = ["TreeHead", "VerifierKey", "open_note", "sign_note"]

MAX_NOTE_BYTES: Final = 1_000_000
"""No note is longer; checked before it is read."""

_ED25519: Final = b"\x01"
_SIGNATURE: Final = "\u2014 "


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A name and the Ed25519 key that signs under it.

    Args:
        name: 1 to 128 printable characters, no space and no plus among them.
        public: 64 hexadecimal digits.

    Raises:
        ProofError: name or key are malformed.
    """

    name: str
    public: str

    def __post_init__(self) -> None:
        check_text("the note's key name", self.name, error=ProofError)
        if any(character.isspace() or character == "+" for character in self.name):
            raise ProofError(f"a note's key name can't be {self.name!r}", remedy="leave out spaces and plus signs")
        check_hex("the note's key", self.public, error=ProofError)

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + bytes.fromhex(self.public)).digest()[:4]

    def __str__(self) -> str:
        """Return the key as programs for notes take it: `NAME+KEY ID+KEY`."""
        key = base64.b64encode(_ED25519 + bytes.fromhex(self.public)).decode()
        return f"{self.name}+{self.key_id.hex()}+{key}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a key that `str` or another program wrote.

        Raises:
            ProofError: it isn't `NAME+KEY ID+KEY` of an Ed25519 key, or the key id is another key's.
        """
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        key = _unbase64(encoded)
        if key is None or key[:1] != _ED25519 or len(key) != 33:
            raise ProofError(
                f"{text!r:.80} isn't NAME+ID+KEY of an Ed25519 key", remedy="copy the validator's key whole"
            )
        found = cls(name=name, public=key[1:].hex())
        if found.key_id.hex() != key_id:
            raise ProofError(f"{text!r:.80}: the id isn't this key's", remedy="copy the validator's key whole")
        return found


def sign_note(text: str, *, name: str, signer: Keypair) -> str:
    """Return a note: a text with a signature line below it.

    Args:
        text: ends in a newline and has no control character but newlines.
        name: of the signer, as for `VerifierKey`.
        signer: whose signature it gets.

    Raises:
        ProofError: text or name won't do.
    """
    if not text.endswith("\n") or any(character < " " and character != "\n" for character in text):
        raise ProofError("a note's text ends in a newline and has no other control character", remedy="mend the text")
    key = VerifierKey(name=name, public=signer.public)
    signature = base64.b64encode(key.key_id + signer.sign_note(text.encode())).decode()
    return f"{text}\n{_SIGNATURE}{name} {signature}\n"


def open_note(note: str, key: VerifierKey) -> str:
    """Return a note's text, once a signature by `key` holds over it. Signatures by others are of no concern.

    Raises:
        ProofError: it isn't a note, this key hasn't signed it, or its signature doesn't hold.
    """
    text, blank, signatures = note.rpartition("\n\n")
    lines = signatures.splitlines()
    if len(note) > MAX_NOTE_BYTES or not blank or not lines or not signatures.endswith("\n"):
        raise ProofError("this isn't a signed note", remedy="give the file as the validator published it")
    text += "\n"
    for line in lines:
        name, _, encoded = line.removeprefix(_SIGNATURE).partition(" ")
        signature = _unbase64(encoded)
        if not line.startswith(_SIGNATURE) or signature is None or len(signature) < 5:
            raise ProofError(f"{line!r:.80} isn't a note's signature line", remedy="give the file as it was published")
        if (name, signature[:4]) != (key.name, key.key_id):
            continue
        if not verify_note(public=key.public, text=text.encode(), signature=signature[4:]):
            raise ProofError(f"the signature of {key.name} doesn't hold", remedy="distrust this note: it was altered")
        return text
    raise ProofError(f"{key.name} hasn't signed this note", remedy="check that you have the right validator's key")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """A log's state.

    Args:
        origin: which log: a printable name without spaces or plus signs, which is also its key's name.
        size: number of leaves, 0 or more.
        root: their Merkle root, 64 hexadecimal digits.

    Raises:
        ProofError: one is out of range.
    """

    origin: str
    size: int
    root: str

    def __post_init__(self) -> None:
        check_text("the log's origin", self.origin, error=ProofError)
        check_integer("the log's size", self.size, error=ProofError)
        check_hex("the log's root", self.root, error=ProofError)

    @property
    def text(self) -> str:
        """The checkpoint's three lines."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(bytes.fromhex(self.root)).decode()}\n"

    def sign(self, signer: Keypair) -> str:
        """Return the checkpoint, signed under the log's origin."""
        return sign_note(self.text, name=self.origin, signer=signer)

    @classmethod
    def open(cls, note: str, key: VerifierKey) -> Self:
        """Read a signed checkpoint; lines below the first three are of no concern.

        Raises:
            ProofError: it isn't signed by this key, is malformed, or is another log's.
        """
        lines = open_note(note, key).split("\n")
        root = _unbase64(lines[2]) if len(lines) > 3 else None
        size = lines[1] if len(lines) > 1 else ""
        plain = size.isascii() and size.isdigit() and (size == "0" or size[0] != "0") and len(size) < 20
        if root is None or len(root) != 32 or not plain:
            raise ProofError(f"the note of {key.name} isn't a checkpoint", remedy="give the checkpoint itself")
        if lines[0] != key.name:
            raise ProofError(f"the checkpoint is of {lines[0]!r:.80}, not of {key.name}", remedy="give this log's own")
        return cls(origin=lines[0], size=int(size), root=root.hex())


def _unbase64(text: str) -> bytes | None:
    """Return decoded standard base64 in its only spelling; None where it isn't that."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return found if base64.b64encode(found).decode() == text else None
