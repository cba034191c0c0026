"""Course: a sender's updates of two rounds are alike, and what goes against the last one is found."""

import pytest
import torch

from subnet.scoring import course, geometry
from subnet.scoring.history import History, PastRound
from subnet.scoring.strikes import is_turn
from subnet.spec import ScoringSection

RULES = ScoringSection(history=3)
FIELD = "abcdefg"


def past(cosines=None, *, updates=None, strikes=""):
    """A settled round of which scoring remembers cosines and the hashes of updates."""
    return PastRound(
        credits={}, cosines={}, own_cosines=cosines or {}, updates=updates or {}, strikes=frozenset(strikes)
    )


def found(now, *before, rules=RULES, among=FIELD):
    """Findings of a round after some others."""
    return course.find(now, History(tuple(before)), rules, among=among)


def test_cosines_are_those_of_the_novel_parts(make_field, trained):
    """With a public direction, what lies in it counts neither now nor before; newcomers and zeros have no cosine."""
    generator = torch.Generator().manual_seed(1)
    public = torch.randn(1, trained.shape[1], generator=generator)
    before = torch.randn(trained.shape, generator=generator) * 0.1 + 0.5 * trained
    before[3] = 0
    before[4] = -7 * trained[4] + 3 * public[0]
    field = make_field(trained, deltas=public)
    shape = geometry.measure(field.updates, field.deltas)
    stored = dict(zip("vwxyz", before, strict=True))
    last = {"b": "w", "c": "x", "d": "y", "e": "z", "gone": "v"}
    seen = course.cosines(field, shape, last, stored.__getitem__)
    unit = (public[0] / public[0].norm()).double()

    def rest(update):
        return update.double() - (update.double() @ unit) * unit

    assert set(seen) == {"b", "c", "e"}
    for hotkey, row in (("b", 1), ("c", 2)):
        expected = torch.cosine_similarity(rest(trained[row]), rest(before[row]), dim=0)
        assert seen[hotkey] == pytest.approx(float(expected), abs=1e-6)
    assert seen["e"] == pytest.approx(-1.0, abs=1e-6)


def test_the_last_update_is_the_newest_within_the_history_and_since_a_strike():
    """Older rounds than `history` are forgotten, and so is all up to a strike."""
    rounds = (
        past(updates={"a": "a1", "b": "b1", "c": "c1"}),
        past(updates={"a": "a2", "c": "c2"}),
        past(updates={"c": "c3", "d": "d3"}, strikes="d"),
        past(updates={"a": "a4"}, strikes="c"),
    )
    assert course.last_updates(History(rounds), RULES) == {"a": "a4"}
    assert course.last_updates(History(rounds[:3]), RULES) == {"a": "a2", "b": "b1", "c": "c3"}


def test_who_goes_against_its_last_update_has_turned():
    """At the limit nobody has; and an update that helps beyond noise is no strike whatever it turns against."""
    now = dict.fromkeys(FIELD, 0.8) | {"a": -0.3, "b": -0.25}
    seen = found(now)
    assert [hotkey for hotkey, one in seen.items() if one.turned] == ["a"]
    assert is_turn(seen["a"], z=1.9)
    assert not is_turn(seen["a"], z=2.0)
    assert not is_turn(seen["b"], z=-9.0)
    assert not is_turn(None, z=-9.0)
    assert not any(one.turned for one in found(now, rules=RULES.model_copy(update={"turn_cosine": -1.0})).values())


def test_who_keeps_no_course_is_below_a_share_of_the_fields_median():
    """On the mean of the last rounds, this one included, of at least three."""
    steady = dict.fromkeys(FIELD, 0.8)
    rounds = [past(steady | {"a": 0.4, "b": 0.5}), past(steady | {"a": 0.6, "b": 0.6})]
    seen = found(steady | {"a": 0.5, "b": 0.5}, *rounds)
    assert seen["a"].limit == pytest.approx(0.65 * 0.8)
    assert (seen["a"].mean, seen["a"].n_rounds) == (pytest.approx(0.5), 3)
    assert [hotkey for hotkey, one in seen.items() if one.no_course] == ["a"]
    early = found(steady | {"a": 0.1}, rounds[1])
    assert (early["a"].n_rounds, early["a"].limit, early["a"].no_course) == (2, None, False)
    old = found(steady | {"a": 0.8}, past({"a": -1.0}), *rounds)
    assert old["a"].mean == pytest.approx(0.6)
    lenient = found(steady | {"a": 0.0}, *rounds, rules=RULES.model_copy(update={"course_share": 0.0}))
    assert not lenient["a"].no_course


def test_nobody_is_judged_in_a_field_that_keeps_no_course():
    """Where data is new in every round, updates of two rounds aren't alike, and that is no fault."""
    flat = dict.fromkeys(FIELD, 0.2)
    seen = found(flat | {"a": -0.9}, past(flat), past(flat))
    assert not any(one.turned or one.no_course for one in seen.values())


def test_copies_do_not_move_the_fields_median():
    """Three of seven copy somebody under noise: the limit is that of the others."""
    now = dict.fromkeys(FIELD, 0.8) | dict.fromkeys("abc", 0.1)
    rounds = (past(now), past(now))
    whole, apart = found(now, *rounds)["d"].limit, found(now, *rounds, among="defg")["d"].limit
    assert whole == apart == pytest.approx(0.52)
    assert found(now, *rounds, among="abcd")["d"].limit is None


def test_cosines_up_to_a_strike_are_forgotten():
    """Whoever comes back is judged anew."""
    steady = dict.fromkeys(FIELD, 0.8)
    seen = found(steady, past(steady | {"a": -0.9}), past(steady | {"a": -0.9}, strikes="a"))
    assert (seen["a"].mean, seen["a"].n_rounds) == (0.8, 1)
