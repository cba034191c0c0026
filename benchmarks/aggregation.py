"""Aggregation beside the peers': CPU and wall time, extra memory, and the machine's limit.

`python -m benchmarks.aggregation [--cells 20x1e6,20x1e7,100x1e6,100x1e7] [--threads 1,2] [--rules median,...] [--json]`

Every measurement (a library, a rule, a cell of n clients x d parameters, a number of threads) is a process of its own
on the same input; what is called is told in `benchmarks/peers.py`. The peers live in an environment of their own
(`--peers`), made out of `benchmarks/peers.txt` where it is missing: 6 GB. A process may allocate 16 GiB, and its first
call may take `--limit` seconds; what exceeds that is shown as such. Ours and the best peer are measured twice, in
turns. Cells of 4 GB or more are measured without peers. The exit status is 1 if a bar is missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.limits import Speeds
from benchmarks.measure import OURS, Job, Measurement
from benchmarks.peers import LIBRARIES, LIKE, OFFERS, REQUIREMENTS
from benchmarks.report import ALONE_FROM_BYTES, LEGEND, TIMES, Row, bars, cell_name, compared, notes, table

RULES = (*TIMES, "meamed", "mean")
_ROOT = Path(__file__).resolve().parents[1]
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "flower-subnet" / "peers"


def cell_of(text: str) -> tuple[int, int]:
    """Read `20x1e6`.

    >>> cell_of("20x1e6")
    (20, 1000000)
    """
    n, _, d = text.partition("x")
    try:
        cell = int(n), int(float(d))
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} isn't clients x parameters, such as 20x1e6") from error
    if cell[0] < 1 or cell[1] < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: 1 client and 1 parameter or more")
    return cell


def byzantine(n: int) -> int:
    """How many of n clients are outliers and expected to be: a fifth, or what Bulyan's n >= 4f + 3 allows."""
    return max(0, min(n // 5, (n - 3) // 4))


def environment(folder: Path) -> Path:
    """The peers' Python, in an environment that is made where it is missing.

    Args:
        folder: Where it is or shall be.

    Returns:
        Its interpreter.
    """
    python = folder / "bin" / "python"
    if not python.exists():
        print(f"making the peers' environment in {folder} (minutes, once)", file=sys.stderr)
        venv.create(folder, with_pip=True)
    if _run([str(python), "-m", "benchmarks.peers"]).returncode:
        install = [str(python), "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)]
        if subprocess.run(install, stdout=sys.stderr, check=False).returncode:
            sys.exit(f"error: {REQUIREMENTS} can't be installed in {folder}: see above, or give another --peers")
    return python


def _run(command: Sequence[str], *, threads: int = 1, limit_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a module of this folder, in a process that knows its number of threads before it imports anything."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    added = {name: str(threads) for name in names} | {"PYTHONPATH": str(_ROOT), "FLWR_TELEMETRY_ENABLED": "0"}
    return subprocess.run(
        command, cwd=_ROOT, env=os.environ | added, capture_output=True, text=True, check=False, timeout=limit_s
    )


def measured(job: Job, python: Path | str = sys.executable) -> Measurement:
    """Measure in a process of its own; whatever ends that process is told as the measurement's trouble."""
    command = [str(python), "-m", "benchmarks.measure", json.dumps(asdict(job))]
    ended = _run(command, threads=job.threads)
    if ended.returncode == 0:
        return Measurement(**json.loads(ended.stdout.splitlines()[-1]))
    reasons = {-14: f"took longer than {job.limit_s:g} s", -9: "killed (out of memory)"}
    said = ended.stderr.strip().splitlines()[-1:] or [""]
    return Measurement(trouble=reasons.get(ended.returncode, f"crashed ({ended.returncode}): {said[0]}"))


def speeds_of(n: int, threads: int) -> Speeds:
    """The machine's limits, measured in a process of their own."""
    ended = _run([sys.executable, "-m", "benchmarks.limits", str(n), str(threads)], threads=threads)
    ended.check_returncode()
    return Speeds(**json.loads(ended.stdout))


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """What stays the same in a run."""

    python: Path | None
    """The peers'; None: without peers."""
    folder: Path
    """For results."""
    limit_s: float
    iterations: int

    def rule(self, rule: str, *, cell: tuple[int, int], threads: int) -> list[Row]:
        """Measure a rule in a cell: ours and then all peers that have it, and the best of them again, then ours."""
        n, d = cell
        job = Job(
            library=OURS, rule=rule, n=n, d=d, n_byzantine=byzantine(n), threads=threads, iterations=self.iterations,
            limit_s=self.limit_s, result=str(self._result(rule, OURS)),
        )  # fmt: skip
        rows = [self._row(job)]
        if self.python is None or n * d * 4 >= ALONE_FROM_BYTES or rows[0].measurement.trouble:
            return rows
        libraries = [library for library in LIBRARIES if rule in OFFERS[library]]
        rows += [self._row(replace(job, library=name, result=str(self._result(rule, name)))) for name in libraries]
        best = compared(rows)[0].best
        again = {} if best is None else {name: self._row(replace(job, library=name)) for name in (best.library, OURS)}
        return [_better(row, again[row.library]) if row.library in again else row for row in rows]

    def _row(self, job: Job) -> Row:
        found = measured(job, sys.executable if job.library == OURS else self.python or "")
        difference = None
        if job.library != OURS and not found.trouble:
            difference = self._difference(job)
        return Row(
            n=job.n, d=job.d, threads=job.threads, rule=job.rule, library=job.library, measurement=found,
            difference=difference,
        )  # fmt: skip

    def _difference(self, job: Job) -> float:
        """Of a peer's saved result from ours with the peer's conventions, relative, in the sum of absolute values.

        A norm would count a rounding that tips one of a million choices as a thousandth.
        """
        wanted = self._result(job.rule, OURS)
        like = LIKE.get((job.library, job.rule), {})
        if like:
            wanted = self.folder / "like.npy"
            reference = replace(job, library=OURS, settings=dict(like), once=True, result=str(wanted))
            if trouble := measured(reference).trouble:
                raise RuntimeError(f"ours with {like}: {trouble}")
        theirs = np.load(self._result(job.rule, job.library)).astype(np.float64)
        mine = np.load(wanted)
        return float(np.abs(theirs - mine).sum() / np.abs(mine).sum()) if theirs.shape == mine.shape else np.inf

    def _result(self, rule: str, library: str) -> Path:
        return self.folder / f"{rule} {library}.npy"


def _better(one: Row, other: Row) -> Row:
    """The better of two measurements of the same, figure by figure."""
    a, b = one.measurement, other.measurement
    if b.trouble:
        return one
    best = Measurement(
        cpu_s=min(a.cpu_s, b.cpu_s),
        wall_s=min(a.wall_s, b.wall_s),
        extra_bytes=min(a.extra_bytes, b.extra_bytes),
        repeats=a.repeats + b.repeats,
    )
    return replace(one, measurement=best)


def rows_of(bench: Bench, options: argparse.Namespace) -> Iterator[tuple[list[Row], Speeds]]:
    """All rows of each cell at each number of threads, with the machine's speeds."""
    for cell in options.cells:
        for threads in options.threads:
            rows: list[Row] = []
            for rule in options.rules:
                rows += bench.rule(rule, cell=cell, threads=threads)
                print(f"{cell_name(*cell)}, threads {threads}: {rule} measured", file=sys.stderr)
            yield rows, speeds_of(cell[0], threads)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the program ends with what is wrong in it."""

    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if wrong := [name for name in chosen if name not in RULES]:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} isn't one of {', '.join(RULES)}")
        return chosen

    def counts(text: str) -> list[int]:
        if not all(part.isdigit() and int(part) for part in text.split(",")):
            raise argparse.ArgumentTypeError(f"{text!r} isn't a list of numbers of threads, such as 1,2")
        return [int(part) for part in text.split(",")]

    def cells(text: str) -> list[tuple[int, int]]:
        return [cell_of(part) for part in text.split(",")]

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=cells, default="20x1e6,20x1e7,100x1e6,100x1e7")
    parser.add_argument("--threads", type=counts, default="1,2")
    parser.add_argument("--rules", type=names, default=",".join(RULES))
    parser.add_argument("--peers", type=Path, default=_CACHE, help="folder of the peers' environment")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a call may take")
    parser.add_argument("--iterations", type=int, default=3, help="of geometric_median and centered_clipping")
    parser.add_argument("--json", action="store_true", help="all rows, instead of the tables")
    return parser.parse_args(given)


def main() -> None:
    """Measure, print the tables and the bars, or one JSON object."""
    options = arguments()
    with_peers = any(n * d * 4 < ALONE_FROM_BYTES for n, d in options.cells)
    python = environment(options.peers) if with_peers else None
    versions = _run([str(python), "-m", "benchmarks.peers"]).stdout.strip() if python else ""
    everything: list[Row] = []
    limits: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(python=python, folder=Path(folder), limit_s=options.limit, iterations=options.iterations)
        for rows, speeds in rows_of(bench, options):
            everything += rows
            limits.append({"n": rows[0].n, "threads": rows[0].threads, **asdict(speeds)})
            if not options.json:
                print(
                    "\n".join([table(compared(rows), speeds), *(f"  {note}" for note in notes(rows)), ""]), flush=True
                )
    checked = bars(everything)
    if options.json:
        answer = {"peers": versions, "rows": everything, "limits": limits, "bars": checked}
        print(json.dumps(answer, default=asdict))
    else:
        print(LEGEND, f"Peers: {versions}", "", sep="\n")
        print("\n".join(f"{'pass' if bar.passed else 'MISS'}  {bar.text}" for bar in checked))
    if not all(bar.passed for bar in checked):
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
