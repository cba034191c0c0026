"""Pull replies off the Grid one at a time, as they come, until all are there or the deadline has passed.

A reply is bounded and taken apart, its update goes to the store and out of memory, and the next one is pulled. Nothing
is believed yet; that is `subnet.screening`.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from flwr.app import Message
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from google.protobuf.message import DecodeError

from clients.contribution import Signed
from clients.errors import ContributionError
from clients.wire import read_contribution
from subnet.errors import StoppedError
from subnet.store import Store

log = logging.getLogger(__name__)

POLL_S = (0.02, 0.5)
"""Shortest and longest pause between two looks at the Grid; a tenth of the time since the last reply, in between."""


UNREADABLE = (ValueError, TypeError, LookupError, DecodeError, UnexpectedObjectContentError)
"""What Flower raises for bytes that aren't the message they claim to be; trouble on the way is none of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What one participant answered.

    Attributes:
        hotkey: whose node was asked.
        arrival: place in the order in which replies came, from 0.
        message_id: the random id that its envelope must name.
        signed: the signed envelope as received; None when there is none.
        update_hash: by which the update lies in the store; None when there is none.
        reason: why there is nothing to screen, or `""`: `late`, `unreachable`, `failed`, `malformed`, `oversized`,
            `unsigned`.
        detail: the same in words.
    """

    hotkey: str
    arrival: int
    message_id: str
    signed: Signed | None = None
    update_hash: str | None = None
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One message that is out: whom it went to and the random id that the answer must name."""

    hotkey: str
    message_id: str


def collect(
    grid: Grid,
    asked: Mapping[str, Asked],
    store: Store,
    *,
    undelivered: Sequence[Asked] = (),
    deadline_s: float,
    limit_bytes: int,
    on_reply: Callable[[int, int], None] = lambda _done, _total: None,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Reply]:
    """Collect the round's replies.

    Args:
        grid: where they come from.
        asked: what is out, by the Grid's message id.
        store: takes updates and envelopes.
        undelivered: what couldn't be sent.
        deadline_s: seconds from now after which the rest counts as late.
        limit_bytes: the most an update may weigh.
        on_reply: told how many of how many have been dealt with.
        stopped: whether somebody wants the run to end now.

    Returns:
        One reply for each participant, those that came in the order they came.

    Raises:
        StoppedError: `stopped` said so.
    """
    replies: list[Reply] = []
    for grid_id, message in stream(grid, list(asked), deadline_s=deadline_s, stopped=stopped):
        replies.append(_take(message, asked[grid_id], len(replies), store, limit_bytes))
        on_reply(len(replies), len(asked))
    answered = {reply.message_id for reply in replies}
    late = f"no reply within the deadline of {deadline_s:g} s"
    absent = [(question, "late", late) for question in asked.values() if question.message_id not in answered]
    absent += [(question, "unreachable", "Flower couldn't deliver the message") for question in undelivered]
    for question, reason, detail in sorted(absent, key=lambda one: one[0].hotkey):
        replies.append(
            Reply(
                hotkey=question.hotkey,
                arrival=len(replies),
                message_id=question.message_id,
                reason=reason,
                detail=detail,
            )
        )
    return replies


def send(grid: Grid, message: Message) -> str | None:
    """Send one message; returns its id on the Grid, or None when it can't be delivered.

    Flower's Grids leave out or blank the ids of messages they couldn't push, so a batch would lose track of which.
    """
    ids = [grid_id for grid_id in grid.push_messages([message]) if grid_id]
    return ids[0] if ids else None


def stream(
    grid: Grid, grid_ids: list[str], *, deadline_s: float, stopped: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, Message | None]]:
    """Yield the replies to `grid_ids` as they come, each pulled on its own and held by nobody else.

    Yields:
        The id and the reply; None for a reply that Flower can't unpack.

    Raises:
        StoppedError: `stopped` said so.
    """
    waiting = dict.fromkeys(grid_ids)
    last = time.monotonic()
    end = last + deadline_s
    while waiting:
        came = False
        for grid_id in list(waiting):
            for message in _pull(grid, grid_id):
                came = True
                waiting.pop(grid_id, None)
                yield grid_id, message
        if stopped():
            raise StoppedError(
                "the run was stopped", remedy="give the same command again: it goes on from the last settled round"
            )
        now = time.monotonic()
        if now >= end:
            return
        if came:
            last = now
        elif waiting:
            time.sleep(min(POLL_S[1], max(POLL_S[0], (now - last) / 10), end - now))


def _pull(grid: Grid, grid_id: str) -> list[Message | None]:
    """Return the reply to one message if it is there; `[None]` when it is and can't be unpacked."""
    try:
        return list(grid.pull_messages([grid_id]))
    except UNREADABLE:
        log.warning("the reply to message %s can't be unpacked", grid_id, exc_info=True)
        return [None]


def _take(message: Message | None, asked: Asked, arrival: int, store: Store, limit_bytes: int) -> Reply:
    if message is None or not (message.has_error() or message.has_content()):
        return Reply(
            hotkey=asked.hotkey,
            arrival=arrival,
            message_id=asked.message_id,
            reason="malformed",
            detail="Flower can't unpack the reply",
        )
    if message.has_error():
        error = message.error
        reason = (error.reason or "").strip().splitlines() or ["no reason given"]
        log.warning("participant %s failed (Flower error %d): %s", asked.hotkey[:12], error.code, reason[-1][:200])
        return Reply(
            hotkey=asked.hotkey,
            arrival=arrival,
            message_id=asked.message_id,
            reason="failed",
            detail="Flower reports an error in place of a reply",
        )
    try:
        contribution = read_contribution(message.content, limit_bytes=limit_bytes)
    except ContributionError as error:
        return Reply(
            hotkey=asked.hotkey,
            arrival=arrival,
            message_id=asked.message_id,
            reason=error.reason,
            detail=error.message,
        )
    store.put("contributions", contribution.signed.to_bytes())
    return Reply(
        hotkey=asked.hotkey,
        arrival=arrival,
        message_id=asked.message_id,
        signed=contribution.signed,
        update_hash=store.put("updates", contribution.update),
    )
