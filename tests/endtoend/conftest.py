"""Helpers of the end-to-end tests: the command line in a process of its own, in a folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
BLOBS = ROOT / "tests" / "apps" / "blobs"
DIGITS = ROOT / "examples" / "digits"


class CommandLine:
    """Runs `subnet` in `folder`, with a Flower home of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[bytes]] = []
        self.environment = {
            **os.environ,
            "FLWR_HOME": str(folder / "flwr-home"),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "XDG_DATA_HOME": str(folder / "data"),
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "COLUMNS": "200",
        }

    def run(self, *arguments: object, timeout_s: float = 300, **more: object) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(  # type: ignore[call-overload, no-any-return]
            ["subnet", *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            **more,
        )

    def start(self, *arguments: object, program: str = "subnet", log: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own."""
        with (log or self.folder / "log").open("ab") as output:
            process = subprocess.Popen(
                [program, *map(str, arguments)],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def stop(self) -> None:
        """End, by their sessions, the processes that were started and still run; also after Ctrl-C in a test."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def left_behind(self, *, patience_s: float = 20) -> list[str]:
        """Return the command lines of processes that have this command line's environment and don't end by themselves.

        Ray's actors are told to end when the command does, and take a moment on a busy machine.
        """
        until = time.monotonic() + patience_s
        while (found := self._running()) and time.monotonic() < until:
            time.sleep(0.1)
        return found

    def _running(self) -> list[str]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("FLWR_HOME") == self.environment["FLWR_HOME"]:
                    found.append(" ".join(process.cmdline()))
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
        return found


def with_probes(example: Path, parent: Path) -> Path:
    """Copy a subnet's folder into `parent`, with eight probes a participant and round in its rules."""
    folder = shutil.copytree(example, parent / f"{example.name}-with-probes")
    spec = folder / "subnet.toml"
    text = spec.read_text()
    assert text.count("[scoring]\n") == 1
    spec.write_text(text.replace("[scoring]\n", "[scoring]\nprobes = 8\n"))
    return folder


@pytest.fixture
def subnet(tmp_path: Path) -> Iterator[CommandLine]:
    """A command line in a fresh folder; what it started is ended with the test."""
    command_line = CommandLine(tmp_path)
    yield command_line
    command_line.stop()


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = 120.0) -> None:
    """Wait for a condition, looking often, with a deadline."""
    end = time.monotonic() + timeout_s
    pause = signal.sigtimedwait if hasattr(signal, "sigtimedwait") else None
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s:g} s for {what}"
        if pause:
            pause([], 0.005)


def tree(folder: Path) -> dict[str, bytes]:
    """Return every content-addressed file of a run with its content, by path."""
    kinds = ("models", "updates", "contributions", "receipts", "rounds")
    return {
        str(path.relative_to(folder)): path.read_bytes() for kind in kinds for path in sorted((folder / kind).iterdir())
    }
