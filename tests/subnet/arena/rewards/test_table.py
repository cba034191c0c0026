"""Rows, the worst of them, and the page."""

from dataclasses import replace

import pytest

from subnet.arena.rewards.choices import read
from subnet.arena.rewards.page import page
from subnet.arena.rewards.table import rows, summary
from subnet.errors import ArenaError, SpecError
from tests.endtoend.conftest import BLOBS
from tests.subnet.arena.rewards.test_play import CELL


def result(**changed):
    """A result that was never played."""
    plain = {"cheat_share": 0.0, "profit": None, "top_profit": None, "accuracy": 0.9, "honest_cv": 0.1}
    return {**plain, "honest_starved": 0.0, "n_honest_struck": 0, "n_refused": 0, "wall_s": 1.0, **changed}


RESULTS = [
    *((replace(CELL, seed=seed), result(accuracy=0.9 + 0.02 * seed)) for seed in (0, 1)),
    *(
        (replace(CELL, cheat="stale", seed=seed), result(cheat_share=0.1, profit=0.5 + seed, accuracy=0.8))
        for seed in (0, 1)
    ),
    (replace(CELL, cheat="zero"), result(profit=0.0, n_honest_struck=2)),
    (replace(CELL, cheat="stale", scorer="individual"), result(cheat_share=0.4, profit=3.0)),
]


def test_a_row_is_the_mean_over_seeds_and_compares_accuracy_seed_by_seed():
    """Points lost are against the same seed's field of the honest alone; None where that wasn't played."""
    found = {(row["scorer"], row["cheat"]): row for row in rows(RESULTS)}
    stale = found["path_credit", "stale"]
    assert (stale["n_seeds"], stale["profit_ratio"], stale["cheat_share_percent"]) == (2, 1.0, 10.0)
    assert stale["accuracy_loss_points"] == pytest.approx(11.0)
    assert stale["profit_ratio_ci95"] > 0
    assert found["individual", "stale"]["accuracy_loss_points"] is None
    assert found["path_credit", "none"]["profit_ratio"] is None


def test_the_scorer_that_pays_cheats_least_comes_first():
    """Its share is the mean over the cheats, its worst the largest profit, strikes on honest ones are added up."""
    first, second = summary(rows(RESULTS))
    assert (first["scorer"], second["scorer"]) == ("path_credit", "individual")
    assert first["cheat_share_percent"] == pytest.approx(5.0)
    assert (first["worst_cheat"], first["worst_profit_ratio"], first["n_honest_struck"]) == ("stale", 1.0, 2)


def choices(**changed):
    """Choices of a small arena."""
    plain = {"cheats": "zero,copycat:0.5", "scorers": None, "partitions": "iid", "n_clients": 6, "n_cheating": 2}
    return read(BLOBS, **{**plain, "n_rounds": 3, "seeds": range(2), **changed})


def test_the_page_needs_nothing_else_and_shows_every_row():
    """No address of anything, every cheat and scorer by name, a plot for each scorer."""
    table = rows(RESULTS)
    text = page(choices().facts(), table=table, scorers=summary(table))
    assert "http" not in text
    assert "src=" not in text
    for word in ("blobs.task:Blobs", "6, 2 of them cheat", "stale", "zero", "path_credit", "individual", "3.00"):
        assert word in text
    assert text.count("<svg") == 2


def test_every_cheat_is_played_under_every_scorer_with_the_honest_alone_beside_it():
    """Cells are seeds x divisions x scorers x (cheats and none); by default all kinds but those that stay away."""
    cells = choices(scorers="path_credit,individual").cells()
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 2 * 3
    default = {cell.cheat for cell in choices(cheats=None).cells()}
    assert {"none", "sign_flip", "stale", "copycat", "nan", "unsigned"} <= default
    assert not {"honest", "late", "crash"} & default


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ({"cheats": "honest"}, ArenaError, "'honest'"),
        ({"cheats": "zero,zero"}, ArenaError, "twice"),
        ({"scorers": "ghost"}, SpecError, "'ghost' is unknown"),
        ({"n_cheating": 6}, ArenaError, "--cheating 6 of --clients 6"),
    ],
)
def test_nonsense_is_refused_before_anything_is_played(option, error, words):
    """The error names the value, and has a remedy."""
    with pytest.raises(error, match=words) as caught:
        choices(**option)
    assert caught.value.remedy
