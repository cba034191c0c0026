"""What an audit costs, beside what the validator's own scoring and aggregation cost in the run.

Usage: python -m benchmarks.audit [--subnet examples/optdigits] [--clients 20] [--rounds 20] [--json]

A run is played in this process and audited in it, both `REPEATS` times in turn. Each audit is divided by what the
validator's steps took in its own turn, so that both had the same machine, and the median ratio is told (`ratio_min`:
the least); so are the medians of the times, in processor seconds of the one thread that did the work.

`ratio` is the whole audit (screening, scoring, aggregation, judgement, ledger, reading and comparing) over the
validator's `score`, `aggregate` and `accept` alone; `ratio_with_judge` over its `judge` too, which makes scores
payable; `ratio_same_steps` over its screening and all of `conclude`, too. The exit status is 1 if `ratio` is above the
bar.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import subnet.round
import subnet.settle
from subnet.audit import audit
from subnet.cli.screen import Quiet
from subnet.engine.simulate import Scenario, simulate
from subnet.spec import load_spec

BAR = 1.2
REPEATS = 5
_SCORING = ("score", "aggregate", "accept")


def measure(app_dir: Path, *, n_clients: int, n_rounds: int) -> dict[str, Any]:
    """Play and audit a run; return processor seconds of both, and their ratio.

    Args:
        app_dir: the subnet's folder.
        n_clients: a fifth of them cheat.
        n_rounds: rounds to play.
    """
    n_cheats = n_clients // 5
    cast = f"honest={n_clients - n_cheats}" + (f",sign_flip={n_cheats}" if n_cheats else "")
    scenario = Scenario(
        spec=load_spec(app_dir), app_dir=app_dir, cast=cast, partition="dirichlet:0.5", seed=0, n_rounds=n_rounds
    )
    torch.set_num_threads(1)
    plays, audits = [], []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            plays.append(_play(scenario, Path(folder) / "run"))
            audits.append(_audit(Path(folder) / "run", app_dir))
    spent = {name: statistics.median(one[name] for one in plays) for name in plays[0]}
    return {
        "clients": n_clients,
        "rounds": n_rounds,
        **{f"{name}_s": round(seconds, 3) for name, seconds in spent.items()},
        "audit_s": round(statistics.median(audits), 3),
        "ratio": _ratio(plays, audits, _SCORING),
        "ratio_min": _ratio(plays, audits, _SCORING, of=min),
        "ratio_with_judge": _ratio(plays, audits, (*_SCORING, "judge")),
        "ratio_same_steps": _ratio(plays, audits, (*_SCORING, "screen", "conclude")),
    }


def _ratio(
    plays: Sequence[Counter[str]],
    audits: Sequence[float],
    steps: Sequence[str],
    *,
    of: Callable[[list[float]], float] = statistics.median,
) -> float:
    """Return the median (or `of`) of each audit's time over that of the validator's steps in the same turn."""
    found = [audit_s / sum(play[name] for name in steps) for play, audit_s in zip(plays, audits, strict=True)]
    return round(of(found), 3)


def _play(scenario: Scenario, folder: Path) -> Counter[str]:
    """Play a run, and return what each of the validator's steps took."""
    spent: Counter[str] = Counter()
    steps = dict.fromkeys(("screen", *_SCORING), subnet.round)
    steps |= dict.fromkeys(("conclude", "judge"), subnet.settle)  # judge is a part of conclude
    real = {name: getattr(module, name) for name, module in steps.items()}
    try:
        for name, step in real.items():
            setattr(steps[name], name, _timed(name, step, spent))
        simulate(scenario, folder, engine="inprocess", observer=Quiet(None))
    finally:
        for name, step in real.items():
            setattr(steps[name], name, step)
    return spent


def _timed(name: str, step: Callable[..., Any], spent: Counter[str]) -> Callable[..., Any]:
    def timed(*args: Any, **more: Any) -> Any:
        began = time.thread_time()
        try:
            return step(*args, **more)
        finally:
            spent[name] += time.thread_time() - began  # type: ignore[assignment]

    return timed


def _audit(folder: Path, app_dir: Path) -> float:
    began = time.thread_time()
    report = audit(folder, [app_dir])
    seconds = time.thread_time() - began
    if not report.ok:
        sys.exit(f"the run that was played doesn't agree: {report.first}")
    return seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--subnet", type=Path, default=Path("examples/optdigits"), help="the subnet's folder")
    parser.add_argument("--clients", type=int, default=20, help="participants  [default: 20]")
    parser.add_argument("--rounds", type=int, default=20, help="rounds  [default: 20]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.rounds < 1 or options.clients < 2:
        sys.exit("at least one round and two clients")
    row = measure(options.subnet.resolve(), n_clients=options.clients, n_rounds=options.rounds)
    print(json.dumps(row) if options.json else "  ".join(f"{name} {value}" for name, value in row.items()))
    if row["ratio"] > BAR:
        sys.exit(f"above the bar of {BAR}")


if __name__ == "__main__":
    main()
