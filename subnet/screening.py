"""What an update must be before anyone looks at its numbers. A bad one costs its sender the round, and nobody else.

In order: a signature that holds, by the hotkey that was asked; this subnet, round, message, base model and validator;
the bytes that the signature names; a hotkey that no strike has suspended; this model's parameters by name, shape and
type; finite numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clients.contribution import Envelope, open_envelope
from clients.errors import ContributionError
from clients.task import ModelLayout
from clients.weights import decode
from subnet.collect import Reply
from subnet.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What every envelope of a round must say."""

    subnet: str
    round: int
    base_hash: str
    validator: str
    suspended: Mapping[str, int]
    """Who is out because of a strike, each with the last round for which it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """The round's replies, apart.

    Attributes:
        replies: every reply by hotkey; those that failed carry `reason` and `detail`.
        hotkeys: senders of good updates, ascending.
        updates: `(n, n_params)` float32, one row for each of `hotkeys`.
        envelopes: what could be opened, by hotkey, good or bad.
    """

    replies: dict[str, Reply]
    hotkeys: tuple[str, ...]
    updates: Tensor
    envelopes: dict[str, Envelope]


def screen(replies: Sequence[Reply], expected: Expected, layout: ModelLayout, store: Store) -> Screened:
    """Screen all replies of a round.

    Args:
        replies: one for each participant that was asked.
        expected: what their envelopes must say.
        layout: what their updates must look like.
        store: where those updates lie.
    """
    by_hotkey = {reply.hotkey: reply for reply in sorted(replies, key=lambda reply: reply.hotkey)}
    rows: dict[str, Tensor] = {}
    envelopes: dict[str, Envelope] = {}
    for hotkey, reply in by_hotkey.items():
        if reply.signed is None or reply.update_hash is None:
            continue
        try:
            envelopes[hotkey] = open_envelope(reply.signed)
            _check_envelope(envelopes[hotkey], reply, expected)
            rows[hotkey] = decode(layout, store.get("updates", reply.update_hash))
        except ContributionError as error:
            by_hotkey[hotkey] = replace(reply, reason=error.reason, detail=error.message)
    updates = torch.stack(list(rows.values())) if rows else torch.zeros(0, layout.n_params)
    return Screened(replies=by_hotkey, hotkeys=tuple(rows), updates=updates, envelopes=envelopes)


def _check_envelope(envelope: Envelope, reply: Reply, expected: Expected) -> None:
    checks = (
        ("wrong_signer", "hotkey", envelope.hotkey, reply.hotkey),
        ("wrong_subnet", "subnet", envelope.subnet, expected.subnet),
        ("replayed", "message", envelope.message_id, reply.message_id),
        ("replayed", "round", str(envelope.round), str(expected.round)),
        ("wrong_base", "base model", envelope.base_hash, expected.base_hash),
        ("wrong_validator", "validator", envelope.validator, expected.validator),
        ("hash_mismatch", "update", envelope.update_hash, str(reply.update_hash)),
    )
    for reason, what, said, wanted in checks:
        if said != wanted:
            raise ContributionError(reason, f"signed for {what} {said[:12]}, not {wanted[:12]}")
    if envelope.hotkey in expected.suspended:
        raise ContributionError("suspended", f"until the end of round {expected.suspended[envelope.hotkey]}")
