"""A plain Flower app on Flower's own engine, with `RobustStrategy` and nothing else of this project.

This file is the app as well: `python test_flower_simulation.py SPOOL` plays it and prints what came of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

N_NODES = 15  # of the 14 that answer, the rule expects .3 to be Byzantine: 4, and 4 are
N_ROUNDS = 6
TRUTH = np.array([1.0, -2.0, 3.0, 0.5], dtype=np.float32)
CHEATS = {0: "nan", 1: "shape", 2: "explodes", 3: "raises", 4: "captures"}

app = ClientApp()
server = ServerApp()
seen: dict[str, object] = {}


@app.train()
def train(message: Message, context: Context) -> Message:
    """Least squares on the node's own data; some nodes cheat if they are told to."""
    number = int(context.node_config["partition-id"])
    cheat = CHEATS.get(number, "") if message.content["config"]["cheats"] else ""
    if cheat == "raises":
        raise MemoryError("no more")
    w = message.content["arrays"]["w"].numpy()
    generator = np.random.default_rng(number)
    x = generator.normal(size=(200, 4)).astype(np.float32)
    y = x @ TRUTH + 0.05 * generator.normal(size=200).astype(np.float32)
    for _ in range(5):
        w = w - 0.2 * x.T @ (x @ w - y) / 200
    lies = {"nan": w * np.float32(np.nan), "shape": w[:3], "explodes": w * np.float32(1e30), "captures": -10 * w}
    metrics = MetricRecord({"num-examples": 10**12 if cheat == "captures" else 200})
    content = RecordDict({"arrays": ArrayRecord({"w": Array(lies.get(cheat, w))}), "metrics": metrics})
    return Message(content, reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    """Play the same rounds with everybody honest and with cheats."""
    import strategies
    from strategies.flower import RobustStrategy

    for name in ("honest", "cheats"):
        rule = strategies.create("nnm", "trimmed_mean")
        strategy = RobustStrategy(
            rule, min_train_nodes=N_NODES, min_available_nodes=N_NODES, fraction_evaluate=0.0, spool=sys.argv[1]
        )
        start = ArrayRecord({"w": Array(np.zeros(4, dtype=np.float32))})
        config = ConfigRecord({"cheats": name == "cheats"})
        result = strategy.start(grid, start, num_rounds=N_ROUNDS, train_config=config)
        report = strategy.reports[N_ROUNDS]
        reasons = sorted(one.reason for one in report.rejected)
        seen[name] = {"w": result.arrays["w"].numpy().tolist(), "reasons": reasons, "n": report.n_replies}


def play() -> None:
    """Run the app, and print what came of it and what it imported."""
    from flwr.simulation import run_simulation

    quiet = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"log_to_driver": False}}
    run_simulation(server, app, num_supernodes=N_NODES, backend_config=quiet)
    ours = {name.partition(".")[0] for name in sys.modules} & {"strategies", "subnet", "clients", "tokenomics"}
    print(json.dumps({"runs": seen, "imported": sorted(ours)}))  # noqa: T201 -- what the test reads


@pytest.mark.processes
def test_a_plain_app_learns_among_cheats_as_without(tmp_path):
    """NaN, another shape, an explosion, an error and a claim of 1e12 examples move the model by a hundredth at most."""
    home, spool = tmp_path / "home", tmp_path / "spool"
    home.mkdir()
    spool.mkdir()
    settings = {"FLWR_HOME": str(home), "HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0"}
    settings |= {"FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run(
        [sys.executable, __file__, spool],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **settings, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["imported"] == ["strategies"]
    honest, cheats = said["runs"]["honest"], said["runs"]["cheats"]
    assert honest["reasons"] == []
    assert np.abs(np.subtract(honest["w"], TRUTH)).max() < 0.02
    assert np.abs(np.subtract(honest["w"], cheats["w"])).max() < 0.01
    assert cheats["n"] == N_NODES
    assert {"failed", "malformed", "non-finite update"} <= set(cheats["reasons"])
    assert list(spool.iterdir()) == []


if __name__ == "__main__":
    play()
