"""A Grid whose replies come one by one, each known to be from the node that was asked."""

import math
import secrets
import time
from collections.abc import Iterable, Iterator

from flwr.app import Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.proto.node_pb2 import NodeInfo
from flwr.serverapp import Grid
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from flwr.supercore.run import Run
from google.protobuf.message import DecodeError

FOREIGN = -1
"""Code of an error that stands for a reply from somebody else; Flower's are 0 and above."""

# what Flower raises for bytes that aren't the message they claim to be
_UNREADABLE = (ValueError, TypeError, LookupError, DecodeError, UnexpectedObjectContentError)
_MOST_POLL_S = 3.0


class StreamingGrid(Grid):
    """A Grid whose `send_and_receive` gives replies one by one, each pulled when the last one is done with.

    Every message gets exactly one reply, in the name of the node that was asked, which is an error if nothing better
    came. A reply's metadata are whatever its sender wrote, so they are only compared with what was asked. Whoever knows
    a message's id can answer it, and a node can work out the others' ids from its own message, which differs in little:
    so every message carries a random `group_id`, which is part of its id.

    Args:
        grid: The one that does the work.
        poll_s: Shortest pause between two looks for replies; it grows to 3 s while none comes.
    """

    def __init__(self, grid: Grid, *, poll_s: float) -> None:
        self._grid = grid
        self._poll_s = poll_s

    def set_run(self, run: Run) -> None:
        """Set the run (see `Grid.set_run`)."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """The run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a new message (see `Grid.create_message`)."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return self._grid.get_node_ids()

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Return all nodes."""
        return self._grid.get_nodes()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages (see `Grid.push_messages`)."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there (see `Grid.pull_messages`)."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        """Send messages and give one reply to each; nothing is sent before the first is asked for.

        Args:
            messages: To one node each.
            timeout: Seconds after which the nodes that haven't answered have failed; None: there is no such time.

        Yields:
            Replies as they come, then an error for each message that has none.
        """
        waiting: dict[str, Message] = {}
        for message in messages:  # one at a time: a Grid leaves out the ids of messages that it couldn't push
            if not message.metadata.group_id:
                message.metadata.group_id = secrets.token_hex(16)
            pushed = [message_id for message_id in self._grid.push_messages([message]) if message_id]
            if pushed:
                waiting[pushed[0]] = message
            else:
                yield _error(message, "the message couldn't be delivered")
        yield from self._replies(waiting, timeout=math.inf if timeout is None else timeout)

    def _replies(self, waiting: dict[str, Message], *, timeout: float) -> Iterator[Message]:
        last = time.monotonic()
        end = last + timeout
        while waiting:
            came = False
            for message_id in list(waiting):
                reply = self._pulled(message_id, waiting[message_id])
                if reply is not None:
                    came = True
                    del waiting[message_id]
                    yield reply
                    del reply  # it isn't to be in memory when the next one comes
            now = time.monotonic()
            last = now if came else last
            if now >= end:
                break
            if not came:
                time.sleep(min(max(self._poll_s, (now - last) / 10), _MOST_POLL_S, end - now))
        for message in waiting.values():
            yield _error(message, f"no reply within {timeout:g} s")

    def _pulled(self, message_id: str, asked: Message) -> Message | None:
        """The reply to a message, or the error that it amounts to; None if there is none yet."""
        try:
            reply = next(iter(self._grid.pull_messages([message_id])), None)
        except _UNREADABLE as error:
            return _error(asked, f"Flower can't unpack the reply: {type(error).__name__}")
        if reply is None:
            return None
        if reply.has_error():  # Flower's own come in the name of the SuperLink
            return Message(reply.error, reply_to=asked)
        says, node = reply.metadata, asked.metadata.dst_node_id
        if says.src_node_id != node:
            return _error(asked, f"a reply in the name of node {says.src_node_id}", code=FOREIGN)
        if says.reply_to_message_id != message_id:
            return _error(asked, f"a reply to another message ({says.reply_to_message_id[:40]!r})", code=FOREIGN)
        return reply


def _error(message: Message, why: str, *, code: int = ErrorCode.UNKNOWN) -> Message:
    """An error reply to a message, as Flower makes them."""
    return Message(Error(code=code, reason=why), reply_to=message)
