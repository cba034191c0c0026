"""The strategy in a Flower app, beside Flower's own FedAvg; and what the other tests of it share."""

import logging

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg

import strategies
from strategies.errors import SettingsError, UpdatesError
from strategies.flower import RobustStrategy
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
        said = contents(lie(values), **{"num-examples": claimed, "loss": float(context.node_id)})
        return Message(said, reply_to=asked)

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


def contents(values, **metrics):
    return RecordDict({"arrays": record(values), "metrics": MetricRecord({"num-examples": 40, **metrics})})


class Asked:
    """Replies to one round's messages, made without a Grid between."""

    def __init__(self, strategy, n_nodes=5, start=START):
        self.strategy, self.client = strategy, app_with({})
        self.grid = InProcessGrid(self.client, n_nodes=n_nodes, n_workers=1)
        asked = strategy.configure_train(1, record(start), ConfigRecord(), self.grid)
        self.messages = sorted(asked, key=lambda message: message.metadata.dst_node_id)

    def reply(self, index, content):
        """What a node answers."""
        return Message(content, reply_to=self.messages[index])

    def honest(self, index, **more):
        """What an honest node answers, with some arrays replaced."""
        values = trained(START, self.messages[index].metadata.dst_node_id)
        return self.reply(index, contents({**values, **more}))


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


def test_a_round_that_asks_nobody_is_quiet(caplog):
    """As with FedAvg, `fraction_train=0` only evaluates."""
    strategy = RobustStrategy(strategies.create("mean"), poll_s=0.01, fraction_train=0.0)
    result = played(strategy, {}, n_rounds=1)
    assert result.evaluate_metrics_clientapp[1]["loss"] == pytest.approx(3.0)
    assert strategy.reports[1].n_replies == 0
    assert "no new model" not in caplog.text


def test_a_strategy_can_be_started_again():
    """With another model too: nothing of the first run is left, the last aggregate included."""
    strategy = RobustStrategy(strategies.create("centered_clipping"), poll_s=0.01, fraction_evaluate=0.0)
    app = ClientApp()

    @app.train()
    def train(asked, context):
        return Message(contents(numpy_of(asked.content["arrays"])), reply_to=asked)

    for n_params in (4, 3):
        with InProcessGrid(app, n_nodes=3, n_workers=1) as grid:
            strategy.start(grid, record({"w": np.ones(n_params)}), num_rounds=2, timeout=WAIT_S)
        assert strategy.reports[2].unchanged == ""


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
