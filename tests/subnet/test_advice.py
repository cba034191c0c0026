"""What to change: whoever earned nothing or little reads one plain sentence that fits its case."""

from copy import deepcopy

import pytest

from subnet import advice
from subnet.advice import IF_REJECTED, IF_UNPAID, what_to_change
from subnet.receipts import REASONS, ZERO_BECAUSE


@pytest.fixture
def paid(season):
    """A receipt that earned something, in the model, neither capped nor much clipped."""
    receipt = deepcopy(season.report(2).receipts[season.of_kind("honest")[0]])
    receipt |= {"reward": 5, "status": "accepted", "zero_because": ""}
    receipt["numbers"] |= {"credit": 0.1, "dropped": "", "clip": 1.0}
    receipt["payable"] |= {"cut": 0}
    return receipt


def test_every_reason_and_every_zero_has_its_advice():
    """No code that a receipt can carry is without a sentence, and no sentence is without a code."""
    assert set(IF_REJECTED) == set(REASONS)
    assert set(IF_UNPAID) == set(ZERO_BECAUSE)
    sentences = [*IF_REJECTED.values(), *IF_UNPAID.values()]
    assert len(set(sentences)) == len(sentences)


@pytest.mark.parametrize("reason", REASONS)
def test_a_rejection_is_answered_by_its_reason(paid, reason):
    """Whatever else stands on the receipt, why it didn't count comes first."""
    assert what_to_change(paid | {"status": "rejected", "reason": reason}) == IF_REJECTED[reason]


@pytest.mark.parametrize("why", ZERO_BECAUSE)
def test_a_zero_is_answered_by_its_cause(paid, why):
    """An accepted contribution that earned nothing is told what made it so."""
    assert what_to_change(paid | {"reward": 0, "zero_because": why}) == IF_UNPAID[why]


def test_who_earned_reads_what_would_earn_more(paid):
    """Capped, harmful within noise, left out, much too long, or nothing at all to change, in this order."""
    assert what_to_change(paid) == advice.IF_PAID
    paid["numbers"]["clip"] = 0.2
    assert what_to_change(paid) == advice.IF_CLIPPED
    paid["numbers"]["dropped"] = "precaution"
    assert what_to_change(paid) == advice.IF_LEFT_OUT
    paid["numbers"]["credit"] = -0.1
    assert what_to_change(paid) == advice.IF_WITHIN_NOISE
    paid["payable"]["cut"] = 7
    assert what_to_change(paid) == advice.IF_CAPPED


def test_an_empty_round_is_nobodys_fault(paid):
    """Where a score was payable and the emission has run out, nothing is to be changed."""
    assert what_to_change(paid | {"reward": 0}) == advice.IF_NOTHING_TO_PAY


def test_every_client_of_a_played_run_is_told_something(season):
    """Honest, stale, copying, flipping, broken: each kind gets a sentence on every receipt."""
    told = {}
    for number in range(1, 5):
        for hotkey, receipt in season.report(number).receipts.items():
            told.setdefault(season.kinds[hotkey], set()).add(what_to_change(receipt))
    assert told["stale"] == {IF_REJECTED["free_riding"]}
    assert told["copycat"] == {IF_REJECTED["copy"]}
    assert told["crash"] == {IF_REJECTED["failed"]}
    assert IF_UNPAID["negative"] in told["sign_flip"]
    assert all(told.values())
