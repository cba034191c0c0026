"""Who takes part: which hotkey each node of the federation works for, in that hotkey's own signed words."""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from clients.contribution import Signed, open_enrolment
from clients.errors import ContributionError
from clients.wire import read_enrolment
from subnet.collect import send, stream

log = logging.getLogger(__name__)


QUERY_TTL_S = 600.0
"""How long a node may take to say who it is before it is asked again; nobody waits for it meanwhile."""

RETRY_S = 30.0
"""Pause before a node that answered badly is asked again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question to a node that is out."""

    node: int
    challenge: str
    expires_at: float
    """On the monotonic clock, in seconds."""


@dataclass(slots=True)
class Roster:
    """The nodes that have enrolled: hotkey by node id, each hotkey once; and the questions that are out."""

    hotkeys: dict[int, str] = field(default_factory=dict)
    pending: dict[str, Query] = field(default_factory=dict)
    """By the Grid's message id."""
    ask_again_at: dict[int, float] = field(default_factory=dict)
    """By node id, on the monotonic clock, in seconds."""

    def present(self, nodes: Iterable[int]) -> dict[str, int]:
        """Return node id by hotkey of those enrolled that are among `nodes`, hotkeys ascending."""
        online = set(nodes)
        found = {hotkey: node for node, hotkey in self.hotkeys.items() if node in online}
        return dict(sorted(found.items()))


def enrol(
    grid: Grid,
    roster: Roster,
    *,
    subnet: str,
    fresh_id: Callable[[int], str],
    deadline_s: float,
    stopped: Callable[[], bool],
    keep: Callable[[Signed], None] = lambda _signed: None,
) -> list[int]:
    """Ask every node that isn't on the roster who it is, and add those who answer well.

    A question that isn't answered in this call stays out and is looked at in the next one, so a silent node holds
    nobody up.

    Args:
        grid: the federation.
        roster: what is known; changed in place.
        subnet: content hash of the spec, which the node must agree to.
        fresh_id: returns an unguessable id for the message to a node.
        deadline_s: how long to wait for answers; 0 takes those that are there.
        stopped: whether somebody wants the run to end now.
        keep: is given every good enrolment before its node is admitted, and may refuse it with a `ContributionError`.

    Returns:
        The nodes that are online and aren't on the roster now; why is logged.
    """
    online = set(grid.get_node_ids())
    now = time.monotonic()
    roster.pending = {grid_id: query for grid_id, query in roster.pending.items() if query.expires_at > now}
    waiting = {query.node for query in roster.pending.values()}
    content = RecordDict({"enrol": ConfigRecord({"subnet": subnet})})
    for node in sorted(online - roster.hotkeys.keys() - waiting):
        if roster.ask_again_at.get(node, now) > now:
            continue
        challenge = fresh_id(node)
        grid_id = send(grid, Message(content, node, MessageType.QUERY, group_id=challenge, ttl=QUERY_TTL_S))
        if grid_id is not None:
            roster.pending[grid_id] = Query(node=node, challenge=challenge, expires_at=now + QUERY_TTL_S)
    for grid_id, reply in stream(grid, list(roster.pending), deadline_s=deadline_s, stopped=stopped):
        query = roster.pending.pop(grid_id)
        try:
            _admit(roster, query, reply, subnet=subnet, online=online, keep=keep)
        except ContributionError as error:
            roster.ask_again_at[query.node] = time.monotonic() + RETRY_S
            log.warning("node %d isn't enrolled: %s", query.node, error.message)
    return sorted(online - roster.hotkeys.keys())


def _admit(
    roster: Roster,
    query: Query,
    reply: Message | None,
    *,
    subnet: str,
    online: set[int],
    keep: Callable[[Signed], None],
) -> None:
    if reply is None or not (reply.has_error() or reply.has_content()):
        raise ContributionError("malformed", "Flower can't unpack its reply")
    if reply.has_error():
        raise ContributionError("failed", f"its app failed: {(reply.error.reason or '')[:500]}")
    signed = read_enrolment(reply.content)
    enrolment = open_enrolment(signed)
    if enrolment.subnet != subnet or enrolment.challenge != query.challenge:
        raise ContributionError("replayed", "its enrolment answers another message")
    earlier = [node for node, hotkey in roster.hotkeys.items() if hotkey == enrolment.hotkey]
    if any(node in online for node in earlier):
        raise ContributionError("duplicate", f"hotkey {enrolment.hotkey[:12]} is enrolled from another node already")
    keep(signed)
    for node in earlier:
        del roster.hotkeys[node]  # the participant came back as another node
    roster.hotkeys[query.node] = enrolment.hotkey
