"""One owner under many names."""

import pytest

from clients.cast import KINDS
from clients.sybils import SameData, SybilClone, SybilSplit
from tests.clients.views import OWN, PEER, TEN, view


def test_these_kinds_are_one_owners():
    """All other kinds are a client each."""
    assert {kind for kind, cheat in KINDS.items() if cheat.one_owner} == {"sybil_clone", "sybil_split", "same_data"}


def test_clones_send_the_first_ones_update():
    """The leader's bits; a clone trains nothing itself."""
    assert SybilClone().update(view(leader_update=lambda: PEER)) is PEER
    assert SybilClone().holding(TEN, place=1, size=2) is TEN


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_a_split_gives_every_example_to_one_identity(size):
    """The parts are disjoint, together everything, and equal up to one example."""
    parts = [SybilSplit().holding(TEN, place=place, size=size) for place in range(size)]
    assert sorted(label for part in parts for label in part.targets.tolist()) == list(range(10))
    assert {len(part) for part in parts} <= {10 // size, -(-10 // size)}
    assert SybilSplit().update(view(own=OWN)) is OWN


def test_an_identity_beyond_the_last_example_has_one_all_the_same():
    """Nobody is left without data."""
    parts = [SybilSplit().holding(TEN, place=place, size=23) for place in range(23)]
    assert [part.targets.tolist() for part in parts] == [[place % 10] for place in range(23)]


def test_identities_with_the_same_data_train_each_for_itself():
    """All of the data, and an update of its own."""
    assert SameData().holding(TEN, place=1, size=3) is TEN
    assert SameData().update(view(own=OWN)) is OWN
