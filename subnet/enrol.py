"""Who takes part: which hotkey each node of the federation works for, in that hotkey's own signed words."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, Message, MessageType, RecordDict
from flwr.serverapp import Grid

from clients.contribution import open_enrolment
from clients.errors import ContributionError
from clients.wire import read_enrolment
from subnet.collect import send, stream

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Roster:
    """The nodes that have enrolled: hotkey by node id, each hotkey once."""

    hotkeys: dict[int, str] = field(default_factory=dict)

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
) -> list[int]:
    """Ask every node that isn't on the roster who it is, and add those who answer well.

    Args:
        grid: the federation.
        roster: what is known; changed in place.
        subnet: content hash of the spec, which the node must agree to.
        fresh_id: returns an unguessable id for the message to a node.
        deadline_s: how long to wait.
        stopped: whether somebody wants the run to end now.

    Returns:
        The nodes that were asked and aren't on the roster now; why is logged.
    """
    online = set(grid.get_node_ids())
    unknown = sorted(online - roster.hotkeys.keys())
    challenges = {node: fresh_id(node) for node in unknown}
    content = RecordDict({"enrol": ConfigRecord({"subnet": subnet})})
    asked: dict[str, int] = {}
    for node in unknown:
        message = Message(content, node, MessageType.QUERY, group_id=challenges[node], ttl=deadline_s)
        grid_id = send(grid, message)
        if grid_id is not None:
            asked[grid_id] = node
    for grid_id, reply in stream(grid, list(asked), deadline_s=deadline_s, stopped=stopped):
        node = asked[grid_id]
        try:
            _admit(roster, node, reply, subnet=subnet, challenge=challenges[node], online=online)
        except ContributionError as error:
            log.warning("node %d isn't enrolled: %s", node, error.message)
    return [node for node in unknown if node not in roster.hotkeys]


def _admit(roster: Roster, node: int, reply: Message | None, *, subnet: str, challenge: str, online: set[int]) -> None:
    if reply is None or not (reply.has_error() or reply.has_content()):
        raise ContributionError("malformed", "Flower can't unpack its reply")
    if reply.has_error():
        raise ContributionError("failed", f"its app failed: {(reply.error.reason or '')[:500]}")
    enrolment = open_enrolment(read_enrolment(reply.content))
    if enrolment.subnet != subnet or enrolment.challenge != challenge:
        raise ContributionError("replayed", "its enrolment answers another message")
    for other in [other for other, hotkey in roster.hotkeys.items() if hotkey == enrolment.hotkey]:
        if other in online:
            raise ContributionError(
                "duplicate", f"hotkey {enrolment.hotkey[:12]} is enrolled from another node already"
            )
        del roster.hotkeys[other]  # the participant came back as another node
    roster.hotkeys[node] = enrolment.hotkey
