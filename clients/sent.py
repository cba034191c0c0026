"""The last contribution that a participant sent, kept so that a message that comes again gets the same answer.

A validator that stops in mid-round opens the round again under the same message ids. Whoever trained anew would send
another update, and with it the round would be drawn again, as often as the validator likes; and would train twice for
one round. One contribution is kept a subnet and hotkey: `sent/SUBNET-HOTKEY.json`, and the update beside it.
"""

import logging
from pathlib import Path

from clients import weights
from clients.contribution import Contribution, Signed, open_envelope
from clients.errors import ContributionError
from clients.wire import Instruction

log = logging.getLogger(__name__)

_FOLDER = "sent"


def keep(folder: Path, contribution: Contribution) -> None:
    """Keep a contribution in place of the one before; what can't be kept is logged and costs nobody the round.

    Args:
        folder: the participant's own; made where it is missing.
        contribution: well signed.
    """
    envelope = open_envelope(contribution.signed)
    path = _path(folder, envelope.subnet, envelope.hotkey)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".safetensors").write_bytes(contribution.update)
        path.write_bytes(contribution.signed.to_bytes())
    except OSError as error:
        log.warning("the contribution can't be kept in %s: %s", path, error.strerror)


def find(folder: Path, instruction: Instruction, *, hotkey: str, message_id: str) -> Contribution | None:
    """Return the contribution that was sent in answer to the same message, or None.

    What a crash has left half written, or somebody altered, is as if it weren't there.

    Args:
        folder: the participant's own.
        instruction: what the message asks.
        hotkey: this participant's.
        message_id: the message's.
    """
    path = _path(folder, instruction.subnet, hotkey)
    try:
        signed = Signed.from_bytes(path.read_bytes())
        envelope = open_envelope(signed)
        update = path.with_suffix(".safetensors").read_bytes()
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, ContributionError) as error:
        log.warning("%s isn't the contribution that was sent: %s", path, error)
        return None
    same_task = all(
        getattr(envelope, name) == getattr(instruction, name) for name in ("subnet", "round", "base_hash", "validator")
    )
    if not same_task or (envelope.hotkey, envelope.message_id) != (hotkey, message_id):
        return None
    if weights.digest(update) != envelope.update_hash:
        log.warning("%s isn't the update that was sent: it has another hash", path.with_suffix(".safetensors"))
        return None
    return Contribution(signed=signed, update=update)


def _path(folder: Path, subnet: str, hotkey: str) -> Path:
    return folder / _FOLDER / f"{subnet[:16]}-{hotkey[:16]}.json"
