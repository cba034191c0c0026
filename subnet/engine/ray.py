"""Flower's own simulation engine: the same two apps on Ray actors, each in a process of its own."""

import importlib.util
import logging
import os
import tempfile
import threading

from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

from subnet.errors import EngineError


def run_on_ray(server: ServerApp, client: ClientApp, *, n_nodes: int, stop: threading.Event) -> None:
    """Run both apps on Flower's simulation engine until the ServerApp ends.

    The user's Flower home isn't touched: unless `FLWR_HOME` names one, the engine gets one for the time of the run.

    Args:
        server: plays the run, on a thread of the engine's.
        client: answers for all nodes, on Ray actors of one processor each.
        n_nodes: how many.
        stop: is set when the user interrupts, so that the ServerApp's thread ends too.

    Raises:
        EngineError: Ray isn't installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise EngineError("--engine flower needs Ray", remedy="pip install 'flower-subnet[simulation]'")
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    config = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"logging_level": logging.ERROR, "log_to_driver": False},
    }
    with tempfile.TemporaryDirectory(prefix="flwr-home-") as home:
        os.environ.setdefault("FLWR_HOME", home)
        from flwr.simulation import run_simulation

        logging.getLogger("flwr").setLevel(logging.ERROR)
        try:
            run_simulation(server, client, num_supernodes=n_nodes, backend_config=config)  # type: ignore[arg-type]
        except BaseException:
            stop.set()
            raise
        finally:
            if os.environ["FLWR_HOME"] == home:
                del os.environ["FLWR_HOME"]
