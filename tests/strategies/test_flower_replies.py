"""Crafted replies, one by one: what each is called, and what it changes."""

import re

import numpy as np
import pytest
import torch
from flwr.app import Array, ConfigRecord, Error, Message, MetricRecord, RecordDict

import strategies
from strategies.errors import EvidenceError
from strategies.flower import RobustStrategy, median_metrics
from subnet.engine.inprocess import InProcessGrid
from tests.strategies.test_flower import START, Asked, app_with, contents, record, trained


@pytest.fixture(params=["memory", "disk"])
def asked(request, tmp_path):
    """Five nodes have been asked; their rows are kept in memory or on disk."""
    spool = tmp_path if request.param == "disk" else None
    return Asked(RobustStrategy(strategies.create("trimmed_mean"), min_train_nodes=5, spool=spool))


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


def test_a_rule_gets_the_last_rounds_aggregate():
    """Centered clipping moves its centre by a bounded step from there, so a round that starts at zero ends nearer."""
    ends = []
    for n_before in (0, 1):
        strategy = RobustStrategy(strategies.create("centered_clipping", tau=0.1, iterations=1), min_train_nodes=5)
        asked = Asked(strategy)
        for server_round in range(n_before + 1):
            arrays, _ = strategy.aggregate_train(server_round, [asked.honest(index) for index in range(5)])
        ends.append(float(np.abs(arrays["w"].numpy()).sum()))
    assert ends[1] == pytest.approx(2 * ends[0], rel=1e-3)


def test_metrics_have_to_be_small(asked):
    """They are all that is kept of a reply until the round ends."""
    many = asked.reply(1, contents(trained(START, 2), curve=[0.0] * 2**18))
    asked.strategy.aggregate_train(1, [asked.honest(0), many])
    (rejected,) = asked.strategy.reports[1].rejected
    assert (rejected.node_id, rejected.reason) == (2, "malformed")
    assert re.fullmatch(r"metrics of 2,097,\d+ bytes; the most is 1,048,576", rejected.detail)


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
