"""The adapter in a plain Flower app, beside Flower's own FedAvg; malformed replies one by one."""

import logging
import re
import threading

import numpy as np
import pytest
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

import strategies
from strategies import mixing  # noqa: F401 -- registers the mixers
from strategies.errors import EvidenceError, SettingsError, UpdatesError
from strategies.flower import RobustStrategy, median_metrics
from subnet.engine.inprocess import InProcessGrid, server_context

WAIT_S = 30.0
TRUTH = np.array([1.0, -2.0, 3.0, 0.5], dtype=np.float32)
START = {"w": np.zeros(4, dtype=np.float32), "b": np.zeros((1, 1), dtype=np.float32), "steps": np.zeros((), dtype=int)}


def record(values):
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in values.items()})


def numpy_of(arrays):
    return {name: array.numpy() for name, array in arrays.items()}


def trained(values, node):
    """Least squares on the node's own data, ten steps."""
    generator = np.random.default_rng(node)
    x = generator.normal(size=(40, 4)).astype(np.float32)
    y = x @ TRUTH + 0.7 + 0.05 * generator.normal(size=40).astype(np.float32)
    w, b = values["w"].copy(), values["b"].copy()
    for _ in range(10):
        error = x @ w + b[0, 0] - y
        w -= 0.1 * x.T @ error / 40
        b -= 0.1 * error.mean()
    return {"w": w, "b": b, "steps": values["steps"] + 10}


def nothing_finite(values):
    return {**values, "w": np.full(4, np.nan, dtype=np.float32)}


def another_shape(values):
    return {**values, "w": values["w"][:3]}


def opposite(values):
    return {**values, "w": -10 * values["w"] - 5}


CHEATS = {8: (nothing_finite, 40), 9: (another_shape, 40), 10: (opposite, 10**12)}


def app_with(cheats):
    """A plain Flower ClientApp; some nodes cheat."""
    app = ClientApp()

    @app.train()
    def train(asked, context):
        values = trained(numpy_of(asked.content["arrays"]), context.node_id)
        lie, claimed = cheats.get(context.node_id, (lambda honest: honest, 40))
        metrics = MetricRecord({"num-examples": claimed, "loss": float(context.node_id)})
        return Message(RecordDict({"arrays": record(lie(values)), "metrics": metrics}), reply_to=asked)

    @app.evaluate()
    def evaluate(asked, context):
        if context.node_id in cheats:
            return Message(
                RecordDict({"metrics": MetricRecord({"loss": 1e30, "num-examples": 10**12})}), reply_to=asked
            )
        loss = float(np.abs(numpy_of(asked.content["arrays"])["w"] - TRUTH).max())
        return Message(RecordDict({"metrics": MetricRecord({"loss": loss, "num-examples": 40})}), reply_to=asked)

    return app


def played(strategy, cheats, *, n_rounds=8, n_nodes=10):
    """The result of a ServerApp that starts the strategy as its Flower users do."""
    server, results = ServerApp(), []

    @server.main()
    def main(grid, context):
        results.append(strategy.start(grid, record(START), num_rounds=n_rounds, timeout=WAIT_S))

    with InProcessGrid(app_with(cheats), n_nodes=n_nodes, n_workers=2) as grid:
        server(grid, server_context())
    return results[0]


def off(result):
    """How far the model is from the truth."""
    return float(np.abs(result.arrays["w"].numpy() - TRUTH).max())


@pytest.mark.parametrize("name", ["trimmed_mean", "nnm+median", "multi_krum"])
def test_the_model_learns_among_cheats(name, caplog):
    """Seven honest nodes beside NaN, another shape and a claim of 1e12 examples; each cheat is named in the log."""
    strategy = RobustStrategy(strategies.create(name), poll_s=0.01)
    result = played(strategy, CHEATS)
    assert off(result) < 0.05
    assert result.arrays["b"].numpy().shape == (1, 1)
    assert result.arrays["steps"].numpy() == 0, "what isn't floating point stays as it was sent"
    assert result.evaluate_metrics_clientapp[8]["loss"] < 0.05
    report = strategy.reports[8]
    assert {one.node_id: one.reason for one in report.rejected if one.node_id in {8, 9}} == {
        8: "non-finite update",
        9: "malformed",
    }
    assert report.n_replies == 10
    assert report.influence[8] == report.influence[9] == 0
    assert "node 9 malformed: array 'w' is (3,) of float32, not (4,) of floats" in caplog.text


def test_the_same_with_fewer_or_no_cheats():
    """Nobody has to cheat."""
    assert off(played(RobustStrategy(strategies.create("trimmed_mean"), poll_s=0.01), {})) < 0.05


@pytest.mark.parametrize(("node", "breaks"), [(8, "nan"), (9, "raises"), (10, "captured")])
def test_flowers_own_fedavg_breaks_on_each(node, breaks):
    """One NaN reply makes the model NaN, one wrong shape ends the run, one claim of 1e12 takes the model over."""
    cheats = {node: CHEATS[node]}
    if breaks == "raises":
        with pytest.raises(ValueError, match="broadcast"):
            played(FedAvg(), cheats, n_rounds=1)
        return
    error = off(played(FedAvg(), cheats, n_rounds=1))
    assert np.isnan(error) if breaks == "nan" else error > 5


def test_who_answers_first_changes_no_bit():
    """On one worker or four, the same model."""
    models = []
    for n_workers in (1, 4):
        strategy = RobustStrategy(strategies.create("nnm+trimmed_mean"), poll_s=0.01)
        with InProcessGrid(app_with(CHEATS), n_nodes=10, n_workers=n_workers) as grid:
            models.append(strategy.start(grid, record(START), num_rounds=2, timeout=WAIT_S).arrays["w"].data)
    assert models[0] == models[1]


# replies one by one


class Asked:
    """Replies to one round's messages, made without a Grid between."""

    def __init__(self, strategy, n_nodes=5):
        self.strategy, self.client = strategy, app_with({})
        self.grid = InProcessGrid(self.client, n_nodes=n_nodes, n_workers=1)
        asked = strategy.configure_train(1, record(START), ConfigRecord(), self.grid)
        self.messages = sorted(asked, key=lambda message: message.metadata.dst_node_id)

    def reply(self, index, content):
        """What a node answers."""
        return Message(content, reply_to=self.messages[index])

    def honest(self, index, **more):
        """What an honest node answers, with some arrays replaced."""
        values = trained(START, self.messages[index].metadata.dst_node_id)
        return self.reply(index, contents({**values, **more}))


def contents(values, **metrics):
    return RecordDict({"arrays": record(values), "metrics": MetricRecord({"num-examples": 40, **metrics})})


@pytest.fixture
def asked():
    return Asked(RobustStrategy(strategies.create("trimmed_mean"), min_train_nodes=5))


def bytes_in(name, data, **said):
    arrays = record(START)
    own = arrays[name]
    about = {"dtype": own.dtype, "shape": own.shape, "stype": own.stype, **said}
    arrays[name] = Array(data=data, **about)
    return RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 1})})


HUGE_HEADER = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999,), }".ljust(128)
MALFORMED = {
    "extra": (contents({**START, "more": np.zeros(2)}), "array 'more' is extra"),
    "missing": (contents({"w": START["w"], "steps": START["steps"]}), "array 'b' is missing"),
    "shape": (contents({**START, "b": np.zeros((2, 2), dtype=np.float32)}), r"array 'b' is \(2, 2\) of float32"),
    "whole numbers": (contents({**START, "w": np.zeros(4, dtype=int)}), "array 'w' is .* of int64"),
    "complex": (contents({**START, "w": np.zeros(4, dtype=complex)}), "array 'w' is .* of complex128"),
    "no array": (RecordDict({"metrics": MetricRecord({"num-examples": 1})}), "0 ArrayRecords"),
    "two records": (RecordDict({"arrays": record(START), "more": record(START)}), "2 ArrayRecords"),
    "noise": (bytes_in("w", b"not an array"), "array 'w' can't be decoded"),
    "nothing": (bytes_in("w", b""), "array 'w' can't be decoded"),
    "cut short": (bytes_in("w", Array(START["w"]).data[:-3]), "array 'w' has 13 bytes after its header"),
    "too long": (bytes_in("w", b"0" * 10_000), "array 'w' has 10,000 bytes for 4 values"),
    "zip": (bytes_in("w", b"PK\x03\x04" + b"0" * 60), "array 'w' can't be decoded"),
    "pickle": (bytes_in("w", Array(np.zeros(4, dtype=np.float32)).data.replace(b"<f4", b"|O ")), "array 'w'"),
    "a petabyte": (bytes_in("w", HUGE_HEADER), "array 'w' (is|can't be decoded)"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_reply_is_set_aside(kind, asked):
    """The round goes on without it, the reason is counted, and it counts among the rule's Byzantine clients."""
    content, message = MALFORMED[kind]
    replies = [asked.honest(index) for index in range(4)] + [asked.reply(4, content)]
    arrays, _ = asked.strategy.aggregate_train(1, iter(replies))
    report = asked.strategy.reports[1]
    assert [(one.node_id, one.reason) for one in report.rejected] == [(5, "malformed")]
    assert re.search(message, report.rejected[0].detail)
    rows = torch.tensor(np.stack([trained(START, node)["w"] for node in (1, 2, 3, 4)]))
    mean = rows.mean(dim=0).tolist()  # nothing is trimmed: of five replies floor(.3 x 5) is the malformed one
    assert arrays["w"].numpy().tolist() == pytest.approx(mean, rel=1e-6)
    assert sum(report.influence.values()) == pytest.approx(1)


def test_failed_nodes_and_second_replies(asked):
    """An error reply isn't Byzantine; of two replies from one node the first counts."""
    failed = Message(Error(code=1, reason="Traceback\nout of memory"), reply_to=asked.messages[3])
    replies = [asked.honest(0), asked.honest(1), asked.honest(2), asked.honest(2, w=np.ones(4)), failed]
    asked.strategy.aggregate_train(1, replies)
    rejected = asked.strategy.reports[1].rejected
    assert [(one.node_id, one.reason) for one in rejected] == [(3, "duplicate"), (4, "failed")]
    assert rejected[1].detail.endswith("out of memory")
    assert set(asked.strategy.reports[1].influence) == {1, 2, 3}


@pytest.mark.parametrize("replies", ["none", "bad", "few"])
def test_a_round_without_a_model_keeps_the_last_one(replies, caplog):
    """Nothing usable, or too few for the rule, is told and survived."""
    asked = Asked(RobustStrategy(strategies.create("krum", n_byzantine=2), min_train_nodes=5))
    bad = asked.reply(0, contents({**START, "w": np.full(4, np.nan)}))
    given = {"none": [], "bad": [bad], "few": [asked.honest(1), asked.honest(2)]}[replies]
    arrays, _ = asked.strategy.aggregate_train(1, given)
    assert arrays is None
    assert replies == "none" or "no new model" in caplog.text


def test_a_rule_that_needs_evidence_says_so(asked):
    """It is the app's mistake, not a client's."""
    asked.strategy.aggregator = strategies.create("credit_gated")
    with pytest.raises(EvidenceError, match="none was given"):
        asked.strategy.aggregate_train(1, [asked.honest(0)])


@pytest.mark.parametrize(
    ("claim", "used"), [(1e12, True), (0, False), (-5, False), (float("nan"), False), ([1], False)]
)
def test_claims_are_capped_or_refused(claim, used):
    """With `max_examples` a liar counts as much as the largest allowed; an impossible claim is no reply."""
    asked = Asked(RobustStrategy(strategies.create("fedavg"), max_examples=40, min_train_nodes=5))
    liar = asked.reply(1, contents(trained(START, 2), **{"num-examples": claim}))
    asked.strategy.aggregate_train(1, [asked.honest(0), liar])
    report = asked.strategy.reports[1]
    assert report.influence[2] == pytest.approx(0.5 if used else 0)
    assert [one.reason for one in report.rejected] == ([] if used else ["claim"])


def test_without_a_cap_nobody_s_claim_counts(asked):
    """FedAvg's rule with no claims is the plain mean."""
    asked.strategy.aggregator = strategies.create("fedavg")
    liar = asked.reply(1, contents(trained(START, 2), **{"num-examples": 1e12}))
    asked.strategy.aggregate_train(1, [asked.honest(0), liar])
    assert asked.strategy.reports[1].influence == {1: 0.5, 2: 0.5}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_model_keeps_its_types(dtype):
    """Whatever float types clients answer in; an aggregate beyond the type's range is no model."""
    start = {"w": np.ones(3, dtype=dtype)}
    strategy = RobustStrategy(strategies.create("mean"), min_train_nodes=2)
    grid = InProcessGrid(app_with({}), n_nodes=2, n_workers=1)
    messages = strategy.configure_train(1, record(start), ConfigRecord(), grid)
    said = [np.array([3, 1, 1], dtype=np.float64), np.asfortranarray(np.array([1, 1, 3], dtype=">f4"))]
    replies = [Message(RecordDict({"a": record({"w": w})}), reply_to=m) for w, m in zip(said, messages, strict=True)]
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert arrays["w"].numpy().dtype == dtype
    assert arrays["w"].numpy().tolist() == [2, 1, 2]
    assert metrics is None
    if dtype is np.float16:
        far = [Message(RecordDict({"a": record({"w": np.full(3, 1e9)})}), reply_to=message) for message in messages]
        assert strategy.aggregate_train(2, far)[0] is None


def test_replies_are_pulled_one_by_one():
    """A reply is asked for only when the one before has been folded in, and each on its own."""
    pulled, lock = [], threading.Lock()

    class Watched(InProcessGrid):
        def pull_messages(self, message_ids):
            with lock:
                pulled.append(list(message_ids))
            return super().pull_messages(message_ids)

        def send_and_receive(self, messages, *, timeout=None):
            raise AssertionError("all at once")

    strategy = RobustStrategy(strategies.create("mean"), poll_s=0.01)
    with Watched(app_with({}), n_nodes=4, n_workers=2) as grid:
        strategy.start(grid, record(START), num_rounds=1, timeout=WAIT_S)
    assert pulled
    assert all(len(ids) == 1 for ids in pulled)


def test_nodes_that_dont_answer_or_cant_be_read(caplog):
    """The round ends at its timeout; what Flower can't unpack or deliver is that node's failure."""
    release = threading.Event()
    app = ClientApp()

    @app.train()
    def train(asked, context):
        if context.node_id == 2:
            release.wait(WAIT_S)
        return Message(contents(trained(numpy_of(asked.content["arrays"]), context.node_id)), reply_to=asked)

    class Lossy(InProcessGrid):
        def push_messages(self, messages):
            (message,) = messages
            return [""] if message.metadata.dst_node_id == 3 else super().push_messages([message])

        def pull_messages(self, message_ids):
            found = super().pull_messages(message_ids)
            if found and found[0].metadata.src_node_id == 4:
                raise ValueError("not a message")
            return found

    strategy = RobustStrategy(strategies.create("mean"), poll_s=0.01, fraction_evaluate=0.0)
    with Lossy(app, n_nodes=6, n_workers=6) as grid:
        strategy.start(grid, record(START), num_rounds=1, timeout=1.0)
        release.set()
    details = {one.node_id: one.detail for one in strategy.reports[1].rejected}
    assert details.keys() == {2, 3, 4}
    assert "no reply within 1 s" in details[2]
    assert "couldn't be delivered" in details[3]
    assert "can't unpack the reply: ValueError" in details[4]


def test_evaluation_survives_malformed_replies(asked, caplog):
    """Metrics are the median of those that have one."""
    good = [asked.reply(i, RecordDict({"m": MetricRecord({"loss": loss})})) for i, loss in enumerate((1.0, 3.0, 1e30))]
    bad = [asked.reply(3, RecordDict({})), Message(Error(code=1, reason=""), reply_to=asked.messages[4])]
    assert dict(asked.strategy.aggregate_evaluate(1, iter(good + bad))) == {"loss": 3.0}
    assert "evaluation of node 4 malformed: 0 MetricRecords" in caplog.text
    assert asked.strategy.aggregate_evaluate(1, bad) is None


def test_median_metrics_skip_what_isnt_a_finite_number():
    """Lists and NaN are nobody's median."""
    said = [RecordDict({"m": MetricRecord({"a": value, "n": 1})}) for value in (1.0, float("nan"), [2.0], 3)]
    assert dict(median_metrics(said, "n")) == {"a": 2.0}


@pytest.mark.parametrize("wrong", [{"max_examples": 0}, {"poll_s": 0.0}])
def test_wrong_settings(wrong):
    """Before anything is sent."""
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        RobustStrategy(strategies.create("mean"), **wrong)


def test_no_model():
    """Nothing to train, or replies to nothing."""
    strategy = RobustStrategy(strategies.create("mean"))
    with pytest.raises(UpdatesError, match="before any model"):
        strategy.aggregate_train(1, [])
    with pytest.raises(UpdatesError, match="no floating-point"):
        strategy.configure_train(1, record({"steps": np.zeros(1, dtype=int)}), ConfigRecord(), None)


def test_summary_names_the_rule(caplog):
    """Flower's log says what aggregates."""
    with caplog.at_level(logging.INFO, logger="strategies.flower"):
        RobustStrategy(strategies.create("nnm+median")).summary()
    assert "aggregating with nnm+median" in caplog.text
