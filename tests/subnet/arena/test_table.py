"""The table says what was measured, and the ranking goes by the worst case."""

from dataclasses import replace

import pytest

from subnet.arena.table import ranking, rows
from tests.subnet.arena.conftest import CELL, result


def test_rows_are_means_over_seeds_with_student_intervals():
    """Three seeds at 70, 80 and 90 %: mean 80, half width 4.303 x 10 / sqrt(3)."""
    found = [(replace(CELL, seed=seed), result(accuracy)) for seed, accuracy in enumerate([0.7, 0.8, 0.9])]
    [row] = rows(found)
    assert row["accuracy_percent"] == pytest.approx(80)
    assert row["accuracy_percent_ci95"] == pytest.approx(4.303 * 10 / 3**0.5)
    assert row["n_seeds"] == 3
    [single] = rows(found[:1])
    assert single["accuracy_percent_ci95"] is None


def test_a_row_has_every_measurement():
    """Accuracy, loss, attack success, distance and times, each with its interval."""
    [row] = rows([(CELL, result(0.5, attack_success=0.25, loss=2.0, distance=0.75, wall_s=3.0))])
    assert {name: value for name, value in row.items() if value is not None and name[-5:] != "_ci95"} == {
        "partition": "iid",
        "strategy": "mean",
        "attack": "none",
        "n_seeds": 1,
        "accuracy_percent": 50.0,
        "loss": 2.0,
        "attack_success_percent": 25.0,
        "distance_to_honest_mean": 0.75,
        "wall_s": 3.0,
        "aggregation_s": 0.1,
        "n_refused_rounds": 0,
    }


def test_an_exploded_model_leaves_no_mean_loss():
    """One seed's infinite loss isn't dropped from the mean: there is none."""
    [row] = rows([(CELL, result(0.5)), (replace(CELL, seed=1), result(0.1, loss=None))])
    assert row["loss"] is None
    assert row["accuracy_percent"] == pytest.approx(30)


def test_rules_are_ranked_by_their_worst_attack_not_by_their_mean():
    """A rule that is good on average and fails once ranks below a steady one; the calm field isn't an attack."""
    accuracies = {
        ("brilliant", "none"): 0.99,
        ("brilliant", "nan"): 0.98,
        ("brilliant", "alie"): 0.3,
        ("steady", "none"): 0.2,
        ("steady", "nan"): 0.6,
        ("steady", "alie"): 0.5,
    }
    table = rows(
        (replace(CELL, strategy=rule, attack=attack), result(value)) for (rule, attack), value in accuracies.items()
    )
    first, second = ranking(table)
    assert (first["strategy"], first["worst_accuracy_percent"], first["worst_attack"]) == ("steady", 50, "alie")
    assert (second["strategy"], second["worst_accuracy_percent"]) == ("brilliant", 30)
    assert second["calm_accuracy_percent"] == pytest.approx(99)


def test_the_worst_case_carries_its_own_interval():
    """It is the one of the worst cell, not of another."""
    cells = [(replace(CELL, attack="nan", seed=seed), result(accuracy)) for seed, accuracy in enumerate([0.1, 0.3])]
    cells += [(replace(CELL, attack="alie", seed=seed), result(0.9)) for seed in range(2)]
    [row] = ranking(rows(cells))
    assert row["worst_accuracy_percent"] == pytest.approx(20)
    assert row["worst_accuracy_percent_ci95"] == pytest.approx(12.706 * 10)


def test_the_worst_case_is_told_for_every_stated_number():
    """A rule that is told has one for each and ranks by the lowest; one that can't be told has the same in all."""
    told = [(2, 0.3), (4, 0.8), ("auto", 0.7)]
    cells = [
        (replace(CELL, strategy="told", attack="nan", stated=number), result(accuracy)) for number, accuracy in told
    ]
    cells.append((replace(CELL, strategy="deaf", attack="nan"), result(0.5)))
    first, second = ranking(rows(cells))
    assert first["strategy"] == "deaf"
    assert not first["takes_number"]
    worst = [
        {number: one["worst_accuracy_percent"] for number, one in row["worst_by_stated"].items()}
        for row in (first, second)
    ]
    assert worst == [{"2": 50, "4": 50, "auto": 50}, {"2": 30, "4": 80, "auto": 70}]
    assert second["worst_stated_byzantine"] == 2
