"""Those who are honest by turns: in which rounds, and what they send in the others."""

import pytest
import torch

from clients.free_riders import Noise
from clients.turncoats import Burst, Coasting, OnOff, OnOffPoison, SlowPoison
from tests.clients.views import DELTAS, LAST, OWN, view

ROUNDS = range(1, 13)


def sent(cheat, number):
    """What a cheat sends in a round."""
    return cheat.update(view(own=OWN, deltas=DELTAS, round_number=number))


def honest_rounds(cheat):
    """In which of twelve rounds it sends what it trained."""
    return [number for number in ROUNDS if torch.equal(sent(cheat, number), OWN)]


@pytest.mark.parametrize(
    ("cheat", "rounds"),
    [
        (OnOff(), [1, 6, 11]),
        (OnOffPoison(), [1, 2, 3, 4, 6, 7, 8, 9, 11, 12]),
        (SlowPoison(), [1, 2, 3, 4, 5]),
        (Coasting(), [1, 2, 3, 4, 5]),
    ],
)
def test_turncoats_are_honest_in_just_these_rounds(cheat, rounds):
    """And in no others."""
    assert honest_rounds(cheat) == rounds


@pytest.mark.parametrize("number", [2, 5, 10])
def test_on_off_replays_when_it_is_off(number):
    """The last global delta, as it is."""
    assert torch.equal(sent(OnOff(), number), LAST)


@pytest.mark.parametrize("strength", [1.0, 5.0])
def test_poisoners_reverse_their_update(strength):
    """Minus `strength` times the honest one: in every fifth round, or in every round after five."""
    for number in (5, 10):
        assert torch.equal(sent(OnOffPoison(strength), number), -strength * OWN)
    for number in (6, 7, 12):
        assert torch.equal(sent(SlowPoison(strength), number), -strength * OWN)


def test_coasting_sends_noise_in_the_end():
    """The very noise that the free rider of that strength sends in that round."""
    for number in (6, 11):
        assert torch.equal(sent(Coasting(2.0), number), sent(Noise(2.0), number))


def test_a_burst_sends_everything_at_once():
    """Zeros in four rounds, without training, and in the fifth its own update plus those of the four models before."""
    past = {back: torch.full((50,), float(10**back)) for back in range(1, 5)}
    for number in (1, 2, 3, 4, 6, 9):
        assert torch.equal(Burst().update(view(round_number=number)), torch.zeros(50))
    for number in (5, 10):
        seen = view(own=OWN, round_number=number, past_update=past.__getitem__)
        assert torch.equal(Burst().update(seen), torch.stack([OWN, *past.values()]).sum(0))


def test_a_burst_leaves_out_models_that_never_were():
    """Where fewer than four models came before, it sums up what there is."""
    seen = view(own=OWN, round_number=5, past_update=lambda back: OWN if back == 1 else None)
    assert torch.equal(Burst().update(seen), OWN * 2)
