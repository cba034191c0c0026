"""One measurement in a process of its own: `python -m benchmarks.measure JOB`, the job and the answer in JSON.

Runs in this project's environment for its own rules and in the peers' for theirs, so neither is imported at the top.
"""

import ctypes
import gc
import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import peers

__all__ = ["OURS", "Job", "Measurement", "extra_bytes", "matrix", "settings_of"]

OURS = "ours"
MEMORY_CAP_BYTES = 16 * 2**30
"""A process asks for no more than this, input included (RLIMIT_DATA)."""
_SEED = 20
_WARM_COLUMNS = 1_000
_BUDGET_S = 3.0
_MOST_REPEATS = 15
_LONG_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to measure."""

    library: str
    """`OURS`, or one of `peers.LIBRARIES`."""
    rule: str
    n: int
    d: int
    n_byzantine: int
    threads: int
    iterations: int = 3
    """Of the geometric median and of centred clipping."""
    limit_s: float
    """The process ends by SIGALRM once the first call takes longer."""
    result: str = ""
    """Where the aggregate is saved (.npy); empty: nowhere."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Further settings of ours."""
    once: bool = False
    """One call only: the result is what is wanted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """The answer."""

    cpu_s: float = float("nan")
    """Of the call that took least, all threads."""
    wall_s: float = float("nan")
    extra_bytes: int = -1
    """Peak of the resident memory in the first call, less what was resident before it; the result is in it."""
    repeats: int = 0
    trouble: str = ""
    """What went wrong instead; empty if nothing did."""


def matrix(n: int, d: int, n_byzantine: int) -> np.ndarray:
    """The input: normal rows of two kinds of clients, each of its own width, and `n_byzantine` wide ones at the end.

    Every third honest row lies about 0, the others about .5: Krum's choice one after the other, as in Bulyan, is then
    another than its first few. The widths keep scores apart by more than rounding.

    Args:
        n: Rows, 1 or more.
        d: Columns, 1 or more.
        n_byzantine: How many of the rows are outliers.

    Returns:
        (n, d) float32, the same in every process.
    """
    rows = np.empty((n, d), dtype=np.float32)

    def fill(row: int) -> None:
        random = np.random.default_rng([_SEED, row])
        outlier = row >= n - n_byzantine
        scale = 3.0 if outlier else random.uniform(0.99, 1.01)
        random.standard_normal(dtype=np.float32, out=rows[row])
        rows[row] *= np.float32(scale)
        rows[row] += np.float32(-1.0 if outlier else 0.0 if row % 3 == 2 else 0.5)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fill, range(n)))
    return rows


def settings_of(rule: str, *, d: int, n_byzantine: int, iterations: int) -> dict[str, Any]:
    """The settings of ours that all peers are called with too (see `peers`)."""
    robust = {"n_byzantine": n_byzantine}
    own: dict[str, dict[str, Any]] = {
        "mean": {},
        "median": {},
        "geometric_median": {"nu": peers.NU, "iterations": iterations, "start": "zero"},
        "centered_clipping": {"tau": float(d) ** 0.5, "iterations": iterations, "start": "zero"},
    }
    return own.get(rule, robust)


def extra_bytes(call: Callable[[], Any]) -> int:
    """How far the resident memory rises above what it was, while a function runs; what it returns is in it."""
    gc.collect()
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)  # memory kept from the warm-up would hide as much of the call's own
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        before = _lifetime_peak()
        call()
        return _lifetime_peak() - before
    before = _status("VmRSS")
    kept = call()
    peak = _status("VmHWM")
    del kept
    return peak - before


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024


def _lifetime_peak() -> int:
    """Where the peak can't be reset: low if an earlier peak was higher, and the input's making has none."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _call_of(job: Job, rows: np.ndarray) -> Callable[[], Any]:
    if job.library != OURS:
        return peers.call_of(job.library, job.rule, rows, n_byzantine=job.n_byzantine, iterations=job.iterations)
    import strategies

    settings = settings_of(job.rule, d=rows.shape[1], n_byzantine=job.n_byzantine, iterations=job.iterations)
    rule = strategies.create(job.rule, **{**settings, **job.settings})
    updates = torch.from_numpy(rows)
    return lambda: rule.aggregate(updates).update


def _measure(job: Job) -> Measurement:
    torch.set_num_threads(job.threads)
    _call_of(job, matrix(job.n, min(_WARM_COLUMNS, job.d), job.n_byzantine))()
    call = _call_of(job, matrix(job.n, job.d, job.n_byzantine))
    times: list[tuple[float, float]] = []
    last: list[Any] = []

    def timed() -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        found = call()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
        last[:] = [found]
        return found

    signal.setitimer(signal.ITIMER_REAL, job.limit_s)  # no handler: it ends the process, even inside of C
    extra = extra_bytes(timed)
    signal.setitimer(signal.ITIMER_REAL, 0)
    while not job.once and _again([wall for _, wall in times]):
        last.clear()
        timed()
    if job.result:
        np.save(job.result, peers.as_array(last[0]))
    return Measurement(
        cpu_s=min(cpu for cpu, _ in times),
        wall_s=min(wall for _, wall in times),
        extra_bytes=extra,
        repeats=len(times),
    )


def _again(walls: list[float]) -> bool:
    """Two calls or more of those under 20 s, and of the quick ones as many as fit the budget."""
    if len(walls) == 1:
        return walls[0] < _LONG_S
    return sum(walls) < _BUDGET_S and len(walls) < _MOST_REPEATS


def main() -> None:
    """Measure the job in the first argument and print the answer."""
    job = Job(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_CAP_BYTES, MEMORY_CAP_BYTES))
    try:
        found = _measure(job)
    except MemoryError:
        found = Measurement(trouble="out of memory")
    except Exception as error:  # noqa: BLE001 -- a peer may raise anything, and that is its row
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        found = Measurement(trouble="out of memory" if "allocate memory" in text else text[:100])
    print(json.dumps(asdict(found)))


if __name__ == "__main__":
    main()
