"""More updates than memory: rules that read a file of float32 rows.

`python -m benchmarks.disk [--clients 100] [--params 100000000] [--rules mean,median,...] [--folder DIR] [--threads 2]`

Writes clients x params values (40 GB by default), aggregates the file with each rule through `Updates.from_file`, each
in a process of its own, and deletes the file. The kernel counts the file's mapped pages as resident, though it drops
them whenever it likes; what a rule itself needs is the anonymous memory, and that is what the bar is on (256 MB beyond
the aggregate; a process that takes `--cap-gib` ends itself). Before every rule the file's pages are dropped from the
cache, and so they are before a plain read of the first 8 GB, whose speed is told beside the rules' (a mapping's
read-ahead can be the faster one, so it is no limit). The exit status is 1 if a rule misses the bar or fails.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch

import strategies
from benchmarks.aggregation import byzantine

RULES = ("mean", "median", "trimmed_mean", "krum", "multi_krum", "bulyan", "geometric_median", "nnm+trimmed_mean")
BAR_BYTES = 256e6
"""Anonymous memory beyond the aggregate."""
_ROOT = Path(__file__).resolve().parents[1]
_SPARE_BYTES = 2**30
_PIECE_BYTES = 2**24
_SAMPLE_S = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a rule took."""

    wall_s: float
    cpu_s: float
    anonymous_bytes: int
    """Peak of RssAnon over what it was before; the aggregate is in it."""
    resident_bytes: int
    """Peak of VmRSS over what it was before, the file's mapped pages included."""
    read_bytes: int
    """What the process had fetched from the disk."""
    checksum: float
    """Sum of the aggregate's absolute values."""


class Peaks:
    """The peaks of this process's memory while a `with` block runs, sampled by a thread every 20 ms.

    Args:
        cap_bytes: Anonymous memory at which the process kills itself, before it takes the machine along.
    """

    def __init__(self, cap_bytes: float) -> None:
        self._cap = cap_bytes
        self._names = ("RssAnon", "VmRSS")
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._before = self._now()
        self._most = self._before

    def __enter__(self) -> Self:
        self._before = self._most = self._now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    @property
    def extra(self) -> tuple[int, int]:
        """Bytes above the start: anonymous, and all that is resident."""
        return self._most[0] - self._before[0], self._most[1] - self._before[1]

    def _watch(self) -> None:
        while not self._done.wait(_SAMPLE_S):
            self._look()

    def _look(self) -> None:
        now = self._now()
        if now[0] > self._cap:
            signal.raise_signal(signal.SIGKILL)
        self._most = max(self._most[0], now[0]), max(self._most[1], now[1])

    def _now(self) -> tuple[int, int]:
        lines = Path("/proc/self/status").read_text().splitlines()
        values = {line.partition(":")[0]: line.split()[1] for line in lines if line.startswith(self._names)}
        return int(values["RssAnon"]) * 1024, int(values["VmRSS"]) * 1024


def write(path: Path, *, n: int, d: int) -> None:
    """Write n rows of d values: a common direction, another noise a row, and a fifth of the rows far off.

    Each row repeats a piece of 16 MiB at another offset, since making 10^10 normal values would take minutes.
    """
    random = np.random.default_rng(20)
    step = min(d, _PIECE_BYTES // 4)
    pieces = [random.standard_normal(step, dtype=np.float32) for _ in range(2)]
    with path.open("wb", buffering=0) as file:
        for row in range(n):
            outlier = row >= n - byzantine(n)
            noise = np.roll(pieces[0], row * 7_919)
            piece = (noise * 3 - 1) if outlier else noise * (1 + row / (50 * n)) + pieces[1]
            piece = np.ascontiguousarray(piece, dtype=np.float32)
            for start in range(0, d, step):
                _write_all(file.fileno(), piece[: d - start].data.cast("B"))
        os.fsync(file.fileno())


def _write_all(descriptor: int, values: memoryview) -> None:
    while values:
        values = values[os.write(descriptor, values) :]


def forget(path: Path) -> None:
    """Drop a file's pages from the page cache."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def reading_speed(path: Path, *, threads: int, most_bytes: int = 8 * 10**9) -> float:
    """Bytes a second of plain reads of 16 MiB, each thread on a part of the first 8 GB, which isn't in the cache."""
    forget(path)
    share = min(most_bytes, path.stat().st_size) // threads

    def read(part: int) -> int:
        buffer, total = bytearray(_PIECE_BYTES), 0
        with path.open("rb", buffering=0) as file:
            file.seek(part * share)
            while total < share and (count := file.readinto(buffer)):
                total += count
        return total

    start = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(read, range(threads)))
    return total / (time.perf_counter() - start)


def aggregated(path: Path, *, rule: str, n: int, d: int, cap_bytes: float) -> Found:
    """Aggregate the file with a rule, here."""
    robust = {} if rule in ("mean", "median", "geometric_median") else {"n_byzantine": byzantine(n)}
    chosen = strategies.create(rule, **robust)
    chosen.aggregate(torch.ones(n, 100) * torch.arange(n)[:, None])
    before = _read_bytes()
    cpu, wall = time.process_time(), time.perf_counter()
    with Peaks(cap_bytes) as peaks:
        update = chosen.aggregate(strategies.Updates.from_file(path, n_clients=n, n_params=d)).update
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    anonymous, resident = peaks.extra
    return Found(
        wall_s=wall,
        cpu_s=cpu,
        anonymous_bytes=anonymous,
        resident_bytes=resident,
        read_bytes=_read_bytes() - before,
        checksum=float(update.abs().sum(dtype=torch.float64)),
    )


def _read_bytes() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


def room(folder: Path, *, n: int, d: int) -> None:
    """Refuse what doesn't fit the disk, with 1 GiB to spare."""
    needed, free = n * d * 4 + _SPARE_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(
            f"error: {n} x {d} float32 values and 1 GiB to spare are {needed / 1e9:.1f} GB; {folder} has "
            f"{free / 1e9:.1f} GB free: give another --folder, or --params {max(0, free - _SPARE_BYTES) // (4 * n)}"
        )


def in_process(path: Path, rule: str, options: argparse.Namespace) -> Found | str:
    """Aggregate in a process of its own; what went wrong, if anything did."""
    forget(path)
    job = {"path": str(path), "rule": rule, "n": options.clients, "d": options.params, "cap_gib": options.cap_gib}
    command = [sys.executable, "-m", "benchmarks.disk", "--job", json.dumps(job)]
    added = {"OMP_NUM_THREADS": str(options.threads), "MKL_NUM_THREADS": str(options.threads)}
    ended = subprocess.run(command, cwd=_ROOT, env=os.environ | added, capture_output=True, text=True, check=False)
    if ended.returncode:
        said = ended.stderr.strip().splitlines()[-1:] or [""]
        killed = ended.returncode == -signal.SIGKILL
        return "killed: out of memory" if killed else f"ended with {ended.returncode}: {said[0]}"
    return Found(**json.loads(ended.stdout))


def line(rule: str, found: Found | str, *, d: int) -> str:
    """A rule's line in the table."""
    if isinstance(found, str):
        return f"{rule:<18}{found}"
    speed = found.read_bytes / found.wall_s
    return (
        f"{rule:<18}{found.wall_s:>9.1f}{found.cpu_s:>9.1f}{found.anonymous_bytes / 1e6:>12.0f}"
        f"{(found.anonymous_bytes - 4 * d) / 1e6:>12.0f}{found.resident_bytes / 1e6:>12.0f}"
        f"{found.read_bytes / 1e9:>10.1f}{speed / 1e9:>8.2f}"
    )


HEAD = (
    f"{'rule':<18}{'wall s':>9}{'CPU s':>9}{'anonymous':>12}{'w/o result':>12}{'resident':>12}{'read GB':>10}"
    f"{'GB/s':>8}"
)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--params", type=lambda text: int(float(text)), default=100_000_000)
    parser.add_argument("--rules", type=lambda text: text.split(","), default=list(RULES))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cap-gib", type=float, default=4.0, help="anonymous memory that a rule may take")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--job", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    if min(options.clients, options.params, options.threads) < 1:
        parser.error("1 client, 1 parameter and 1 thread or more")
    for rule in options.rules:
        try:
            strategies.create(rule)
        except strategies.StrategyError as error:
            parser.error(str(error))
    return options


def main() -> None:
    """Write the file, aggregate it with every rule, print the table or one JSON object, and delete the file."""
    options = arguments()
    if job := options.job:
        cap = job["cap_gib"] * 2**30
        found = aggregated(Path(job["path"]), rule=job["rule"], n=job["n"], d=job["d"], cap_bytes=cap)
        print(json.dumps(asdict(found)))
        return
    n, d = options.clients, options.params
    room(options.folder, n=n, d=d)
    rows: dict[str, Found | str] = {}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "updates.bin"
        write(path, n=n, d=d)
        plain = reading_speed(path, threads=options.threads)
        if not options.json:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            print(
                f"{n} x {d} float32: {n * d * 4 / 1e9:.1f} GB; memory {memory / 1e9:.1f} GB; "
                f"plain reads before the first rule {plain / 1e9:.2f} GB/s"
            )
            print(f"{HEAD}   (memory in MB, {options.threads} threads, {options.cap_gib:g} GiB allowed)", flush=True)
        for rule in options.rules:
            rows[rule] = in_process(path, rule, options)
            if not options.json:
                print(line(rule, rows[rule], d=d), flush=True)
    if options.json:
        print(json.dumps({"plain_read_bytes_per_s": plain, "rows": rows}, default=asdict))
    if any(isinstance(found, str) or found.anonymous_bytes - 4 * d > BAR_BYTES for found in rows.values()):
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
