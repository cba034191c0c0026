"""What scoring costs beside one forward evaluation of every client: the same process, model and batches, in turns."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch

import strategies
from benchmarks.scoring.models import Sequences
from benchmarks.scoring.report import Bar, Part, Table
from benchmarks.scoring.runs import task_of
from clients import weights
from clients.settings import TrainingSettings
from clients.task import Task
from clients.training import train
from subnet.scoring import course, geometry, outliers, path_credit
from subnet.scoring.base import Field
from subnet.scoring.history import History
from subnet.scoring.objective import Objective
from subnet.scoring.path_credit import PathCredit
from subnet.spec import ScoringSection
from subnet.store import Store

__all__ = ["MODELS", "Stopwatch", "field_of", "measured", "part"]

BAR = 0.25
N_BATCHES = 8
N_DELTAS = 5
_TRAINERS = 4
"""Clients whose mean makes each of the past global deltas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model to be measured: its task, how many examples a batch holds, and how many a client trains on."""

    task: Callable[[], Task]
    batch_size: int
    n_local: int


MODELS = {
    "cnn": Model(task=lambda: task_of("digits"), batch_size=64, n_local=40),
    "transformer": Model(task=Sequences, batch_size=64, n_local=16),
    "transformer_16": Model(task=Sequences, batch_size=16, n_local=16),
}
"""Batches of 64 are the spec's default; a transformer's hold 2,048 symbols, and 512 where there are 16 sequences."""


class Stopwatch:
    """CPU time by label, each without what is measured inside it."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner = [0.0]

    def wrapped(self, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, whose time is added to a label."""

        def timed(*given: Any, **named: Any) -> Any:
            began = time.process_time()
            self._inner.append(0.0)
            try:
                return function(*given, **named)
            finally:
                whole = time.process_time() - began
                self.seconds[label] += whole - self._inner.pop()
                self._inner[-1] += whole

        return timed


_PARTS: tuple[tuple[Any, str, str], ...] = (
    (Objective, "gradient", "gradients"),
    (geometry, "dot_products", "dot products"),
    (geometry, "measure", "geometry"),
    (path_credit, "sum_of_rows", "clipped mean"),
    (outliers, "check", "outliers"),
    (course, "cosines", "course"),
)
"""What is told apart; the gradient of an outlier check counts as a gradient."""


@contextmanager
def _watched() -> Iterator[Stopwatch]:
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, name, label in _PARTS:
            stack.enter_context(mock.patch.object(owner, name, watch.wrapped(label, getattr(owner, name))))
        yield watch


def field_of(model: Model, n_clients: int) -> Field:
    """Return a field of really trained updates, with five global deltas before it."""
    task = model.task()
    objective, data = Objective(task), task.training_data()
    settings = TrainingSettings(epochs=1, batch_size=min(16, model.n_local))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        base = objective.layout.read(task.model())

    def update(index: int, number: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(1000 * number + index)
        chosen = torch.randint(len(data), (model.n_local,), generator=torch.Generator().manual_seed(index))
        return train(task, base, data.take(chosen), settings, draw=draw)

    deltas = []
    for number in range(N_DELTAS):
        deltas.insert(0, torch.stack([update(index, number) for index in range(_TRAINERS)]).mean(0))
        base = base + deltas[0]
    rows = torch.stack([update(index, N_DELTAS) for index in range(n_clients)])
    batches = tuple(task.validation_data().batches(model.batch_size))
    return Field(
        hotkeys=tuple(f"{index:04d}" for index in range(n_clients)),
        arrivals=tuple(range(n_clients)),
        n_examples=(model.n_local,) * n_clients,
        updates=rows,
        base=base,
        deltas=torch.stack(deltas),
        batches=batches[:N_BATCHES],
        objective=objective,
    )


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measured(name: str, *, n_clients: int, n_evaluated: int, n_repeats: int) -> dict[str, Any]:
    """Measure a model, on one thread.

    Args:
        name: of one of `MODELS`.
        n_clients: 2 or more.
        n_evaluated: of how many clients the evaluations are timed, 1 to `n_clients`; the others are taken to cost as
            much.
        n_repeats: how often scoring and evaluations take turns, at least 1.
    """
    torch.set_num_threads(1)
    field = field_of(MODELS[name], n_clients)
    scorer = PathCredit(ScoringSection())
    rule = strategies.create("credit_gated")
    appraisal = scorer.appraise(field, History())
    evidence = strategies.Evidence(
        credit=appraisal.credit, z=appraisal.z, hotkeys=field.hotkeys, gated=appraisal.excluded(field)
    )
    combined = rule.aggregate(field.updates, evidence=evidence)

    def forward() -> None:
        for row in field.updates[:n_evaluated]:
            field.objective.losses(field.base + row, field.batches)

    def score() -> None:
        found = scorer.appraise(field, History())
        scorer.credit(field, found, combined.update, influence=combined.influence)

    share = n_evaluated / n_clients
    with TemporaryDirectory() as folder:
        layout, store = field.objective.layout, Store(Path(folder))
        last = {
            hotkey: store.put("updates", weights.encode(layout, row))
            for hotkey, row in zip(field.hotkeys, field.updates, strict=True)
        }

        def check() -> None:
            outliers.check(field, appraisal.geometry, descent=appraisal.descent)
            course.cosines(
                field, appraisal.geometry, last, lambda digest: weights.decode(layout, store.get("updates", digest))
            )

        check()  # compiled by now
        turns = [
            {"forward": _cpu_s(forward) / share, "score": _cpu_s(score), "check": _cpu_s(check)}
            for _ in range(n_repeats)
        ]
        with _watched() as watch:
            whole = _cpu_s(lambda: (score(), check()))
    plain = [turn["score"] / turn["forward"] for turn in turns]
    full = [(turn["score"] + turn["check"]) / turn["forward"] for turn in turns]
    return {
        "model": name,
        "n_params": len(field.base),
        "n_clients": n_clients,
        "n_evaluated": n_evaluated,
        "n_repeats": n_repeats,
        "forward_cpu_s": median(turn["forward"] for turn in turns),
        "scoring_cpu_s": median(turn["score"] for turn in turns),
        "outliers_cpu_s": median(turn["check"] for turn in turns),
        "ratio": median(plain),
        "ratio_least": min(plain),
        "ratio_most": max(plain),
        "with_outliers_ratio": median(full),
        "with_outliers_ratio_least": min(full),
        "with_outliers_ratio_most": max(full),
        **{_key(label): watch.seconds[label] for _, _, label in _PARTS},
        _key("rest"): whole - sum(watch.seconds.values()),
    }


def part(names: list[str], *, n_clients: int, n_evaluated: int, n_repeats: int) -> Part:
    """Measure all models named."""
    rows = [
        measured(name, n_clients=n_clients, n_evaluated=min(n_evaluated, n_clients), n_repeats=n_repeats)
        for name in names
    ]
    costs = [
        [
            row["model"],
            f"{row['n_params']:,}",
            f"{row['forward_cpu_s']:.2f}",
            f"{row['scoring_cpu_s']:.2f}",
            _range(row, "ratio"),
            f"{row['outliers_cpu_s']:.2f}",
            _range(row, "with_outliers_ratio"),
        ]
        for row in rows
    ]
    labels = [*(label for _, _, label in _PARTS), "rest"]
    shares = [[row["model"], *(f"{row[_key(label)]:.3f}" for label in labels)] for row in rows]
    return Part(
        name="cost",
        tables=[
            Table(
                title=f"Scoring {n_clients} clients, CPU s and ratio to their evaluations (median, range)",
                head=["model", "parameters", "evaluations", "scoring", "ratio", "outlier checks", "ratio with them"],
                rows=costs,
            ),
            Table(title="Where the time goes, CPU s", head=["model", *labels], rows=shares),
        ],
        rows=rows,
        bars=[
            Bar(
                text=f"{row['model']}: cost over evaluations, checks included",
                value=row["with_outliers_ratio"],
                limit=BAR,
                at_most=True,
            )
            for row in rows
        ],
    )


def _range(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f} ({row[f'{name}_least']:.3f}-{row[f'{name}_most']:.3f})"


def _key(label: str) -> str:
    return f"of_which_{label.replace(' ', '_')}_cpu_s"
