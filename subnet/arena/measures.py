"""The five measurements of a cell as the page shows them: what they are called, how they are written and coloured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from subnet.arena.attacks import NO_ATTACK

N_LEVELS = 7
"""Colours, 0 for the worst to 6 for the best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One measurement.

    Attributes:
        name: short name, that of its switch.
        title: what it is and its unit.
        scale: what the colours say.
        column: its column in the table; there is one of that name and `_ci95` beside it.
        bounds: from which badness on the next worse colour begins, six ascending numbers.
        unit: what follows a bound in the legend.
        badness: of a value, given the reference.
        reference: what values are compared with, of all rows; None for nothing.
        written: a value as text.
        missing: text where there is no value.
    """

    name: str
    title: str
    scale: str
    column: str
    bounds: Sequence[float]
    unit: str
    badness: Callable[[float, float], float]
    reference: Callable[[Sequence[dict[str, Any]]], float]
    written: Callable[[float], str]
    missing: str = "–"

    def level(self, value: float | None, reference: float) -> int | None:
        """Return the colour of a value: from 0, the worst, to 6; None where there is neither value nor colour."""
        if value is None:
            return None if self.missing == "–" else 0
        badness = self.badness(value, reference)
        return N_LEVELS - 1 - sum(badness >= bound for bound in self.bounds)

    def legend(self) -> list[str]:
        """Return what each colour means, from the best."""
        spelt = [f"{bound:g}{self.unit}" for bound in self.bounds]
        return [*(f"< {bound}" for bound in spelt), f"{spelt[-1]} or more"]


def _calm(table: Sequence[dict[str, Any]], column: str) -> list[float]:
    """Return a column's values without attack, or all if every row has one; 1 if there is no value."""
    calm = [row for row in table if row["attack"] == NO_ATTACK] or table
    return [row[column] for row in calm if row[column] is not None] or [1.0]


def _short(value: float) -> str:
    """Return a number to about three digits.

    >>> _short(0.01234), _short(3.456), _short(123.4), _short(1e12)
    ('0.012', '3.46', '123', '1e+12')
    """
    if value >= 1e4:
        return f"{value:.0e}"
    return f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 100 else f"{value:.0f}"


MEASURES = (
    Measure(
        name="accuracy",
        title="Accuracy on test data, %",
        scale="points below the best without attack",
        column="accuracy_percent",
        bounds=(1, 2, 5, 10, 20, 40),
        unit="",
        badness=lambda value, best: best - value,
        reference=lambda table: max(_calm(table, "accuracy_percent")),
        written=lambda value: f"{value:.1f}",
    ),
    Measure(
        name="loss",
        title="Loss on test data",
        scale="times the least without attack",
        column="loss",
        bounds=(1.1, 1.25, 1.5, 2, 4, 10),
        unit="×",
        badness=lambda value, least: value / max(least, 1e-9),
        reference=lambda table: min(_calm(table, "loss")),
        written=_short,
        missing="∞",
    ),
    Measure(
        name="attack success",
        title="Attack success: share of test inputs that get the answer the attack wants, %",
        scale="share",
        column="attack_success_percent",
        bounds=(2, 5, 10, 20, 40, 70),
        unit=" %",
        badness=lambda value, _: value,
        reference=lambda _: 0.0,
        written=lambda value: f"{value:.1f}",
    ),
    Measure(
        name="distance",
        title="Distance of the aggregate to the honest mean, in norms of that mean",
        scale="distance",
        column="distance_to_honest_mean",
        bounds=(0.1, 0.25, 0.5, 1, 2, 5),
        unit="",
        badness=lambda value, _: value,
        reference=lambda _: 0.0,
        written=_short,
    ),
    Measure(
        name="time",
        title="Wall time of a cell, training included, s",
        scale="times the quickest cell",
        column="wall_s",
        bounds=(1.5, 2, 3, 5, 10, 20),
        unit="×",
        badness=lambda value, least: value / max(least, 1e-9),
        reference=lambda table: min(row["wall_s"] for row in table),
        written=_short,
    ),
)
