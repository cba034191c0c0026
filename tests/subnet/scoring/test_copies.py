"""The copy rule: every clone is measured against the first, and honest ones aren't linked through a third."""

from array import array

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring.copies import find_copies, mean_cosines, threshold
from subnet.scoring.history import PastCosines, PastRound

RULES = {"ceiling": 0.9, "floor": 0.65, "mads": 3.0, "min_mad": 0.02}


def symmetric(pairs, n):
    """An `(n, n)` matrix with ones on the diagonal and the given cosines; 0 for other pairs."""
    matrix = torch.eye(n, dtype=torch.float64)
    for (i, j), value in pairs.items():
        matrix[i, j] = matrix[j, i] = value
    return matrix


def test_the_earliest_keeps_its_credit_whoever_it_is():
    """Of two alike, the later in arrival is the copy, not the one with the greater hotkey."""
    alike = symmetric({(0, 1): 0.95}, 2)
    assert find_copies(["a", "b"], [0, 1], alike, 0.9) == {"b": "a"}
    assert find_copies(["a", "b"], [1, 0], alike, 0.9) == {"a": "b"}


def test_no_copy_is_found_through_a_third():
    """B is like A and C is like B, but C isn't like A: only B is a copy."""
    chain = symmetric({(0, 1): 0.95, (1, 2): 0.95, (0, 2): 0.5}, 3)
    assert find_copies(["a", "b", "c"], [0, 1, 2], chain, 0.9) == {"b": "a"}


def test_clones_all_count_as_copies_of_the_first():
    """A whole cluster names one original, and of two originals the more alike one is named."""
    assert find_copies(list("abc"), [2, 0, 1], torch.ones(3, 3), 0.9) == {"a": "b", "c": "b"}
    between = symmetric({(0, 2): 0.92, (1, 2): 0.95}, 3)
    assert find_copies(list("abc"), [0, 1, 2], between, 0.9) == {"c": "b"}


def test_the_limit_itself_is_not_a_copy():
    """Only above the threshold are two alike."""
    assert find_copies(["a", "b"], [0, 1], symmetric({(0, 1): 0.9}, 2), 0.9) == {}


@given(n=st.integers(1, 8), data=st.data())
def test_originals_are_pairwise_unlike_and_copies_are_like_theirs(n, data):
    """Nobody alike to an earlier original stays, no copy is an original, and the first to arrive never is a copy."""
    pairs = {(i, j): data.draw(st.floats(-1, 1)) for i in range(n) for j in range(i)}
    cosines, arrivals = symmetric(pairs, n), data.draw(st.permutations(range(n)))
    hotkeys = [f"k{index}" for index in range(n)]
    copied = find_copies(hotkeys, arrivals, cosines, 0.5)
    originals = [index for index in range(n) if hotkeys[index] not in copied]
    assert arrivals.index(0) in originals
    assert all(float(cosines[i, j]) <= 0.5 for i in originals for j in originals if i != j)
    for copier, original in copied.items():
        i, j = hotkeys.index(copier), hotkeys.index(original)
        assert j in originals
        assert arrivals[j] < arrivals[i]
        assert float(cosines[i, j]) > 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.1, 0.1, 0.1], 0.65),  # the floor
        ([0.5, 0.6, 0.75], 0.9),  # median + 3 x MAD is the ceiling
        ([0.4, 0.6, 0.9], 0.9),  # and here lies above it
        ([0.85, 0.85, 0.85], 0.91),  # a crowded field: median + 3 x .02, under 1 - .15 / 4
        ([0.8, 0.96, 0.98], 0.99),  # a crowded field: its own ceiling
        ([0.7, 0.7, 0.7], 0.76),  # median + 3 x the smallest deviation
        ([0.6, 0.65, 0.7], 0.8),  # median + 3 x MAD
    ],
)
def test_the_threshold_follows_the_field_within_its_bounds(values, expected):
    """min(max(ceiling, 1 - (1 - median) / 4), max(floor, median + mads x max(min_mad, MAD))), by hand."""
    cosines = symmetric(dict(zip([(1, 0), (2, 0), (2, 1)], values, strict=True)), 3)
    assert threshold(cosines, **RULES) == pytest.approx(expected)


@pytest.mark.parametrize("n", [0, 1])
def test_without_a_pair_the_threshold_is_the_ceiling(n):
    """One update alone has nobody to be like."""
    assert threshold(torch.eye(n, dtype=torch.float64), **RULES) == 0.9


def settled(hotkeys, *lower):
    """A round of the past: the cosines of its second with its first, its third with its first and second, and so on."""
    return PastRound(credits={}, cosines=PastCosines(tuple(hotkeys), array("d", lower)))


def test_cosines_are_averaged_over_the_rounds_that_both_took_part_in():
    """A pair's mean is over this round and those of the past that know it; others keep this round's.

    In what order a round of the past lists its field doesn't matter, nor who else was there.
    """
    past = [settled("bxa", 0.7, 0.0, 0.7), settled("cb", 1.0), settled("ab", 0.3), settled("c"), settled("")]
    now = symmetric({(0, 1): 0.9, (0, 2): 0.6, (1, 2): 0.0}, 3)
    found = mean_cosines(["a", "b", "c"], now, past)
    assert torch.equal(found, found.T)
    assert found.diagonal().tolist() == [1.0, 1.0, 1.0]
    assert float(found[0, 1]) == pytest.approx(0.4)
    assert float(found[0, 2]) == pytest.approx(0.6)
    assert float(found[1, 2]) == pytest.approx(0.5)


def test_in_a_crowded_field_only_the_much_closer_are_copies():
    """Where every honest pair is above the ceiling, the threshold lies above them, and an exact copy above it."""
    draw = torch.Generator().manual_seed(3)
    common = torch.randn(200, generator=draw, dtype=torch.float64)
    honest = common + 0.2 * torch.randn(8, 200, generator=draw, dtype=torch.float64)
    field = torch.cat([honest, honest[:1]])
    unit = field / field.norm(dim=1, keepdim=True)
    cosines = unit @ unit.T
    pairs = cosines[:8, :8][torch.tril_indices(8, 8, -1).unbind()]
    assert float(pairs.min()) > 0.9
    limit = threshold(cosines, ceiling=0.9, floor=0.65, mads=3.0, min_mad=0.02)
    assert float(pairs.max()) < limit < 1
    hotkeys = [f"{number}" for number in range(9)]
    assert find_copies(hotkeys, range(9), cosines, limit) == {"8": "0"}
