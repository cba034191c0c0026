"""How well each outlier check tells cheats from honest clients, and how often honest ones lie beyond a threshold.

Every kind of cheat plays by itself against the same honest clients. Nobody is suspended (a strike would end a cheat's
part in the figures after its first round), so what the checks say is seen in every round; all else is the spec's.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

import torch

from benchmarks.scoring.figures import auc
from benchmarks.scoring.report import Part, Table
from benchmarks.scoring.runs import Run, play, spec_of
from subnet.engine.simulate import Scenario
from subnet.scoring import strikes
from subnet.scoring.base import z_scores
from subnet.spec import ScoringSection

__all__ = ["CHEATS", "CHECKS", "part"]

CHEATS = (
    "sign_flip", "scaling", "label_flip", "noisy_labels", "mean_flip", "ipm",
    "alie", "min_max", "mimic", "noise", "stale", "copycat",
)  # fmt: skip
PARTITIONS = ("dirichlet:0.1", "dirichlet:0.5", "iid")

CHECKS: Mapping[str, int] = {
    "norm_ratio": 1,
    "centre_distance_z": 1,
    "neighbour_distance_z": 1,
    "spectral": 1,
    "gradient_cosine": -1,
    "first_z": -1,
}
"""Whether much (1) or little (-1) of it is suspicious."""

_RULES = ScoringSection()
BEYOND: Mapping[str, float] = {
    "norm_ratio": _RULES.strike_norm_ratio,
    "centre_distance_z": 3.0,
    "neighbour_distance_z": 3.0,
    "spectral": 9.0,
    "gradient_cosine": 0.0,
    "first_z": _RULES.strike_z,
}
"""A check's threshold by itself: three standard scores, as much in squares, pointing uphill; and the strike rule's."""

Numbers = dict[str, Any]


def numbers_of(receipt: Mapping[str, Any]) -> Numbers:
    """Return a receipt's checks, with the first credit's z and what the strike rule looks at."""
    found = receipt["numbers"]
    first = [torch.tensor([found[key]], dtype=torch.float64) for key in ("first_credit", "first_standard_error")]
    more = {"first_z": float(z_scores(*first)), "z": found["z"], "own_norm_ratio": found["own_norm_ratio"]}
    return found["outliers"] | more


def is_beyond(check: str, value: float) -> bool:
    """Say whether a value lies beyond its check's threshold."""
    return CHECKS[check] * value > CHECKS[check] * BEYOND[check]


def is_strike(numbers: Numbers) -> bool:
    """Say whether the strike rule's thresholds are passed."""
    seen = {name: numbers[name] for name in ("norm_ratio", "own_norm_ratio", "z")}
    return strikes.is_strike(**seen, rules=_RULES)


def _played(name: str, cheat: str, *, n_honest: int, n_cheats: int, n_rounds: int, partition: str, seed: int) -> Run:
    folder, spec = spec_of(name, scoring={"suspension": 0})
    return play(
        Scenario(
            spec=spec,
            app_dir=folder,
            cast=f"honest={n_honest},{cheat}={n_cheats}",
            partition=partition,
            seed=seed,
            n_rounds=n_rounds,
        )
    )


def _compared(honest: Sequence[Numbers], cheats: Sequence[Numbers]) -> dict[str, float]:
    return {
        check: auc([sign * one[check] for one in cheats], [sign * one[check] for one in honest])
        for check, sign in CHECKS.items()
    }


def _share(found: Sequence[bool]) -> float:
    return 100 * sum(found) / len(found) if found else 0.0


def part(
    name: str,
    *,
    seeds: Sequence[int],
    n_honest: int,
    n_cheats: int,
    n_rounds: int,
    partitions: Sequence[str] = PARTITIONS,
    cheats: Sequence[str] = CHEATS,
) -> Part:
    """Measure all checks against all cheats."""
    rows: list[dict[str, Any]] = []
    for partition in partitions:
        for cheat in cheats:
            seen: dict[bool, list[Numbers]] = defaultdict(list)
            for seed in seeds:
                run = _played(
                    name, cheat, n_honest=n_honest, n_cheats=n_cheats, n_rounds=n_rounds, partition=partition, seed=seed
                )
                for hotkey, kind in run.kinds.items():
                    scored = [receipt for receipt in run.receipts(hotkey) if receipt["numbers"]]
                    seen[kind == "honest"] += [numbers_of(receipt) for receipt in scored]
            honest, others = seen[True], seen[False]
            rows.append(
                {"task": name, "partition": partition, "cheat": cheat, "n_seeds": len(seeds)}
                | {"n_honest_rounds": len(honest), "n_cheat_rounds": len(others)}
                | {f"{check}_auc": value for check, value in _compared(honest, others).items()}
                | {f"honest_{key}": value for key, value in _beyond(honest).items()}
                | {f"cheats_{key}": value for key, value in _beyond(others).items()}
            )
    setting = f"{n_honest} honest, {n_cheats} cheats, {n_rounds} rounds of {name}, seeds {', '.join(map(str, seeds))}"
    return Part(
        name="outliers",
        tables=[_overall(rows, partitions, setting), _thresholds(rows, partitions), _each(rows, partitions, cheats)],
        rows=rows,
        bars=[],
    )


def _beyond(found: Sequence[Numbers]) -> dict[str, float]:
    single = {f"beyond_{check}_percent": _share([is_beyond(check, one[check]) for one in found]) for check in CHECKS}
    return single | {"struck_percent": _share([is_strike(one) for one in found])}


def _overall(rows: Sequence[dict[str, Any]], partitions: Sequence[str], setting: str) -> Table:
    lines = []
    for check in CHECKS:
        means = [mean(row[f"{check}_auc"] for row in rows if row["partition"] == one) for one in partitions]
        lines.append([check, *(f"{value:.2f}" for value in means)])
    return Table(title=f"AUC, mean over the cheats: {setting}", head=["check", *partitions], rows=lines)


def _thresholds(rows: Sequence[dict[str, Any]], partitions: Sequence[str]) -> Table:
    lines = []
    for key in [*(f"beyond_{check}_percent" for check in CHECKS), "struck_percent"]:
        cells = []
        for who in ("honest", "cheats"):
            cells += [
                f"{mean(row[f'{who}_{key}'] for row in rows if row['partition'] == one):.2f}" for one in partitions
            ]
        lines.append([_words(key), *cells])
    head = ["beyond", *(f"{who}, {one}" for who in ("honest", "cheats") for one in partitions)]
    return Table(title="Client-rounds beyond a threshold, %", head=head, rows=lines)


def _words(key: str) -> str:
    if key == "struck_percent":
        return f"the strike rule (over {_RULES.strike_norm_ratio:g} x both usual norms, and z < {_RULES.strike_z:g})"
    check = key.removeprefix("beyond_").removesuffix("_percent")
    return f"{check} {'>' if CHECKS[check] > 0 else '<'} {BEYOND[check]:g}"


def _each(rows: Sequence[dict[str, Any]], partitions: Sequence[str], cheats: Sequence[str]) -> Table:
    found = {(row["partition"], row["cheat"]): row for row in rows}
    lines = [
        [cheat, *(" / ".join(f"{found[one, cheat][f'{check}_auc']:.2f}" for one in partitions) for check in CHECKS)]
        for cheat in cheats
    ]
    return Table(title=f"AUC of every check, data {' / '.join(partitions)}", head=["cheat", *CHECKS], rows=lines)
