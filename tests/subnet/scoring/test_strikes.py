"""Strikes: size and harm together, out for a while, and what was earned so far counts no longer."""

import pytest

from subnet.scoring.history import History, PastCredit, PastRound
from subnet.scoring.payable import payable
from subnet.scoring.strikes import is_strike, own_norm_ratio, suspended
from subnet.spec import ScoringSection

RULES = ScoringSection(suspension=3)


def season(*strikes):
    """A history in which a and b earn every round, and `strikes` are who is struck in each."""
    credit = PastCredit(credit=1.0, standard_error=0.1, novel=1.0, novel_standard_error=0.1)
    return History(tuple(PastRound(credits={"a": credit, "b": credit}, strikes=frozenset(names)) for names in strikes))


@pytest.mark.parametrize(
    ("norm_ratio", "own", "z", "struck"),
    [
        (3.6, 3.6, -3.1, True),
        (3.5, 9.0, -9.0, False),
        (9.0, 3.5, -9.0, False),
        (9.0, 9.0, -3.0, False),
        (1e9, 1e9, 0.0, False),
        (0.0, 0.0, -1e9, False),
        (7.1, None, -3.1, True),
        (7.0, None, -9.0, False),
    ],
)
def test_only_size_and_harm_together_are_a_strike(norm_ratio, own, z, struck):
    """Too long for the field, too long for its sender, and harmful: each limit must be passed, not met."""
    assert is_strike(norm_ratio=norm_ratio, own_norm_ratio=own, z=z, rules=RULES) is struck


def test_what_is_usual_for_a_sender_is_the_median_of_its_rounds_since_its_last_strike():
    """Rounds it missed, updates of norm 0 and all up to a strike say nothing of it; without any it is a newcomer."""
    rounds = [
        PastRound(credits={}, norms=norms, strikes=frozenset(strikes))
        for norms, strikes in (({"a": 90.0, "b": 1.0}, "a"), ({"a": 2.0, "b": 0.0}, ""), ({}, ""), ({"a": 4.0}, ""))
    ]
    assert own_norm_ratio("a", 9.0, rounds) == 3.0
    assert own_norm_ratio("b", 9.0, rounds) == 9.0
    assert own_norm_ratio("c", 9.0, rounds) is None
    assert own_norm_ratio("a", 9.0, rounds[:1]) is None


def test_whoever_is_struck_is_out_for_as_many_rounds_as_the_rules_say():
    """Struck in round 2 of four, `a` is out of 3, 4 and 5, and back in 6; a later strike counts anew."""
    assert suspended(season("", "a"), RULES) == {"a": 5}
    assert suspended(season("", "a", "", ""), RULES) == {"a": 5}
    assert suspended(season("", "a", "", "", ""), RULES) == {}
    assert suspended(season("a", "", "ab"), RULES) == {"a": 6, "b": 6}
    assert suspended(season("a"), ScoringSection(suspension=0)) == {}


def test_credit_up_to_a_strike_counts_no_longer():
    """Nothing of the struck round or before is in any sum; what is earned after it counts again."""
    both = payable(season("", "a"), ["a", "b"], {"a", "b"}, RULES)
    assert (both["a"].credit, both["a"].n_rounds, both["a"].score) == (0.0, 0, 0)
    assert both["b"].credit == pytest.approx(2.0)
    later = payable(season("", "a", ""), ["a", "b"], {"a", "b"}, RULES)
    assert (later["a"].credit, later["a"].n_rounds) == (pytest.approx(1.0), 1)
    assert 0 < later["a"].score < later["b"].score
