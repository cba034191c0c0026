"""The Grid whose replies come one by one, each known to be from the node that was asked."""

import gc
import threading
import tracemalloc
import weakref
from uuid import uuid4

import numpy as np
import pytest
from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.constant import SUPERLINK_NODE_ID, ErrorCode
from flwr.serverapp import Grid

import strategies
from strategies.flower import RobustStrategy
from strategies.flower.streaming import StreamingGrid
from subnet.engine.inprocess import InProcessGrid
from tests.strategies.test_flower import START, WAIT_S, app_with, contents, numpy_of, record


class PatientGrid(InProcessGrid):
    """Nodes answer when they are asked for their reply, in the caller's thread, and nothing of it is kept.

    Args:
        app: The ClientApp.
        n_nodes: How many nodes there are, from 1 on.
        replies: Makes something else of the replies of some nodes: called with the reply, it gives a list of what
            comes instead.
    """

    def __init__(self, app, *, n_nodes, replies=None):
        super().__init__(app, n_nodes=n_nodes, n_workers=1)
        self.app, self.replies = app, replies or {}
        self.sent, self.waiting = [], {}

    def push_messages(self, messages):
        """Keep messages until their replies are asked for."""
        ids = [uuid4().hex for _ in messages]
        for message_id, message in zip(ids, messages, strict=True):
            message.metadata.__dict__["_message_id"] = message_id
            self.waiting[message_id] = message
            self.sent.append(message)
        return ids

    def pull_messages(self, message_ids):
        """Work a message out; what comes of one isn't kept."""
        (message_id,) = message_ids
        node = self.waiting[message_id].metadata.dst_node_id
        context = Context(run_id=1, node_id=node, node_config={}, state=RecordDict(), run_config={})
        return self.replies.get(node, lambda reply: [reply])(self.app(self.waiting[message_id], context))

    def send_and_receive(self, messages, *, timeout=None):
        """Not to be called."""
        raise AssertionError("all at once")


def started(grid, *, n_rounds=1, timeout=WAIT_S, arrays=None, **settings):
    """A strategy that has played rounds on a Grid."""
    strategy = RobustStrategy(strategies.create("mean"), poll_s=0.001, **settings)
    strategy.start(grid, record(START) if arrays is None else arrays, num_rounds=n_rounds, timeout=timeout)
    return strategy


def rewritten(**metadata):
    """Replies whose metadata say something else."""

    def lie(reply):
        reply.metadata.__dict__.update({f"_{name}": value for name, value in metadata.items()})
        return [reply]

    return lie


def test_every_method_of_a_grid_is_there():
    """What an app does with its Grid in `configure_train` works: nothing falls back to the base class."""
    assert {name for name in vars(Grid) if not name.startswith("_")} <= vars(StreamingGrid).keys()
    inner = InProcessGrid(app_with({}), n_nodes=2, n_workers=1)
    grid = StreamingGrid(inner, poll_s=0.1)
    run = inner.run
    grid.set_run(run)
    assert grid.run is run
    assert list(grid.get_node_ids()) == [1, 2]
    message = grid.create_message(contents(START), "train", 2, "mine")
    with inner:
        (message_id,) = grid.push_messages([message])
        while not (replies := list(grid.pull_messages([message_id]))):
            pass
    assert replies[0].metadata.src_node_id == 2


def test_replies_are_pulled_one_by_one():
    """Each on its own, and none is in memory when the next one is pulled: not even in a circle of references."""
    last, left_over = [], []

    class Watched(PatientGrid):
        def pull_messages(self, message_ids):
            left_over.extend(name for name, part in last if part() is not None)
            (reply,) = super().pull_messages(message_ids)
            parts = {"reply": reply, "content": reply.content, **reply.content}
            last[:] = [(name, weakref.ref(part)) for name, part in parts.items() if name != "metrics"]
            return [reply]

    gc.disable()
    try:
        strategy = started(Watched(app_with({}), n_nodes=5), n_rounds=2)
    finally:
        gc.enable()
    assert left_over == []
    assert last
    assert [strategy.reports[number].rejected for number in (1, 2)] == [(), ()]


def test_a_round_on_disk_takes_no_more_memory_for_more_replies(tmp_path):
    """Three replies of a megabyte or twelve: the peak is the same, and with rows in memory it isn't."""
    start = {"w": np.zeros(250_000, dtype=np.float32)}
    app = ClientApp()

    @app.train()
    def train(asked, context):
        return Message(contents({"w": start["w"] + np.float32(context.node_id)}), reply_to=asked)

    def peak(n_nodes, **settings):
        grid = PatientGrid(app, n_nodes=n_nodes)
        tracemalloc.start()
        started(grid, arrays=record(start), fraction_evaluate=0.0, **settings)
        return tracemalloc.get_traced_memory()[1], tracemalloc.stop()

    peaks = {n: peak(n, spool=tmp_path)[0] for n in (3, 12)}
    assert peaks[12] < peaks[3] + 2**18
    assert peak(12)[0] > peaks[12] + 6 * 2**20


def test_nodes_that_dont_answer_or_cant_be_read():
    """The round ends at its timeout; what Flower can't unpack or deliver is that node's failure."""

    def unreadable(reply):
        raise ValueError("not a message")

    class Lossy(PatientGrid):
        def push_messages(self, messages):
            return [""] if messages[0].metadata.dst_node_id == 3 else super().push_messages(messages)

    grid = Lossy(app_with({}), n_nodes=6, replies={2: lambda _: [], 4: unreadable})
    strategy = started(grid, timeout=0.05, fraction_evaluate=0.0)
    details = {one.node_id: (one.reason, one.detail) for one in strategy.reports[1].rejected}
    assert details == {
        2: ("failed", "Flower error 0: no reply within 0.05 s"),
        3: ("failed", "Flower error 0: the message couldn't be delivered"),
        4: ("failed", "Flower error 0: Flower can't unpack the reply: ValueError"),
    }


def test_a_reply_in_another_s_name_is_nobody_s(caplog):
    """Node 2 answers as node 3 and node 4 another message: neither counts, and node 3's own reply does."""
    lies = {2: rewritten(src_node_id=3), 4: rewritten(reply_to_message_id="0" * 64), 5: rewritten(src_node_id=99)}
    strategy = started(PatientGrid(app_with({}), n_nodes=6, replies=lies))
    report = strategy.reports[1]
    assert [(one.node_id, one.reason) for one in sorted(report.rejected, key=lambda one: one.node_id)] == [
        (2, "foreign"),
        (4, "foreign"),
        (5, "foreign"),
    ]
    assert report.influence == pytest.approx({1: 1 / 3, 3: 1 / 3, 6: 1 / 3})
    assert report.n_replies == 6
    assert "round 1: node 2 foreign: a reply in the name of node 3" in caplog.text
    assert f"round 1: node 4 foreign: a reply to another message ('{'0' * 40}')" in caplog.text
    assert "round 1: evaluation of node 2 foreign: a reply in the name of node 3" in caplog.text


def test_a_reply_of_an_earlier_round_is_foreign():
    """Sent again, it answers a message of another round."""
    kept = []

    def again(reply):
        kept.append(reply)
        return [kept[0]]

    strategy = started(PatientGrid(app_with({}), n_nodes=3, replies={2: again}), n_rounds=2, fraction_evaluate=0.0)
    assert strategy.reports[1].rejected == ()
    assert [(one.node_id, one.reason) for one in strategy.reports[2].rejected] == [(2, "foreign")]


def test_an_error_of_the_superlink_is_the_node_s():
    """The SuperLink answers in its own name for a node that is gone."""

    def gone(reply):
        error = Message(Error(code=ErrorCode.NODE_UNAVAILABLE, reason="gone"), reply_to=reply)
        return rewritten(src_node_id=SUPERLINK_NODE_ID, group_id="", reply_to_message_id="")(error)

    strategy = started(PatientGrid(app_with({}), n_nodes=3, replies={2: gone}), fraction_evaluate=0.0)
    assert [(one.node_id, one.reason, one.detail) for one in strategy.reports[1].rejected] == [
        (2, "failed", "Flower error 5: gone")
    ]


def test_no_node_can_work_out_another_s_message_id():
    """Each message carries a `group_id` of its own, at random; one that an app has set stays."""
    grid = PatientGrid(app_with({}), n_nodes=4)
    started(grid, n_rounds=2)
    groups = [message.metadata.group_id for message in grid.sent]
    assert len(set(groups)) == 2 * 2 * 4
    assert all(len(group) == 32 for group in groups)

    class Own(RobustStrategy):
        def configure_train(self, *asked):
            messages = super().configure_train(*asked)
            for message in messages:
                message.metadata.group_id = "mine"
            return messages

    grid = PatientGrid(app_with({}), n_nodes=2)
    Own(strategies.create("mean"), fraction_evaluate=0.0).start(grid, record(START), num_rounds=1)
    assert {message.metadata.group_id for message in grid.sent} == {"mine"}


def test_an_app_without_evaluation_and_a_slow_node():
    """Replies come in any order, while a node is still working."""
    others, app = threading.Barrier(4), ClientApp()

    @app.train()
    def train(asked, context):
        others.wait(WAIT_S)
        return Message(contents(numpy_of(asked.content["arrays"])), reply_to=asked)

    with InProcessGrid(app, n_nodes=4, n_workers=4) as grid:
        strategy = started(grid, fraction_evaluate=0.0)
    assert strategy.reports[1].influence == pytest.approx(dict.fromkeys(range(1, 5), 0.25))
