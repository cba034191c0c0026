"""What a validator says, signed, that it received: a participant keeps it, and an audit holds the validator to it.

Each message of a round brings the validator's word on the participant's contribution to the last settled round: what it
was, what became of it, and the root of the log that the round ended with. One file a log, one word a line:
`acknowledgements/SUBNET-LOG.jsonl`.
"""

import json
import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from tokenomics.keys import verify

log = logging.getLogger(__name__)

DOMAIN: Final = "acknowledgement"
"""In which a validator signs its words."""
MAX_CHARS: Final = 4096
"""No acknowledgement is longer; checked before it is read."""
_FOLDER = "acknowledgements"
_LOG = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,128}/[0-9a-f]{16}")
_TYPES: Final[Mapping[str, Any]] = {
    "subnet": str,
    "log": str,
    "log_root": str,
    "round": int,
    "hotkey": str,
    "contribution": str | None,
    "status": str,
    "reason": str,
    "zero_because": str,
    "reward": int,
}
"""What a word says: of which spec and log, and then as the receipt has it. `contribution` is the signed envelope's
hash, None where none came; `reward` is in base units."""


def read_acknowledgement(word: str, validator: str) -> dict[str, Any] | None:
    """Return what a validator acknowledged, or None where it isn't its signed word.

    Args:
        word: JSON of `document` (itself JSON, with the fields of `_TYPES`) and `signature`, from anyone.
        validator: its hotkey, 64 hexadecimal digits.
    """
    if len(word) > MAX_CHARS:
        return None
    try:
        signed = json.loads(word)
        document, signature = signed["document"].encode(), str(signed["signature"])
        told = json.loads(document)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None
    if not verify(public=validator, domain=DOMAIN, message=document, signature=signature):
        return None
    whole = isinstance(told, dict) and told.keys() == _TYPES.keys()
    if not whole or not all(isinstance(told[name], kind) for name, kind in _TYPES.items()):
        return None
    return dict(told) if _LOG.fullmatch(told["log"]) else None


def keep(folder: Path, word: str, *, validator: str, hotkey: str) -> Path | None:
    """Keep a validator's word on this participant's contribution; the same word again is kept once.

    What can't be kept is logged and costs nobody the round.

    Args:
        folder: the participant's own; made where it is missing.
        word: as the validator's message carried it; empty where it had nothing to acknowledge.
        validator: who sent it.
        hotkey: this participant's.

    Returns:
        The file that the word is in; None where it isn't kept.
    """
    if not word:
        return None
    told = read_acknowledgement(word, validator)
    if told is None or told["hotkey"] != hotkey:
        log.warning("not kept: an acknowledgement that isn't validator %s's word on %s", validator[:12], hotkey[:12])
        return None
    path = folder / _FOLDER / f"{told['log'].replace('/', '-')}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if _last_whole_line(file) != word.encode():
                file.write(word.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        log.warning("the acknowledgement of round %d can't be kept in %s: %s", told["round"], path, error.strerror)
        return None
    return path


def _last_whole_line(file: BinaryIO) -> bytes:
    """Return a file's last line, and cut off what a crash in mid-word has left after it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * MAX_CHARS))
    whole, _, torn = file.read().rpartition(b"\n")
    if torn:
        file.truncate(size - len(torn))
    return bytes(whole.rpartition(b"\n")[2])
