"""Peak memory of a ServerApp over a round: Flower's FedAvg, and RobustStrategy with its rows in memory and on disk.

`python -m benchmarks.flower_memory [--replies 8] [--megabytes 40] [--engines inprocess,deployment] [--spool /var/tmp]
[--json]`. The bar: with its rows on disk, RobustStrategy needs at most half of what FedAvg does, and as much for twice
the replies.

Each strategy plays one round of the same app with the same rule, the mean, in a process of its own. `inprocess` is this
project's Grid, whose clients run in the measured process too: their memory is in the figures. `deployment` is Flower's
own engine, a SuperLink and a SuperNode a reply, all real processes on 127.0.0.1; the measured one is the ServerApp's.
A figure is the peak of the process's resident memory (Linux's VmHWM, mapped files included) less what it had right
before the round, with everything imported and compiled and the first model made.

This file is also the Flower app that plays the round.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

VARIANTS = ("fedavg", "in memory", "on disk")
ENGINES = ("inprocess", "deployment")
TRAINING_S = 0.5
LEAST_RATIO = 2.0
MOST_GROWTH = 1.1
_APP = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "flower-memory"
version = "1.0.0"
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "flower-subnet"

[tool.flwr.app.components]
serverapp = "flower_memory:server"
clientapp = "flower_memory:client"

[tool.flwr.app.config]
variant = ""
replies = 0
megabytes = 0
spool = ""
out = ""
"""

client = ClientApp()
server = ServerApp()


@client.train()
def train(asked: Message, context: Context) -> Message:
    """Answer with the model, moved by the node's number; it takes a while, so that replies come one after another."""
    time.sleep(TRAINING_S)
    values = asked.content["arrays"]["w"].numpy()
    values += int(context.node_config["partition-id"])
    content = RecordDict({"arrays": ArrayRecord({"w": Array(values)}), "metrics": MetricRecord({"num-examples": 1})})
    return Message(content, reply_to=asked)


@server.main()
def serve(grid: Grid, context: Context) -> None:
    """Play one round and write down what it took."""
    config = context.run_config
    n_replies = int(config["replies"])
    strategy = strategy_of(str(config["variant"]), n_replies, str(config["spool"]))
    arrays = ArrayRecord({"w": Array(np.zeros(int(config["megabytes"]) * 250_000, dtype=np.float32))})
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak so far
    before = resident_mb("VmRSS")
    result = strategy.start(grid, arrays, num_rounds=1)
    row = {"before_mb": before, "peak_mb": resident_mb("VmHWM")}
    mean = float(result.arrays["w"].numpy().mean())
    assert abs(mean - (n_replies - 1) / 2) < 1e-3, f"the model is {mean}"
    Path(str(config["out"])).write_text(json.dumps(row), encoding="utf-8")


def strategy_of(variant: str, n_replies: int, spool: str) -> FedAvg:
    """One of the strategies that are compared; all take the mean."""
    settings = {"min_train_nodes": n_replies, "min_available_nodes": n_replies, "fraction_evaluate": 0.0}
    if variant == "fedavg":
        return FedAvg(**settings)  # type: ignore[arg-type]
    import torch

    import strategies
    from strategies.flower import RobustStrategy

    mean = strategies.create("mean")
    mean.aggregate(torch.eye(n_replies))  # its code is compiled when it is first needed
    return RobustStrategy(mean, spool=spool if variant == "on disk" else None, **settings)


def resident_mb(name: str) -> float:
    """This process's resident memory, now (VmRSS) or at its peak (VmHWM)."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024 / 1e6


def play_here(config: dict[str, int | str]) -> None:
    """Play a round on this project's Grid, in this process."""
    from subnet.engine.inprocess import InProcessGrid, server_context

    context = server_context()
    context.run_config.update(config)
    with InProcessGrid(client, n_nodes=int(config["replies"]), n_workers=1) as grid:
        server(grid, context)


def inprocess(configs: list[dict[str, int | str]], folder: Path) -> None:
    """Play each round on this project's Grid, in a process of its own."""
    for config in configs:
        command = [sys.executable, "-m", "benchmarks.flower_memory", "--play", json.dumps(config)]
        with (folder / "log").open("ab") as log:
            subprocess.run(command, cwd=Path(__file__).parents[1], stdout=log, stderr=log, check=True)


def deployment(configs: list[dict[str, int | str]], folder: Path) -> None:
    """Play the rounds on a SuperLink, one after another."""
    (folder / "pyproject.toml").write_text(_APP, encoding="utf-8")
    shutil.copy(__file__, folder)
    with federation(folder, n_nodes=max(int(config["replies"]) for config in configs)) as environment:
        for config in configs:
            settings = " ".join(f"{name}={json.dumps(value)}" for name, value in config.items())
            with (folder / "log").open("ab") as log:
                command = ["flwr", "run", folder, "mine", "--stream", "--run-config", settings]
                subprocess.run(command, env=environment, stdout=log, stderr=log, check=True, timeout=600)


@contextmanager
def federation(folder: Path, *, n_nodes: int) -> Iterator[dict[str, str]]:
    """A SuperLink with SuperNodes, ended with all that they have started; gives the environment to use it in."""
    home = folder / "home"
    home.mkdir()
    port, *ports = free_ports(n_nodes + 1)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "mine"\n\n[superlink.mine]\naddress = "127.0.0.1:{port}"\ninsecure = true\n',
        encoding="utf-8",
    )
    environment = {
        **os.environ,
        "FLWR_HOME": str(home),
        "HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    commands = [["flower-superlink", "--insecure", "--host", "127.0.0.1", "--port", str(port)]]
    for number, own in enumerate(ports):
        where = ["--superlink", f"127.0.0.1:{port}", "--port", str(own)]
        commands.append(["flower-supernode", "--insecure", *where, "--node-config", f"partition-id={number}"])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        with (folder / "federation.log").open("ab") as log:
            for command in commands:
                processes.append(
                    subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
                )
                if len(processes) == 1:
                    wait_for(port)
        yield environment
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def wait_for(port: int, *, timeout_s: float = 60.0) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def measured(engine: str, n_replies: int, options: argparse.Namespace) -> list[dict[str, float | int | str]]:
    """One row a strategy."""
    with tempfile.TemporaryDirectory(prefix="flower-memory-") as name:
        folder = Path(name)
        configs: list[dict[str, int | str]] = [
            {
                "variant": variant,
                "replies": n_replies,
                "megabytes": options.megabytes,
                "spool": options.spool,
                "out": str(folder / variant.replace(" ", "-")),
            }
            for variant in VARIANTS
        ]
        try:
            (inprocess if engine == "inprocess" else deployment)(configs, folder)
        except (subprocess.SubprocessError, OSError) as error:
            logs = [path.read_text(errors="replace")[-3000:] for path in sorted(folder.glob("*log"))]
            sys.exit("\n".join([*logs, f"{engine}: {error}"]))
        rows = []
        for config in configs:
            found = json.loads(Path(str(config["out"])).read_text(encoding="utf-8"))
            taken = found["peak_mb"] - found["before_mb"]
            rows.append({"engine": engine, "replies": n_replies, "strategy": config["variant"], **found, "mb": taken})
        return [{**row, "ratio": rows[0]["mb"] / row["mb"]} for row in rows]


def main() -> None:
    """Print a row for each engine, number of replies and strategy; fail if the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=8, help="and twice as many, on the first engine")
    parser.add_argument("--megabytes", type=int, default=40, help="of each reply")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--spool", default="/var/tmp", help="a folder on a disk")  # noqa: S108 -- nameless files
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--play", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        play_here(json.loads(options.play))
        return
    engines = options.engines.split(",")
    rows = [row for engine in engines for row in measured(engine, options.replies, options)]
    twice = measured(engines[0], 2 * options.replies, options)
    if options.json:
        print(json.dumps({"megabytes": options.megabytes, "rows": rows + twice}))
    else:
        print(f"replies of {options.megabytes} MB; MB above what the process had before the round")
        print(f"{'engine':12}{'replies':>8}  {'strategy':12}{'before':>8}{'peak':>8}{'above':>8}{'FedAvg / it':>13}")
        for row in rows + twice:
            print(
                f"{row['engine']:12}{row['replies']:>8}  {row['strategy']:12}{row['before_mb']:8.0f}"
                f"{row['peak_mb']:8.0f}{row['mb']:8.0f}{row['ratio']:13.2f}"
            )
    growth = float(twice[-1]["mb"]) / float(rows[len(VARIANTS) - 1]["mb"])
    if min(float(row["ratio"]) for row in rows if row["strategy"] == "on disk") < LEAST_RATIO or growth > MOST_GROWTH:
        sys.exit(f"a bar was missed: {LEAST_RATIO} times less than FedAvg, {MOST_GROWTH} times for twice the replies")


if __name__ == "__main__":
    main()
