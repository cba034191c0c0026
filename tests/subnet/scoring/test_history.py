"""What scoring remembers is a fold over settled rounds."""

import json
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet.errors import RunError
from subnet.scoring.history import (
    History,
    PastCosines,
    PastCredit,
    PastRound,
    check_earlier,
    past_round,
    read_earlier,
)
from subnet.scoring.payable import payable
from subnet.scoring.strikes import suspended
from subnet.spec import ScoringSection
from tokenomics.canonical import canonical_json

COUNTED = {"credit": 0.1, "standard_error": 0.2, "novel": -0.3, "novel_standard_error": 0.4}


def test_a_round_is_read_off_its_record_and_receipts():
    """Receipts that count give credits, the others don't, and the triangle of cosines is kept flat."""
    record = {"cosines": {"hotkeys": ["a", "b", "c"], "lower": [[], [0.1], [0.2, 0.3]]}}
    receipts = {
        "a": {
            "counted": COUNTED,
            "strike": True,
            "update_hash": "h1",
            "numbers": {"norm": 1.5, "course": {"cosine": 0.7}},
        },
        "b": {"counted": None, "strike": False, "numbers": None},
        "c": {
            "counted": COUNTED | {"credit": 0.0},
            "strike": False,
            "update_hash": "h3",
            "numbers": {"norm": 0.0, "course": None},
        },
    }
    found = past_round(json.loads(json.dumps(record)), json.loads(json.dumps(receipts)))
    assert found.credits == {
        "a": PastCredit(credit=0.1, standard_error=0.2, novel=-0.3, novel_standard_error=0.4),
        "c": PastCredit(credit=0.0, standard_error=0.2, novel=-0.3, novel_standard_error=0.4),
    }
    assert found.cosines == PastCosines(("a", "b", "c"), array("d", [0.1, 0.2, 0.3]))
    assert found.strikes == {"a"}
    assert found.norms == {"a": 1.5, "c": 0.0}
    assert found.updates == {"a": "h1", "c": "h3"}
    assert found.own_cosines == {"a": 0.7}


def test_cosines_are_the_records_row_by_row():
    """Eight bytes a pair: a round of a thousand has half a million pairs, and many rounds are remembered."""
    record = {"cosines": {"hotkeys": ["c", "a", "b"], "lower": [[], [0.5], [0.25, -1.0]]}}
    found = past_round(record, {}).cosines
    assert found == PastCosines(("c", "a", "b"), array("d", [0.5, 0.25, -1.0]))
    assert found.lower.itemsize == 8


def test_history_grows_at_its_end_and_never_changes():
    """A new round is the last one, earlier histories stay, and asking for more rounds than there are gives all."""
    rounds = [PastRound(credits={}, probed=(number,)) for number in range(4)]
    empty = full = History()
    for one in rounds:
        full = full.then(one)
    assert empty.recent == ()
    assert full.recent == tuple(rounds)
    assert full.last(2) == tuple(rounds[2:])
    assert full.last(9) == tuple(rounds)
    assert full.last(0) == ()


NUMBERS = st.floats(-1e3, 1e3)
CREDITS = st.builds(PastCredit, credit=NUMBERS, standard_error=NUMBERS, novel=NUMBERS, novel_standard_error=NUMBERS)
ROUNDS = st.lists(
    st.builds(
        PastRound,
        credits=st.dictionaries(st.sampled_from("abcd"), CREDITS),
        strikes=st.frozensets(st.sampled_from("abcd"), max_size=1),
    ),
    max_size=12,
)


def keeping(n_rounds):
    """Rules by which so many rounds are looked at one by one."""
    return ScoringSection(window=n_rounds, history=0, suspension=0)


def folded(rounds, rules):
    history = History()
    for one in rounds:
        history = history.then(one, rules)
    return history


def all_rounds(rounds, hotkey):
    """Sums over all rounds after the last strike, added up from the first to the last, as one plain loop."""
    credit = novel = variance = 0.0
    for one in rounds:
        if hotkey in one.strikes:
            credit = novel = variance = 0.0
        elif hotkey in one.credits:
            past = one.credits[hotkey]
            credit += 4 * past.credit if past.credit < min(0, -2 * past.standard_error) else past.credit
            novel += past.novel
            variance += past.novel_standard_error**2
    return credit, novel, variance


@given(rounds=ROUNDS, keep=st.integers(1, 14))
def test_sums_over_all_rounds_are_the_same_to_the_bit_however_few_are_kept(rounds, keep):
    """Whatever is folded, whoever was struck when: the same floats as from all rounds at once."""
    history = folded(rounds, keeping(keep))
    assert history.recent == tuple(rounds[-keep:])
    assert history.n_rounds == len(rounds)
    for hotkey in "abcd":
        total = history.whole(hotkey, keeping(keep))
        assert (total.credit, total.novel, total.novel_variance) == all_rounds(rounds, hotkey)


@given(rounds=ROUNDS, window=st.integers(1, 5), recent=st.integers(0, 5), suspension=st.integers(0, 5))
def test_pay_and_suspensions_are_those_of_the_whole_past(rounds, window, recent, suspension):
    """With as many rounds as the rules ask for, every number on the receipts is the one without folding."""
    rules = ScoringSection(window=window, history=recent, suspension=suspension)
    whole, short = folded(rounds, None), folded(rounds, rules)
    assert len(short.recent) <= max(window, recent, suspension)
    assert payable(short, "abcd", "abcd", rules) == payable(whole, "abcd", "abcd", rules)
    assert suspended(short, rules) == suspended(whole, rules)


@given(rounds=ROUNDS, keep=st.integers(1, 6))
def test_totals_are_read_off_a_record_to_the_bit(rounds, keep):
    """What a record says in canonical JSON, with the rounds after it, is the history again."""
    history = folded(rounds, keeping(keep))
    record = json.loads(canonical_json({"round": len(rounds), "earlier": history.earlier()}))
    found = read_earlier(record)
    for one in rounds[found.n_earlier :]:
        found = found.then(one, keeping(keep))
    assert found == history
    check_earlier(record, history)


def test_a_record_without_totals_begins_with_nothing():
    """Runs of earlier versions are added up from their first round."""
    assert read_earlier({"round": 7}) == History()
    check_earlier({"round": 7}, folded([PastRound(credits={})] * 3, keeping(1)))


def test_wrong_totals_on_a_record_are_named():
    """Another sum, a hotkey too many, or another number of rounds: the round and the hotkey are in the message."""
    credit = PastCredit(credit=0.1, standard_error=0.0, novel=0.1, novel_standard_error=0.2)
    history = folded([PastRound(credits={"alice": credit})] * 3, keeping(1))
    good = {"round": 3, "earlier": history.earlier()}
    check_earlier(good, history)
    for totals, n_rounds, named in (
        ({"alice": [0.2, 0.2, 0.09]}, 2, "of alice"),
        ({**good["earlier"]["totals"], "bob": [1.0, 1.0, 0.0]}, 2, "of bob"),
        (good["earlier"]["totals"], 1, "round 3"),
    ):
        with pytest.raises(RunError, match=named):
            check_earlier({"round": 3, "earlier": {"n_rounds": n_rounds, "totals": totals}}, history)


def test_no_more_rounds_are_asked_for_than_are_kept():
    """A rule that looks further back than the spec's memory is a fault of the code, and found."""
    with pytest.raises(AssertionError):
        folded([PastRound(credits={})] * 4, keeping(2)).last(3)
