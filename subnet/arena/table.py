"""From cells to the table: means over seeds with confidence intervals, and the worst case that ranks the rules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any

from subnet.arena.cell import Cell
from subnet.arena.play import NO_ATTACK
from subnet.arena.run import Result

# two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def rows(results: Iterable[tuple[Cell, Result]]) -> list[dict[str, Any]]:
    """Return one row a rule, attack, partition and stated number of attackers: means over its seeds.

    Every figure has its unit in its name; `_ci95` is half the width of the 95 % confidence interval of the mean
    (Student's t), None for a single seed.
    """
    groups: dict[tuple[str, int, str, str], list[Result]] = defaultdict(list)
    for cell, result in results:
        groups[cell.partition, cell.stated, cell.strategy, cell.attack].append(result)
    return [
        {
            "partition": partition,
            "stated_byzantine": stated,
            "strategy": strategy,
            "attack": attack,
            "n_seeds": len(found),
            **_figure("accuracy_percent", [100 * one["accuracy"] for one in found if one["accuracy"] is not None]),
            **_figure("loss", [one["loss"] for one in found if one["loss"] is not None]),
            **_figure("attack_success_percent", _percent(one["attack_success"] for one in found)),
            **_figure("distance_to_honest_mean", [one["distance"] for one in found]),
            **_figure("aggregation_s", [one["aggregation_s"] for one in found]),
            "n_refused_rounds": sum(one["n_refused"] for one in found),
        }
        for (partition, stated, strategy, attack), found in groups.items()
    ]


def ranking(table: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row a rule, best first: its accuracy without attack and its worst over all attacks.

    A rule's worst case is the lowest mean accuracy over every attack, partition and stated number in the table.
    """
    by_rule: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in table:
        by_rule[row["strategy"]].append(row)
    ranked = []
    for strategy, found in by_rule.items():
        attacked = [row for row in found if row["attack"] != NO_ATTACK] or found
        worst = min(attacked, key=lambda row: row["accuracy_percent"])
        calm = [row["accuracy_percent"] for row in found if row["attack"] == NO_ATTACK]
        ranked.append(
            {
                "strategy": strategy,
                "worst_accuracy_percent": worst["accuracy_percent"],
                "worst_attack": worst["attack"],
                "worst_partition": worst["partition"],
                "mean_accuracy_percent": mean(row["accuracy_percent"] for row in attacked),
                "calm_accuracy_percent": mean(calm) if calm else None,
            }
        )
    return sorted(ranked, key=lambda row: (-row["worst_accuracy_percent"], row["strategy"]))


def _percent(values: Iterable[float | None]) -> list[float]:
    return [100 * value for value in values if value is not None]


def _figure(name: str, values: list[float]) -> dict[str, float | None]:
    if not values:
        return {name: None, f"{name}_ci95": None}
    if len(values) == 1:
        return {name: values[0], f"{name}_ci95": None}
    quantile = _T95[min(len(values) - 1, len(_T95)) - 1]
    return {name: mean(values), f"{name}_ci95": quantile * stdev(values) / sqrt(len(values))}
