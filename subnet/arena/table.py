"""From cells to the table: means over seeds with confidence intervals, and the worst case that ranks the rules."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import mean, stdev
from typing import Any, TypeAlias

from subnet.arena.attacks import NO_ATTACK
from subnet.arena.cell import Cell, Stated
from subnet.arena.run import Result

Row: TypeAlias = dict[str, Any]

# two-sided 95 % quantiles of Student's t for 1 to 30 degrees of freedom
_T95 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131),
    *(2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def rows(results: Iterable[tuple[Cell, Result]]) -> list[Row]:
    """Return one row a rule, attack, partition and stated number of attackers: means over its seeds.

    Every figure has its unit in its name; `_ci95` is half the width of the 95 % confidence interval of the mean
    (Student's t), None for a single seed. `loss` is None where a model has exploded: there is no mean then.
    """
    groups: dict[tuple[str, Stated | None, str, str], list[Result]] = defaultdict(list)
    for cell, result in results:
        groups[cell.partition, cell.stated, cell.strategy, cell.attack].append(result)
    return [
        {
            "partition": partition,
            "stated_byzantine": stated,
            "strategy": strategy,
            "attack": attack,
            "n_seeds": len(found),
            **figure("accuracy_percent", [100 * one["accuracy"] for one in found]),
            **figure("loss", [one["loss"] for one in found]),
            **figure("attack_success_percent", _percent(one["attack_success"] for one in found)),
            **figure("distance_to_honest_mean", [one["distance"] for one in found]),
            **figure("wall_s", [one["wall_s"] for one in found]),
            **figure("aggregation_s", [one["aggregation_s"] for one in found]),
            "n_refused_rounds": sum(one["n_refused"] for one in found),
        }
        for (partition, stated, strategy, attack), found in groups.items()
    ]


def stated_numbers(table: Sequence[Row]) -> list[Stated]:
    """Return the numbers of attackers that rules were told of, as they come; a rule that can't be told has none."""
    return list(dict.fromkeys(row["stated_byzantine"] for row in table if row["stated_byzantine"] is not None))


def ranking(table: Sequence[Row]) -> list[Row]:
    """Return one row a rule, best first: its worst over everything played, and its accuracy without attack.

    A rule's worst case is the lowest mean accuracy over every attack, partition and stated number in the table;
    `worst_by_stated` has it for each stated number alone, the same for all of them if the rule can't be told.
    """
    by_rule: dict[str, list[Row]] = defaultdict(list)
    for row in table:
        by_rule[row["strategy"]].append(row)
    numbers = stated_numbers(table)
    ranked = []
    for strategy, found in by_rule.items():
        attacked = [row for row in found if row["attack"] != NO_ATTACK] or found
        calm = [row["accuracy_percent"] for row in found if row["attack"] == NO_ATTACK]
        successes = [row["attack_success_percent"] for row in found if row["attack_success_percent"] is not None]
        told = [number for number in numbers if any(row["stated_byzantine"] == number for row in found)]
        ranked.append(
            {
                "strategy": strategy,
                **_worst(attacked),
                "mean_accuracy_percent": mean(row["accuracy_percent"] for row in attacked),
                "calm_accuracy_percent": mean(calm) if calm else None,
                "most_attack_success_percent": max(successes, default=None),
                "takes_number": bool(told),
                "worst_by_stated": {
                    str(number): _worst([row for row in attacked if row["stated_byzantine"] in {number, None}])
                    for number in (told or numbers)
                },
            }
        )
    return sorted(ranked, key=lambda row: (-row["worst_accuracy_percent"], row["strategy"]))


def _worst(found: Sequence[Row]) -> Row:
    row = min(found, key=lambda row: row["accuracy_percent"])
    return {
        "worst_accuracy_percent": row["accuracy_percent"],
        "worst_accuracy_percent_ci95": row["accuracy_percent_ci95"],
        "worst_attack": row["attack"],
        "worst_partition": row["partition"],
        "worst_stated_byzantine": row["stated_byzantine"],
    }


def _percent(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None else 100 * value for value in values]


def figure(name: str, values: Sequence[float | None]) -> dict[str, float | None]:
    """Return the mean of values, and half the width of its 95 % confidence interval (Student's t).

    Args:
        name: of the mean; the interval's is that and `_ci95`.
        values: one a seed, at least one; if any is None, so is the mean.
    """
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return {name: None, f"{name}_ci95": None}
    if len(known) == 1:
        return {name: known[0], f"{name}_ci95": None}
    quantile = _T95[min(len(known) - 1, len(_T95)) - 1]
    return {name: mean(known), f"{name}_ci95": quantile * stdev(known) / sqrt(len(known))}
