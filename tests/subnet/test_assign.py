"""Whose a probe is: the deal follows from nonce, participants and past alone, and nobody shares a sample in a round."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.task import Examples
from subnet.assign import check, deal, divide, hands, table
from subnet.errors import SpecError
from subnet.scoring.history import History, PastRound
from subnet.spec import ScoringSection

RULES = ScoringSection(probes=4, probe_share=0.3)
POOL = Examples(inputs=torch.arange(100.0), targets=torch.arange(100))
NONCE = "ab" * 32
EMPTY = History()
THIRTY = POOL.take(torch.arange(30))


def dealt(*, hotkeys="abcde", nonce=NONCE, number=1, pool=THIRTY, history=EMPTY, rules=RULES):
    return deal(round_number=number, nonce=nonce, hotkeys=hotkeys, pool=pool, history=history, rules=rules)


def play(n_rounds, *, pool):
    """Deal round after round; returns the deals and the history."""
    history, deals = History(), []
    for number in range(1, n_rounds + 1):
        deals.append(dealt(nonce=f"{number:064x}", number=number, pool=pool, history=history))
        probed = tuple(sample for hand in deals[-1].values() for sample in hand)
        history = history.then(PastRound(credits={}, probed=probed))
    return deals, history


def test_held_out_data_is_divided_once_and_wholly():
    """Every sample is in one part, as many in each as the spec says, the same for the same root, others for another."""
    first, again, other = (divide(POOL, root=root, rules=RULES) for root in ("aa" * 32, "aa" * 32, "bb" * 32))
    assert (len(first.validation), len(first.probes)) == (70, 30)
    both = [*first.validation.targets.tolist(), *first.probes.targets.tolist()]
    assert sorted(both) == list(range(100))
    assert torch.equal(first.probes.targets, again.probes.targets)
    assert not torch.equal(first.probes.targets, other.probes.targets)
    assert first.probes.targets.tolist() != list(range(30))


def test_without_probes_all_of_it_scores():
    """The option is off by default, and then changes nothing."""
    found = divide(POOL, root="aa" * 32, rules=ScoringSection())
    assert found.validation is POOL
    assert len(found.probes) == 0
    assert dealt(rules=ScoringSection()) == {}
    assert table({}) is None


def test_a_deal_gives_everyone_as_many_and_nobody_anothers():
    """Four samples each of the pool's thirty, all different."""
    found = dealt()
    assert set(found) == set("abcde")
    assert {len(hand) for hand in found.values()} == {4}
    samples = [sample for hand in found.values() for sample in hand]
    assert len(set(samples)) == 20
    assert set(samples) <= set(range(30))


def test_a_deal_follows_from_round_nonce_and_participants_alone():
    """Their order doesn't matter; any other number or nonce is another deal."""
    first = dealt()
    assert list(dealt(hotkeys="ecdab").items()) == list(first.items())
    assert dealt(nonce="cd" * 32) != first
    assert dealt(number=2) != first


def test_where_the_pool_cant_serve_all_the_nonce_draws_who_goes_without():
    """Seven hands in thirty samples; over the rounds everybody gets some."""
    served = Counter()
    for number in range(60):
        found = dealt(hotkeys="abcdefghijklmn", nonce=f"{number:064x}")
        assert len(found) == 7
        served.update(found.keys())
    assert min(served[hotkey] for hotkey in "abcdefghijklmn") > 10


@given(pool_size=st.integers(20, 60), n_rounds=st.integers(1, 9))
def test_a_sample_comes_again_only_when_the_pool_is_used_up(pool_size, n_rounds):
    """In every round, none that was left out had been dealt longer ago than one that was dealt; the first: never."""
    last = dict.fromkeys(range(pool_size), 0)
    for number, found in enumerate(play(n_rounds, pool=POOL.take(torch.arange(pool_size)))[0], start=1):
        chosen = {sample for hand in found.values() for sample in hand}
        assert len(chosen) == 20
        left_out = [last[sample] for sample in range(pool_size) if sample not in chosen]
        assert max(last[sample] for sample in chosen) <= min(left_out, default=number)
        last |= dict.fromkeys(chosen, number)


@pytest.mark.parametrize("n_classes", [2, 3, 5])
def test_everyone_gets_as_many_of_each_class(n_classes):
    """Give or take one, whatever the pool is sorted by; numbers and vectors for targets are one class."""
    pool = replace(POOL, targets=torch.arange(100) * n_classes // 100)
    found = dealt(pool=pool)
    for label in range(n_classes):
        counts = [sum(int(pool.targets[sample]) == label for sample in hand) for hand in found.values()]
        assert max(counts) - min(counts) <= 1
    unlike = [dealt(pool=replace(POOL, targets=targets)) for targets in (POOL.targets.double(), torch.zeros(100, 3))]
    assert unlike[0] == unlike[1] != found


def test_a_later_deal_depends_on_the_earlier_ones():
    """With the same nonce and another past, other samples are left."""
    _, history = play(1, pool=POOL.take(torch.arange(30)))
    first, later = dealt(), dealt(history=history)
    assert {sample for hand in first.values() for sample in hand} != {s for hand in later.values() for s in hand}


def test_hands_hold_the_samples_of_the_pool():
    """In the order in which they were dealt."""
    found = hands({"a": (7, 3), "b": (0,)}, POOL)
    assert found["a"].targets.tolist() == [7, 3]
    assert found["b"].inputs.tolist() == [0.0]


def test_the_record_keeps_the_order_of_the_deal():
    """Whose came first isn't lost, on which later deals depend."""
    assert table({"b": (7, 3), "a": (0, 1)}) == {"hotkeys": ["b", "a"], "samples": [[7, 3], [0, 1]]}


def test_too_few_samples_are_told_with_the_arithmetic():
    """How many are wanted, how many there are, and what to do."""
    check(RULES, n_held_out=100, n_participants=7)
    check(ScoringSection(), n_held_out=0, n_participants=1000)
    with pytest.raises(SpecError) as caught:
        check(RULES, n_held_out=100, n_participants=8)
    assert caught.value.message == (
        "8 participants x 4 probes need 32 samples a round; "
        "scoring.probe_share = 0.3 of 100 held-out samples sets apart 30"
    )
    assert "lower scoring.probes, raise scoring.probe_share" in caught.value.remedy
