"""The in-process Grid keeps the contract of Flower's own, so that any ServerApp runs on it."""

import threading

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from subnet.engine.inprocess import InProcessGrid, server_context
from subnet.errors import EngineError

WAIT_S = 20.0
"""A deadline for conditions that come true at once."""


def message(node, text="", message_type=MessageType.QUERY):
    return Message(RecordDict({"in": ConfigRecord({"text": text})}), node, message_type, group_id="1")


def app_of(answer):
    """A ClientApp that answers a query with text."""
    app = ClientApp()

    @app.query()
    def query(asked, context):
        text = answer(asked.content["in"]["text"], context)
        return Message(RecordDict({"out": ConfigRecord({"text": text})}), reply_to=asked)

    return app


ECHO = app_of(lambda text, context: f"{context.node_id}:{text}")


def texts(replies):
    return sorted(reply.content["out"]["text"] for reply in replies)


def test_flowers_own_strategy_plays_on_it():
    """FedAvg of flwr plays two rounds of a plain ClientApp, and its result is the weighted mean of the clients'."""
    client, server = ClientApp(), ServerApp()
    results = []

    @client.train()
    def train(asked, context):
        index = context.node_config["partition-id"]
        arrays = [array + index for array in asked.content["arrays"].to_numpy_ndarrays()]
        metrics = MetricRecord({"num-examples": index + 1, "loss": 1.0})
        return Message(RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=asked)

    @client.evaluate()
    def evaluate(asked, context):
        value = float(asked.content["arrays"].to_numpy_ndarrays()[0][0])
        return Message(RecordDict({"metrics": MetricRecord({"num-examples": 1, "value": value})}), reply_to=asked)

    @server.main()
    def main(grid, context):
        strategy = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
        results.append(strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=2, timeout=WAIT_S))

    with InProcessGrid(client, n_nodes=3, n_workers=2) as grid:
        server(grid, server_context())
    # each round adds the mean of 0, 1, 2 weighted by 1, 2, 3
    step = (0 * 1 + 1 * 2 + 2 * 3) / 6
    assert results[0].arrays.to_numpy_ndarrays()[0].tolist() == pytest.approx([2 * step, 2 * step])
    assert results[0].evaluate_metrics_clientapp[2]["value"] == pytest.approx(2 * step)


def test_it_is_a_grid_with_its_nodes():
    """It is one of Flower's Grids, with nodes 1 to n whose partitions are 0 to n - 1 of n."""
    found = app_of(lambda _, context: f"{context.node_id} {context.node_config}")
    with InProcessGrid(found, n_nodes=2, n_workers=1) as grid:
        assert isinstance(grid, Grid)
        assert list(grid.get_node_ids()) == [1, 2]
        assert texts(grid.send_and_receive([message(1), message(2)], timeout=WAIT_S)) == [
            "1 {'partition-id': 0, 'num-partitions': 2}",
            "2 {'partition-id': 1, 'num-partitions': 2}",
        ]
        made = grid.create_message(RecordDict(), MessageType.TRAIN, 2, "7", ttl=5.0)
        assert (made.metadata.dst_node_id, made.metadata.group_id, made.metadata.ttl) == (2, "7", 5.0)
        run = grid.run
        grid.set_run(run)
        assert grid.run is run


def test_every_message_is_answered_by_its_own_node():
    """Ids are different, and each reply names the message that it answers."""
    asked = [message(1 + index % 3, str(index)) for index in range(12)]
    with InProcessGrid(ECHO, n_nodes=3, n_workers=2) as grid:
        replies = grid.send_and_receive(asked, timeout=WAIT_S)
    ids = [one.metadata.message_id for one in asked]
    assert len(set(ids)) == 12
    by_question = {reply.metadata.reply_to_message_id: reply.content["out"]["text"] for reply in replies}
    assert [by_question[one] for one in ids] == [f"{1 + index % 3}:{index}" for index in range(12)]
    assert len({reply.metadata.message_id for reply in replies} | set(ids)) == 24


def wait_for(condition):
    end = threading.Event()
    for _ in range(int(WAIT_S / 0.005)):
        if condition():
            return
        end.wait(0.005)
    raise AssertionError("the condition didn't come true in time")


def pull_one(grid, message_id):
    found = []
    wait_for(lambda: found.extend(grid.pull_messages([message_id])) or found)
    return found


def test_a_reply_is_given_out_once():
    """Pulled again, or under an id that isn't known, there is nothing."""
    with InProcessGrid(ECHO, n_nodes=1, n_workers=1) as grid:
        (message_id,) = grid.push_messages([message(1, "x")])
        assert texts(pull_one(grid, message_id)) == ["1:x"]
        assert grid.pull_messages([message_id, "unknown"]) == []


def test_an_id_that_is_named_twice_gives_one_reply():
    """Asking twice for the same id in one call is harmless."""
    with InProcessGrid(ECHO, n_nodes=1, n_workers=1) as grid:
        (message_id,) = grid.push_messages([message(1, "x")])
        (other,) = grid.push_messages([message(1, "y")])
        pull_one(grid, other)  # one node works in order, so the first reply is there too
        assert texts(grid.pull_messages([message_id, message_id])) == ["1:x"]


def test_only_what_was_asked_for_is_pulled():
    """Other replies stay until somebody asks for them."""
    with InProcessGrid(ECHO, n_nodes=2, n_workers=1) as grid:
        first, second = grid.push_messages([message(1, "x"), message(2, "y")])
        assert texts(pull_one(grid, second)) == ["2:y"]
        assert texts(pull_one(grid, first)) == ["1:x"]


class AppError(Exception):
    pass


def failing(text, _context):
    if text == "fail":
        raise AppError("on purpose")
    return text


def test_an_exception_of_the_app_is_an_error_reply():
    """What an app raises comes back as Flower's error with its words, and the node answers the next message."""
    with InProcessGrid(app_of(failing), n_nodes=1, n_workers=1) as grid:
        bad, unhandled, good = grid.send_and_receive(
            [message(1, "fail"), message(1, "x", MessageType.TRAIN), message(1, "fine")], timeout=WAIT_S
        )
    assert bad.has_error()
    assert "on purpose" in bad.error.reason
    assert bad.metadata.src_node_id == 1
    assert unhandled.has_error()
    assert good.content["out"]["text"] == "fine"


def test_an_app_that_returns_nothing_is_an_error_reply():
    """A handler that forgot its reply is its node's failure, not the server's exception."""

    def app(_message, _context):
        return None

    with InProcessGrid(app, n_nodes=1, n_workers=1) as grid:
        (reply,) = grid.send_and_receive([message(1)], timeout=WAIT_S)
    assert reply.has_error()


def test_an_unknown_node_is_refused():
    """A message for a node that doesn't exist is an EngineError that names it and the range."""
    with InProcessGrid(ECHO, n_nodes=2, n_workers=1) as grid, pytest.raises(EngineError, match="no node 3") as caught:
        grid.push_messages([message(3)])
    assert "1 to 2" in caught.value.remedy


@pytest.mark.parametrize(("n_nodes", "n_workers"), [(0, 1), (1, 0), (-1, 1)])
def test_no_node_or_no_worker_is_refused(n_nodes, n_workers):
    """A Grid of nothing can't be made."""
    with pytest.raises(EngineError, match="can't be simulated"):
        InProcessGrid(ECHO, n_nodes=n_nodes, n_workers=n_workers)


def test_send_and_receive_gives_up_at_its_timeout():
    """At the timeout the replies that are there are returned, and the others can still be pulled later."""
    release = threading.Event()

    def slow(text, _context):
        assert text == "fast" or release.wait(WAIT_S)
        return text

    with InProcessGrid(app_of(slow), n_nodes=2, n_workers=2) as grid:
        asked = [message(1, "fast"), message(2, "slow")]
        replies = grid.send_and_receive(asked, timeout=0.1)
        assert "slow" not in texts(replies)
        release.set()
        assert texts(pull_one(grid, asked[1].metadata.message_id)) == ["slow"]


@pytest.mark.parametrize("n_workers", [1, 3])
def test_at_most_n_workers_run_at_once_and_all_of_them_do(n_workers):
    """With more messages than workers, exactly as many are worked on at a time as there are workers."""
    lock, release, full = threading.Lock(), threading.Event(), threading.Event()
    running, most = set(), 0

    def busy(text, _context):
        nonlocal most
        with lock:
            running.add(text)
            most = max(most, len(running))
            if len(running) == n_workers:
                full.set()
        assert release.wait(WAIT_S)
        with lock:
            running.discard(text)
        return text

    with InProcessGrid(app_of(busy), n_nodes=8, n_workers=n_workers) as grid:
        ids = grid.push_messages([message(1 + index, str(index)) for index in range(8)])
        assert full.wait(WAIT_S)
        release.set()
        for one in ids:
            pull_one(grid, one)
    assert most == n_workers


def test_one_nodes_messages_never_run_at_the_same_time():
    """A node is one device with one state: with workers to spare, its second message waits for its first."""
    begun, other_done = [], threading.Event()

    def watch(text, _context):
        begun.append(text)
        if text == "first":
            assert other_done.wait(WAIT_S)
            assert begun == ["first", "other"]
        if text == "other":
            wait_for(lambda: "first" in begun)
            other_done.set()
        return text

    with InProcessGrid(app_of(watch), n_nodes=2, n_workers=3) as grid:
        asked = [message(1, "first"), message(1, "second"), message(2, "other")]
        assert texts(grid.send_and_receive(asked, timeout=WAIT_S)) == ["first", "other", "second"]
    assert begun[-1] == "second"


def test_a_nodes_state_lasts_from_message_to_message():
    """What an app keeps in its context is there the next time, and is that node's alone."""

    def count(_text, context):
        seen = int(context.state["n"]["n"]) if "n" in context.state else 0
        context.state["n"] = ConfigRecord({"n": seen + 1})
        return f"{context.node_id}:{seen}"

    with InProcessGrid(app_of(count), n_nodes=2, n_workers=2) as grid:
        replies = grid.send_and_receive([message(1), message(1), message(2)], timeout=WAIT_S)
    assert texts(replies) == ["1:0", "1:1", "2:0"]


def test_leaving_drops_what_hasnt_begun():
    """Leaving the Grid waits for what is being worked on and begins nothing more."""
    begun, done = [], []

    def slow(text, _context):
        begun.append(text)
        wait_for(lambda: sum(future.cancelled() for future in grid._replies.values()) == 2)
        done.append(text)
        return text

    with InProcessGrid(app_of(slow), n_nodes=3, n_workers=1) as grid:
        grid.push_messages([message(1, "a"), message(2, "b"), message(3, "c")])
        wait_for(lambda: begun)
    assert begun == done == ["a"]
