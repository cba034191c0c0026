"""A Flower Grid within this process: ClientApps run in a bounded pool of threads, with no Ray and no server to start.

It keeps the contract of `flwr.serverapp.Grid` that the simulation engine's Grid keeps, so any ServerApp written for
that runs on it, Flower's own strategies included (the contract test plays one).
"""

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self
from uuid import uuid4

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from subnet.errors import EngineError

log = logging.getLogger(__name__)

_RUN_ID = 1


class InProcessGrid(Grid):
    """Sends messages to ClientApps in this process.

    Args:
        client_app: answers every message, for all nodes.
        n_nodes: how many nodes there are; their ids are 1 to `n_nodes`, their `partition-id` one less.
        n_workers: how many messages are worked on at a time.

    Use it as a context manager: leaving it drops what hasn't begun and waits for what has.

    Raises:
        EngineError: fewer than one node or worker.
    """

    def __init__(self, client_app: ClientApp, *, n_nodes: int, n_workers: int) -> None:
        if n_nodes < 1 or n_workers < 1:
            raise EngineError(
                f"{n_nodes} nodes on {n_workers} workers can't be simulated", remedy="use at least one of each"
            )
        self._client_app = client_app
        self._run = Run.create_empty(_RUN_ID)
        self._pool = ThreadPoolExecutor(max_workers=n_workers, thread_name_prefix="client")
        self._replies: dict[str, Future[Message]] = {}
        self._locks = {node: threading.Lock() for node in range(1, n_nodes + 1)}
        self._contexts = {
            node: Context(
                run_id=_RUN_ID,
                node_id=node,
                node_config={"partition-id": node - 1, "num-partitions": n_nodes},
                state=RecordDict(),
                run_config={},
            )
            for node in self._locks
        }
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = _RUN_ID, SUPERLINK_NODE_ID, 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def set_run(self, run: Run) -> None:
        """Set the run, which the ServerApp may read back."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """Return a new message; `Message(...)` does the same."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> list[int]:
        """Return the ids of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Queue messages; returns an id for each, by which its reply is pulled.

        Raises:
            EngineError: a message is for a node that doesn't exist.
        """
        ids: list[str] = []
        for message in messages:
            node = message.metadata.dst_node_id
            if node not in self._contexts:
                raise EngineError(f"there is no node {node}", remedy=f"send to nodes 1 to {len(self._contexts)}")
            message.metadata.__dict__["_message_id"] = str(uuid4())
            message.metadata.delivered_at = ""
            self._replies[message.metadata.message_id] = self._pool.submit(self._answer, message)
            ids.append(message.metadata.message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies to `message_ids` that are there; each is given out once."""
        known = [message_id for message_id in dict.fromkeys(message_ids) if message_id in self._replies]
        ready = [message_id for message_id in known if self._replies[message_id].done()]
        return [self._replies.pop(message_id).result() for message_id in ready]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Queue messages and wait for their replies, at most `timeout` seconds."""
        waiting = self.push_messages(messages)
        end = None if timeout is None else time.monotonic() + timeout
        replies: list[Message] = []
        while waiting and (end is None or time.monotonic() < end):
            came = self.pull_messages(waiting)
            replies += came
            answered = {reply.metadata.reply_to_message_id for reply in came}
            waiting = [message_id for message_id in waiting if message_id not in answered]
            if waiting and not came:
                time.sleep(0.01)
        return replies

    def _answer(self, message: Message) -> Message:
        node = message.metadata.dst_node_id
        try:
            with self._locks[node]:
                reply = self._client_app(message, self._contexts[node])
            if not isinstance(reply, Message):
                raise TypeError(f"the ClientApp returned {type(reply).__name__}, not a Message")  # noqa: TRY301
        except Exception as error:  # whatever an app raises is its node's failure, as in Flower's engines
            log.debug("the ClientApp of node %d raised", node, exc_info=True)
            reason = f"{type(error).__name__}: {error}"
            reply = Message(Error(code=ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason=reason), reply_to=message)
        reply.metadata.__dict__["_message_id"] = str(uuid4())
        return reply


def server_context() -> Context:
    """Return the context that a ServerApp on this Grid is called with."""
    return Context(run_id=_RUN_ID, node_id=SUPERLINK_NODE_ID, node_config={}, state=RecordDict(), run_config={})
