"""From cells to the table: what each cheat earned under each scorer, and the worst of it."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from subnet.arena.rewards.cell import NO_CHEAT, RewardCell
from subnet.arena.table import figure

Row: TypeAlias = dict[str, Any]


def rows(results: Iterable[tuple[RewardCell, dict[str, Any]]]) -> list[Row]:
    """Return one row a division, scorer and cheat: means over its seeds with 95 % confidence intervals (`_ci95`).

    Every figure has its unit in its name. `profit_ratio` is a cheat's pay over an honest participant's.
    `accuracy_loss_points` is against the same scorer's field of the honest alone, seed by seed; None where that wasn't
    played.
    """
    groups: dict[tuple[str, str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for cell, result in results:
        groups[cell.partition, cell.scorer, cell.cheat][cell.seed] = result
    return [
        {
            "partition": partition,
            "scorer": scorer,
            "cheat": cheat,
            "n_seeds": len(found),
            **figure("cheat_share_percent", [100 * one["cheat_share"] for one in found.values()]),
            **figure("profit_ratio", [one["profit"] for one in found.values()]),
            **figure("top_profit_ratio", [one["top_profit"] for one in found.values()]),
            **figure("accuracy_percent", [_percent(one["accuracy"]) for one in found.values()]),
            **figure("accuracy_loss_points", _losses(found, groups.get((partition, scorer, NO_CHEAT), {}))),
            **figure("honest_cv_ratio", [one["honest_cv"] for one in found.values()]),
            **figure("honest_starved_percent", [100 * one["honest_starved"] for one in found.values()]),
            "n_honest_struck": sum(one["n_honest_struck"] for one in found.values()),
            "n_refused_rounds": sum(one["n_refused"] for one in found.values()),
            **figure("wall_s", [one["wall_s"] for one in found.values()]),
        }
        for (partition, scorer, cheat), found in groups.items()
    ]


def summary(table: Sequence[Row]) -> list[Row]:
    """Return one row a scorer and division, the scorer that pays cheats least first.

    `cheat_share_percent` is the mean over all cheats, each played alone; `worst_profit_ratio` the largest profit.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in table:
        if row["cheat"] != NO_CHEAT:
            groups[row["scorer"], row["partition"]].append(row)
    found = []
    for (scorer, partition), cheats in groups.items():
        paid = [row for row in cheats if row["profit_ratio"] is not None]
        worst = max(paid, key=lambda row: row["profit_ratio"], default=None)
        losses = [row["accuracy_loss_points"] for row in cheats if row["accuracy_loss_points"] is not None]
        found.append(
            {
                "scorer": scorer,
                "partition": partition,
                "cheat_share_percent": sum(row["cheat_share_percent"] for row in cheats) / len(cheats),
                "worst_profit_ratio": worst["profit_ratio"] if worst else None,
                "worst_cheat": worst["cheat"] if worst else None,
                "most_accuracy_loss_points": max(losses, default=None),
                "n_honest_struck": sum(row["n_honest_struck"] for row in cheats),
            }
        )
    return sorted(found, key=lambda row: (row["cheat_share_percent"], row["scorer"], row["partition"]))


def _losses(found: dict[int, dict[str, Any]], calm: dict[int, dict[str, Any]]) -> list[float | None]:
    """Return the points of accuracy lost by seed; None for each seed that has nothing to compare with."""
    return [
        100 * (calm[seed]["accuracy"] - one["accuracy"])
        if seed in calm and calm[seed]["accuracy"] is not None and one["accuracy"] is not None
        else None
        for seed, one in found.items()
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value
