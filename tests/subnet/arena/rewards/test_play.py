"""Whole subnets in a cell: the ledger's word on who earned what."""

import json
from dataclasses import replace

import pytest

from clients.errors import CastError
from subnet.arena.rewards.cell import RewardCell
from subnet.arena.rewards.play import play
from subnet.spec import load_spec
from tests.endtoend.conftest import BLOBS

CELL = RewardCell(
    subnet=str(BLOBS),
    spec=load_spec(BLOBS).hash,
    code="",
    scorer="path_credit",
    cheat="none",
    partition="iid",
    n_clients=6,
    n_cheats=2,
    n_rounds=3,
    seed=0,
)


def measured(result):
    """A result without its time."""
    return {name: value for name, value in result.items() if name != "wall_s"}


def test_a_cell_repeats_and_is_json():
    """The same cell gives the same measurements, all of them finite numbers or null."""
    first = play(replace(CELL, cheat="sign_flip"))
    assert measured(first) == measured(play(replace(CELL, cheat="sign_flip")))
    json.dumps(first, allow_nan=False)


def test_the_honest_alone_have_no_profit_to_compare_with():
    """Nobody cheats: all pay is theirs, and the model is as good as theirs alone."""
    result = play(CELL)
    assert (result["cheat_share"], result["profit"], result["top_profit"]) == (0.0, None, None)
    assert result["accuracy"] > 0.5
    assert 0 <= result["honest_cv"] < 3


def test_replaying_pays_under_the_obvious_scorer_and_not_under_the_default():
    """Individual improvement pays whoever sends the last public delta again; path credit's gate doesn't."""
    paid = play(replace(CELL, cheat="stale", scorer="individual", n_rounds=6))
    assert play(replace(CELL, cheat="stale", n_rounds=6))["cheat_share"] == 0
    assert paid["cheat_share"] > 0
    assert paid["top_profit"] >= paid["profit"] > 0


def test_strikes_are_counted_on_the_honest_alone():
    """A sign flipper that is struck isn't an honest participant that was."""
    assert play(replace(CELL, cheat="sign_flip:100"))["n_honest_struck"] == 0


def test_pay_that_a_strike_voids_isnt_kept():
    """Paid for four honest rounds, a turncoat that is struck in the fifth has nothing left of it."""
    turncoat = replace(CELL, cheat="on_off_poison:100")
    assert play(replace(turncoat, n_rounds=4))["cheat_share"] > 0
    after = play(replace(turncoat, n_rounds=5))
    assert (after["cheat_share"], after["profit"], after["n_honest_struck"]) == (0, 0, 0)


def test_an_unknown_cheat_is_refused_in_words():
    """The error lists what there is."""
    with pytest.raises(CastError, match="'ghost' is unknown"):
        play(replace(CELL, cheat="ghost"))


def test_a_cells_key_depends_on_all_but_the_folders_place():
    """Any field changes it, but for the folder."""
    assert replace(CELL, subnet="/elsewhere").key == CELL.key
    changes = {"scorer": "individual", "cheat": "zero", "partition": "dirichlet:0.5", "n_clients": 7, "n_cheats": 1}
    changes |= {"n_rounds": 4, "seed": 1, "spec": "other", "code": "other"}
    keys = {replace(CELL, **{name: value}).key for name, value in changes.items()}
    assert len(keys | {CELL.key}) == len(changes) + 1
