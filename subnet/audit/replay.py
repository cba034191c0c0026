"""A settled round, worked out again from its stored replies by the code that played it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clients.contribution import Signed
from subnet import assign
from subnet.collect import Reply
from subnet.errors import StoreError
from subnet.receipts import Receipt
from subnet.report import RoundReport
from subnet.round import work_out
from subnet.settle import Concluded, Opened, Played, conclude
from subnet.state import Fixture, State
from subnet.store import Kind, Store

NOTHING_KEPT = frozenset({"late", "unreachable", "failed", "malformed", "oversized", "unsigned"})
"""What `subnet.collect` says of replies of which it keeps nothing; that it was so is the validator's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A round as it comes out again.

    Attributes:
        state: what it started from.
        played: everything up to the verdict.
        concluded: its receipts, record and model.
    """

    state: State
    played: Played
    concluded: Concluded


def replay(fixture: Fixture, state: State, settled: RoundReport, *, minted: int) -> Replayed:
    """Work out a settled round again.

    Args:
        fixture: the run; nothing is written to it.
        state: what the round started from, by the records of the rounds before.
        settled: what is stored of it. Of its record only its nonce and the
            commitment to the next one are taken, of its receipts who was asked, by which
            message, what came and in which order.
        minted: base units minted by all rounds before.

    Raises:
        StoreError: a contribution or update is missing or was altered.
    """
    nonce = settled.record["nonce"]
    dealt = assign.deal(
        round_number=settled.row.round,
        nonce=nonce,
        hotkeys=settled.receipts.keys(),
        pool=fixture.probes,
        history=state.history,
        rules=fixture.spec.scoring,
    )
    opened = Opened(
        round=settled.row.round, nonce=nonce, next_commitment=settled.record["next_nonce_commitment"], deal=dealt
    )
    replies = [_reply(fixture.store, hotkey, receipt) for hotkey, receipt in settled.receipts.items()]
    played = work_out(fixture, state, opened, replies)
    return Replayed(state=state, played=played, concluded=conclude(fixture, state, played, minted=minted))


def unreadable(store: Store, settled: RoundReport, before: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return hotkey, recorded hash and what is wrong for every file of the round that is missing or altered.

    Args:
        store: has the files.
        settled: the round.
        before: hashes of the updates by hotkey that this round's are held against.
    """
    found = []
    for hotkey, receipt in settled.receipts.items():
        for kind, digest in [*_files(receipt), *_files({"contribution": None, "update_hash": before.get(hotkey)})]:
            try:
                store.get(kind, digest)
            except StoreError as error:
                found.append((hotkey, f"{kind[:-1]} {digest}", error.message))
    return found


def _files(receipt: Receipt) -> list[tuple[Kind, Any]]:
    named: list[tuple[Kind, Any]] = [
        ("contributions", receipt["contribution"]),
        ("updates", receipt["update_hash"]),
    ]
    return [(kind, digest) for kind, digest in named if digest is not None]


def _reply(store: Store, hotkey: str, receipt: Receipt) -> Reply:
    """Return what `subnet.collect` had of a participant, as far as it was kept."""
    digest, reason = receipt["contribution"], receipt["reason"]
    if digest is None:
        known = reason in NOTHING_KEPT
        return Reply(
            hotkey=hotkey,
            arrival=receipt["arrival"],
            message_id=receipt["message_id"],
            reason=reason if known else "malformed",
            detail=receipt["detail"] if known else "no contribution was kept",
        )
    return Reply(
        hotkey=hotkey,
        arrival=receipt["arrival"],
        message_id=receipt["message_id"],
        signed=Signed.from_bytes(store.get("contributions", digest)),
        update_hash=receipt["update_hash"],
    )
