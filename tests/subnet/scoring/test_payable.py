"""From credit to pay: a window, its noise band, and the rules over many rounds."""

from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.history import History, PastCredit, PastRound
from subnet.scoring.payable import MAX_SCORE, SCORE_UNIT, payable
from subnet.spec import ScoringSection

RULES = ScoringSection(kappa=0.5, window=20, history=5)


def past(credit, error=0.0, novel=None, novel_error=None):
    return PastCredit(
        credit=credit,
        standard_error=error,
        novel=credit if novel is None else novel,
        novel_standard_error=error if novel_error is None else novel_error,
    )


def history(*rounds):
    """Rounds as `{hotkey: PastCredit or credit}`."""
    return History(
        tuple(
            PastRound(
                credits={hotkey: one if isinstance(one, PastCredit) else past(one) for hotkey, one in credits.items()},
            )
            for credits in rounds
        )
    )


def pay(found, rules=RULES, eligible=None):
    hotkeys = sorted(found.recent[-1].credits)
    return payable(found, hotkeys, hotkeys if eligible is None else eligible, rules)


def units(value):
    return round(value / SCORE_UNIT)


def test_the_score_is_the_windows_sum_minus_its_noise():
    """Sum of credits minus kappa times the root of the summed squared errors, in whole billionths."""
    due = pay(history({"a": past(0.3, 0.03)}, {"a": past(0.1, 0.04)}))["a"]
    assert due.score == units(0.4 - 0.5 * 0.05)
    assert (due.credit, due.standard_error, due.n_rounds) == (pytest.approx(0.4), pytest.approx(0.05), 2)
    assert due.zero_because == ""
    assert type(due.score) is int


def test_only_the_window_counts():
    """What came before the last `window` rounds pays nothing, and rounds without a contribution aren't counted."""
    rules = ScoringSection(window=2, kappa=0.0)
    assert pay(history({"a": 5.0}, {"a": 0.1}, {"a": 0.2}), rules)["a"].score == units(0.3)
    assert pay(history({"a": 5.0}, {"b": 1.0}, {"a": 0.2}), rules)["a"].n_rounds == 1


@pytest.mark.parametrize("credit", [0.0, 0.019, -0.5])
def test_a_sum_within_its_noise_is_worth_nothing(credit):
    """Below kappa standard errors, or negative, the score is 0 and says `noise`."""
    due = pay(history({"a": past(credit, 0.04), "b": 1.0}))
    assert (due["a"].score, due["a"].zero_because) == (0, "noise")
    assert due["b"].score > 0


def test_harm_beyond_noise_counts_several_times():
    """A credit below `negative_z` standard errors weighs `negative_weight` times in the sum; noise weighs once."""
    rules = ScoringSection(kappa=0.0, negative_z=-2.0, negative_weight=4.0)
    beyond = pay(history({"a": 1.0}, {"a": past(-0.03, 0.01)}, {"a": 0.2}), rules)["a"]
    within = pay(history({"a": 1.0}, {"a": past(-0.03, 0.02)}, {"a": 0.2}), rules)["a"]
    assert beyond.score == units(1.0 - 4 * 0.03 + 0.2)
    assert within.score == units(1.0 - 0.03 + 0.2)


def test_poison_now_and_then_costs_what_the_honest_rounds_earned():
    """Four honest rounds and one of the same size reversed come to nothing at a weight of 4, and to 3 at 1."""
    rounds = [{"a": past(0.1, 0.01)} for _ in range(4)] + [{"a": past(-0.1, 0.01)}, {"a": past(0.1, 0.01)}]
    assert pay(history(*rounds), ScoringSection(kappa=0.0))["a"].score == units(0.5 - 0.4)
    assert pay(history(*rounds), ScoringSection(kappa=0.0, negative_weight=1.0))["a"].score == units(0.5 - 0.1)


def test_who_isnt_eligible_earns_nothing_whatever_its_past():
    """A round's own contribution must count for the past to be paid."""
    due = pay(history({"a": 9.0, "b": 1.0}, {"a": 9.0, "b": 1.0}), eligible={"b"})
    assert (due["a"].score, due["a"].cut, due["a"].zero_because) == (0, 0, "ineligible")
    assert due["b"].score == units(2.0)


def test_a_score_above_three_times_the_median_is_cut():
    """The cap is on the share, what is cut is counted exactly, and nobody else's score changes."""
    due = pay(history({"a": 1.0, "b": 1.0, "c": 1.0, "d": 10.0}), ScoringSection(kappa=0.0))
    assert {hotkey: one.score for hotkey, one in due.items()} == {
        "a": units(1),
        "b": units(1),
        "c": units(1),
        "d": units(3),
    }
    assert due["d"].cut == units(7)
    assert due["a"].cut == 0


def test_the_cap_is_over_those_who_are_paid():
    """Zeros don't lower the median that the cap is measured by."""
    due = pay(history({"a": 1.0, "b": 2.0, "c": -1.0, "d": -1.0, "e": -1.0}), ScoringSection(kappa=0.0))
    assert (due["a"].score, due["b"].score) == (units(1), units(2))


def test_credit_that_was_public_all_along_isnt_payable():
    """With a novel ratio below .3 of the median one, nothing is paid; just above it is."""
    field = {"b": 1.0, "c": 1.0}
    due = pay(history(field | {"a": past(1.0, 0.0, novel=0.29)}))
    assert (due["a"].score, due["a"].zero_because) == (0, "free_riding")
    assert due["a"].novel_ratio == pytest.approx(0.29)
    assert due["a"].novel_limit == pytest.approx(0.3)
    assert pay(history(field | {"a": past(1.0, 0.0, novel=0.31)}))["a"].score > 0


@pytest.mark.parametrize(("errors", "pays"), [(0.0, False), (1.0, False), (2.0, True)])
def test_whom_noise_could_excuse_isnt_taken_for_a_free_rider(errors, pays):
    """A novel share of .1 with an error of .12: two of these reach the limit of .3, one doesn't."""
    rules = ScoringSection(kappa=0.0, novel_errors=errors)
    due = pay(history({"a": past(1.0, 0.0, novel=0.1, novel_error=0.12), "b": 1.0, "c": 1.0}), rules)
    assert (due["a"].score > 0) == pays


def test_free_riding_is_judged_over_all_rounds():
    """Old novel credit counts for the ratio long after it left the window."""
    rounds = [{"a": 3.0, "b": 1.0, "c": 1.0}] + [{"a": past(1.0, novel=0.0), "b": 1.0, "c": 1.0}] * 3
    assert pay(history(*rounds), ScoringSection(window=2))["a"].zero_because == ""
    assert pay(history(*rounds[1:]), ScoringSection(window=2))["a"].zero_because == "free_riding"


def test_who_coasts_on_the_past_isnt_paid():
    """Recent credit with its noise under .3 of the field's median stops the pay, whatever the window says."""
    old, quiet = {"a": 5.0, "b": 1.0, "c": 1.0}, {"a": 0.01, "b": 1.0, "c": 1.0}
    due = pay(history(old, *[quiet] * 5))
    assert (due["a"].score, due["a"].zero_because) == (0, "coasting")
    assert due["a"].recent == pytest.approx(0.05)
    assert due["a"].recent_limit == pytest.approx(0.3 * 5)
    noisy = {"a": past(0.01, 0.25), "b": 1.0, "c": 1.0}
    assert pay(history(old, *[noisy] * 5))["a"].zero_because == ""
    assert pay(history(old, *[quiet] * 4))["a"].zero_because == ""


def test_one_harmful_round_isnt_coasting():
    """Recent credit counts harm once, though the window counts it four times."""
    good, harm = {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": past(-0.5, 0.01), "b": 1.0, "c": 1.0}
    due = pay(history(good, harm, *[good] * 4), ScoringSection(kappa=0.0))["a"]
    assert (due.zero_because, due.score) == ("", units(5.0 - 4 * 0.5))
    assert due.recent == pytest.approx(4.0 - 0.5 + 3 * 0.01)


def test_two_negatives_never_pay():
    """Negative credit of negative novelty has a positive ratio, and still earns nothing."""
    due = pay(history({"a": past(-1.0, novel=-1.0), "b": 1.0}, {"a": past(-1.0, novel=-1.0), "b": 1.0}))
    assert (due["a"].score, due["a"].novel_ratio, due["a"].zero_because) == (0, None, "noise")


def test_a_field_in_which_nobody_helps_pays_nobody():
    """With all credit negative no median makes anyone look good."""
    due = pay(history({"a": -1.0, "b": -2.0, "c": -0.1}))
    assert [one.score for one in due.values()] == [0, 0, 0]


def test_an_exploded_credit_is_bounded():
    """No score exceeds the largest that 64 bits of billionths hold comfortably."""
    due = pay(history({"a": 1e30, "b": 1e30}))
    assert due["a"].score == units(MAX_SCORE) < 2**63


SIGNED = st.integers(-2000, 2000).map(lambda thousandths: thousandths / 1000)
POSITIVE = st.integers(0, 1000).map(lambda thousandths: thousandths / 1000)
CREDITS = st.builds(past, SIGNED, POSITIVE, SIGNED, POSITIVE)
ROUNDS = st.lists(st.dictionaries(st.sampled_from("abcdef"), CREDITS, min_size=1), min_size=1, max_size=8)


@given(rounds=ROUNDS, data=st.data())
def test_scores_are_whole_never_negative_and_explained(rounds, data):
    """Every score is an integer of at least 0; 0 comes with a reason, and only the eligible and positive are paid."""
    found = history(*rounds)
    eligible = data.draw(st.sets(st.sampled_from(sorted(rounds[-1]))))
    for hotkey, one in pay(found, eligible=eligible).items():
        assert type(one.score) is type(one.cut) is int
        assert one.score >= 0
        assert one.cut >= 0
        band = one.credit - RULES.kappa * one.standard_error
        if one.zero_because:
            assert one.score == one.cut == 0
        else:
            assert hotkey in eligible
            assert band > 0
            assert abs(one.score + one.cut - band / SCORE_UNIT) <= 1.0


@given(rounds=ROUNDS)
def test_no_paid_score_exceeds_the_cap(rounds):
    """After the cut the largest score is at most three times the median of what it was cut from."""
    due = [one for one in pay(history(*rounds)).values() if one.score + one.cut > 0]
    if due:
        whole = sorted(one.score + one.cut for one in due)
        middle = (whole[(len(whole) - 1) // 2] + whole[len(whole) // 2]) / 2
        assert max(one.score for one in due) <= 3 * middle + 2


@given(
    others=st.lists(st.floats(0.01, 2), min_size=2, max_size=6),
    own=st.floats(-2, 2),
    more=st.floats(0, 2),
    error=st.floats(0, 0.5),
)
def test_more_credit_never_pays_less(others, own, more, error):
    """With everybody else's numbers as they are, a higher credit of one's own has at least the same score."""
    field = {f"k{index}": past(credit, 0.001) for index, credit in enumerate(others)}
    low, high = (
        pay(history(field | {"me": past(credit, error, novel=credit, novel_error=error)}))["me"].score
        for credit in (own, own + more)
    )
    assert high >= low


@given(
    field=st.dictionaries(
        st.sampled_from("abcdef"), st.tuples(st.floats(0.001, 2), st.floats(0, 1)), min_size=2, max_size=6
    )
)
def test_whose_credit_is_all_novel_is_never_taken_for_a_free_rider(field):
    """In a noisy field the ratio's standard error lifts the median; nobody fails who copied nothing from the public."""
    due = pay(history({hotkey: past(credit, error) for hotkey, (credit, error) in field.items()}))
    assert "free_riding" not in {one.zero_because for one in due.values()}


@given(scale=st.sampled_from([0.5, 2.0, 8.0]), rounds=ROUNDS)
def test_the_unit_of_the_loss_decides_nothing(scale, rounds):
    """All credits doubled double every score (but for rounding) and change no verdict."""
    scaled = [
        {
            hotkey: past(
                one.credit * scale, one.standard_error * scale, one.novel * scale, one.novel_standard_error * scale
            )
            for hotkey, one in credits.items()
        }
        for credits in rounds
    ]
    before, after = pay(history(*rounds)), pay(history(*scaled))
    for hotkey, one in before.items():
        assert after[hotkey].zero_because == one.zero_because
        assert abs(after[hotkey].score - scale * one.score) <= scale + 1


def test_errors_of_rounds_add_as_squares():
    """Noise averages out: over n equal rounds the error of the sum grows as the root of n."""
    due = pay(history(*[{"a": past(0.1, 0.02)}] * 9))["a"]
    assert due.standard_error == pytest.approx(0.02 * sqrt(9))
