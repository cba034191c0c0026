"""What `benchmarks.aggregation` says of its measurements: who is best, the table, and the bars."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.limits import GRAM_PRODUCTS, Speeds, limit_s
from benchmarks.measure import OURS, Measurement

__all__ = [
    "ALONE_FROM_BYTES",
    "LEGEND",
    "TIMES",
    "Bar",
    "Comparison",
    "Row",
    "bars",
    "cell_name",
    "compared",
    "notes",
    "table",
]

TIMES: Mapping[str, float] = {
    "median": 8.0,
    "trimmed_mean": 2.0,
    "krum": 3.0,
    "multi_krum": 3.0,
    "bulyan": 8.0,
    "geometric_median": 6.0,
    "centered_clipping": 5.0,
    "nnm+trimmed_mean": 6.0,
}
"""How many times faster than the best peer, at 20 clients: in CPU time on one thread, in wall time on more."""
LEANER = 10.0
"""How many times less extra memory than the best peer's."""
ALONE_BYTES = 100e6
"""Extra memory of a cell without peers."""
ALONE_FROM_BYTES = 4e9
"""Inputs of this size are measured without peers: the best of them take up to 8 GB more for one."""
TOLERANCE = 1e-3
"""Relative difference that float32 may make; other conventions make hundredths."""
NO_BAR = ("mean",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One library's measurement of a rule in a cell."""

    n: int
    d: int
    threads: int
    rule: str
    library: str
    measurement: Measurement
    difference: float | None = None
    """Of a peer's result from ours with the peer's conventions (`peers.LIKE`), relative, in the sum of absolutes."""

    @property
    def seconds(self) -> float:
        """What is compared: CPU time on one thread, wall time on more."""
        return self.measurement.cpu_s if self.threads == 1 else self.measurement.wall_s

    @property
    def differs(self) -> bool:
        """Whether the result is another than ours."""
        return self.difference is not None and not self.difference <= TOLERANCE


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A rule in a cell: ours, and the peers that came through."""

    ours: Row
    peers: Sequence[Row] = field(default_factory=tuple)
    """Those with a measurement, the fastest first."""

    @property
    def best(self) -> Row | None:
        """The fastest peer."""
        return self.peers[0] if self.peers else None

    @property
    def leanest(self) -> Row | None:
        """The peer with the least extra memory."""
        return min(self.peers, key=lambda row: row.measurement.extra_bytes, default=None)

    @property
    def times(self) -> float:
        """How many times faster than the best peer; infinite without one."""
        return self.best.seconds / self.ours.seconds if self.best else float("inf")

    @property
    def leaner(self) -> float:
        """How many times less extra memory than the best peer's; infinite without one."""
        if self.best is None:
            return float("inf")
        return self.best.measurement.extra_bytes / max(1, self.ours.measurement.extra_bytes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One thing that has to hold."""

    text: str
    passed: bool


def compared(rows: Iterable[Row]) -> list[Comparison]:
    """Rows by cell, number of threads and rule, in the order in which ours come."""
    rows = list(rows)
    return [
        Comparison(
            ours=ours,
            peers=sorted(
                (
                    row
                    for row in rows
                    if _place(row) == _place(ours) and row is not ours and not row.measurement.trouble
                ),
                key=lambda row: row.seconds,
            ),
        )
        for ours in rows
        if ours.library == OURS
    ]


def _place(row: Row) -> tuple[int, int, int, str]:
    return row.n, row.d, row.threads, row.rule


def bars(rows: Iterable[Row]) -> list[Bar]:
    """Every bar that applies to the rows, passed or missed."""
    return [bar for comparison in compared(rows) for bar in _bars_of(comparison)]


def _bars_of(comparison: Comparison) -> list[Bar]:
    ours, best = comparison.ours, comparison.best
    where = f"{cell_name(ours.n, ours.d)}, {_threads(ours.threads)}, {ours.rule}"
    if ours.measurement.trouble:
        return [Bar(text=f"{where}: {ours.measurement.trouble}", passed=False)]
    if ours.rule in NO_BAR:
        return []
    if best is None:
        extra = ours.measurement.extra_bytes
        text = f"{where}: {extra / 1e6:.0f} MB beyond the input, less than {ALONE_BYTES / 1e6:.0f} wanted"
        return [Bar(text=text, passed=extra < ALONE_BYTES)] if ours.n * ours.d * 4 >= ALONE_FROM_BYTES else []
    wanted = TIMES.get(ours.rule, 1.0) if ours.n == 20 else 1.0
    return [
        Bar(
            text=f"{where}: {comparison.times:.2f} times faster than {best.library}, {wanted:g} wanted",
            passed=comparison.times >= wanted,
        ),
        Bar(
            text=f"{where}: {comparison.leaner:.1f} times less memory than {best.library}, {LEANER:g} wanted",
            passed=comparison.leaner >= LEANER,
        ),
    ]


def cell_name(n: int, d: int) -> str:
    """A cell as `--cells` takes it, such as 20x1e6."""
    short = f"{d:.15g}" if d < 1000 else f"{d:e}"
    mantissa, _, exponent = short.partition("e")
    return f"{n}x{float(mantissa):g}e{int(exponent)}" if exponent else f"{n}x{short}"


def table(comparisons: Sequence[Comparison], speeds: Speeds) -> str:
    """The table of one cell at one number of threads.

    Args:
        comparisons: All of them there, one or more.
        speeds: The machine's, with as many threads.

    Returns:
        Lines of text.
    """
    first = comparisons[0].ours
    head = (
        f"{cell_name(first.n, first.d)}, {_threads(first.threads)}; the machine: copying "
        f"{speeds.copy_bytes_per_s / 1e9:.1f} GB/s, sgemm {speeds.gemm_flops / 1e9:.0f} GF/s"
    )
    counted = "CPU" if first.threads == 1 else "wall"
    names = ["rule", "ours CPU s", "wall s", "MB", "best peer", "CPU s", "wall s", "MB", f"times ({counted})"]
    names += ["memory", "leanest peer", "of the limit"]
    lines = [names, *(_line(comparison, speeds) for comparison in comparisons)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(names))]
    text = ["  ".join(_aligned(cell, width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([head, *(line.rstrip() for line in text)])


def _aligned(cell: str, width: int) -> str:
    return cell.ljust(width) if cell[:1].isalpha() else cell.rjust(width)


def _line(comparison: Comparison, speeds: Speeds) -> list[str]:
    ours, best, leanest = comparison.ours, comparison.best, comparison.leanest
    if ours.measurement.trouble:
        return [ours.rule, ours.measurement.trouble, *[""] * 10]
    share = limit_s(ours.rule, n=ours.n, d=ours.d, speeds=speeds) / ours.seconds
    line = [ours.rule, *_figures(ours)]
    if best is None or leanest is None:
        return [*line, "none", *[""] * 6, f"{share:.0%}"]
    mark = " (differs)" if best.differs else ""
    line += [best.library + mark, *_figures(best), f"{comparison.times:.2f}", f"{comparison.leaner:.1f}"]
    return [*line, f"{leanest.library} {leanest.measurement.extra_bytes / 1e6:.0f} MB", f"{share:.0%}"]


def _figures(row: Row) -> list[str]:
    found = row.measurement
    return [f"{found.cpu_s:.4f}", f"{found.wall_s:.4f}", f"{found.extra_bytes / 1e6:.1f}"]


def notes(rows: Iterable[Row]) -> list[str]:
    """Peers that came to no end, and those whose result is another than ours."""
    found = []
    for row in rows:
        where = f"{row.library}, {row.rule}"
        if row.measurement.trouble:
            found.append(f"{where}: {row.measurement.trouble}")
        elif row.differs:
            found.append(f"{where}: differs from ours by {row.difference:.1e}, in {row.seconds:.3f} s")
    return found


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


LEGEND = f"""\
Seconds are the least of several calls, MB the peak of resident memory above what was there before the first call (the
result included). Ours is compared with the peer that is fastest: by CPU time on one thread, by wall time on more.
The limit: every input byte read once at the speed of copying (bytes read and written), or 2 n^2 d operations of sgemm
(twice for nnm+trimmed_mean) if that takes longer, for {", ".join(GRAM_PRODUCTS)}."""
