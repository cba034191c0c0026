"""Splitting: nothing lost, nothing added, nothing to gain by being named otherwise."""

import math
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics import Shares, divide_round, split
from tokenomics.errors import SplitError

emissions = st.integers(0, 10**18)
names = st.text("abcdefgh", min_size=1, max_size=3)
floats = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
numbers = st.integers(0, 10**6) | floats | st.fractions(min_value=0, max_denominator=1000)
score_maps = st.dictionaries(names, numbers, min_size=1, max_size=12)
integer_maps = st.dictionaries(names, st.integers(0, 1000), max_size=12)
shares = st.builds(Shares, owner=st.integers(0, 50), validator=st.integers(0, 50), participants=st.integers(1, 100))


def _oracle(emission: int, scores: dict[str, float | Fraction]) -> dict[str, int]:
    """Hamilton's method one unit at a time, in rationals."""
    total = sum(Fraction(score) for score in scores.values())
    exact = {name: emission * Fraction(score) / total for name, score in scores.items()}
    paid = {name: math.floor(share) for name, share in exact.items()}
    while sum(paid.values()) < emission:
        best = max(exact[name] - paid[name] for name in exact)
        paid[min(name for name in exact if exact[name] - paid[name] == best)] += 1
    return paid


@given(emissions, score_maps.filter(lambda scores: any(scores.values())))
def test_the_split_is_that_of_the_slow_obvious_method(emission: int, scores: dict[str, float]) -> None:
    assert split(emission=emission, scores=scores) == _oracle(emission, scores)


@given(emissions, score_maps)
def test_payments_sum_to_the_emission_exactly_when_anything_is_payable(emission: int, scores: dict[str, float]) -> None:
    paid = split(emission=emission, scores=scores)
    assert sum(paid.values()) == (emission if any(scores.values()) else 0)
    assert all(paid[name] == 0 for name, score in scores.items() if score == 0)


@given(emissions, score_maps, st.data())
def test_a_higher_score_is_never_paid_less(emission: int, scores: dict[str, float], data: st.DataObject) -> None:
    """Neither than a lower one of the same round, nor than the same name's lower one."""
    paid = split(emission=emission, scores=scores)
    ranked = sorted(scores, key=lambda name: Fraction(scores[name]))
    for low, high in pairwise(ranked):
        assert scores[low] == scores[high] or paid[low] <= paid[high]
    name = data.draw(st.sampled_from(ranked))
    raised = scores | {name: Fraction(scores[name]) + data.draw(st.fractions(0, 1000))}
    assert split(emission=emission, scores=raised)[name] >= paid[name]


@given(emissions, score_maps, st.randoms(use_true_random=False))
def test_the_order_of_the_scores_does_not_matter(emission: int, scores: dict[str, float], random: object) -> None:
    shuffled = list(scores.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    paid = split(emission=emission, scores=dict(shuffled))
    assert paid == split(emission=emission, scores=scores)
    assert list(paid) == [name for name, _ in shuffled]


@given(emissions, st.dictionaries(names, st.integers(0, 1000), min_size=1, max_size=12), st.data())
def test_two_halves_of_a_score_gain_at_most_one_base_unit(
    emission: int, scores: dict[str, int], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(scores)))
    part = data.draw(st.integers(0, scores[name]))
    halves = scores | {name: part, data.draw(st.sampled_from(["A", "z"])): scores[name] - part}
    (other,) = set(halves) - set(scores)
    paid = split(emission=emission, scores=halves)
    assert paid[name] + paid[other] <= split(emission=emission, scores=scores)[name] + 1


def test_equal_remainders_go_to_the_first_names() -> None:
    assert split(emission=5, scores={"c": 1, "a": 1, "b": 1}) == {"c": 1, "a": 2, "b": 2}


def test_floats_count_at_their_exact_binary_value() -> None:
    """0.1 is a little more than a tenth, so its remainder is larger than that of an exact tenth."""
    assert split(emission=1, scores={"a": Fraction(1, 10), "b": 0.1}) == {"a": 0, "b": 1}
    assert split(emission=1, scores={"a": Decimal("0.1"), "b": 0.1}) == {"a": 0, "b": 1}
    assert split(emission=10**18, scores={"a": 5e-324, "b": 1.7e308}) == {"a": 0, "b": 10**18}


@pytest.mark.parametrize("scores", [{}, {"a": 0}, {"a": 0.0, "b": -0.0}])
def test_without_a_positive_score_nobody_is_paid(scores: dict[str, float]) -> None:
    assert split(emission=1000, scores=scores) == dict.fromkeys(scores, 0)


@pytest.mark.parametrize(
    "score", [-1, -1e-300, math.nan, math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal(-1), True, "1", None]
)
def test_a_score_that_is_no_claim_is_refused_by_name(score: object) -> None:
    with pytest.raises(SplitError, match="mallory"):
        split(emission=1, scores={"alice": 1, "mallory": score})  # type: ignore[dict-item]


@pytest.mark.parametrize("emission", [-1, 1.0, True])
def test_an_emission_that_is_no_amount_is_refused(emission: object) -> None:
    with pytest.raises(SplitError, match="emission"):
        split(emission=emission, scores={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(SplitError, match="emission"):
        divide_round(emission=emission, shares=Shares(), scores={"a": 1})  # type: ignore[arg-type]


@given(emissions, shares, integer_maps, st.integers(0, 1000))
def test_a_round_conserves_its_emission(emission: int, shares: Shares, scores: dict[str, int], unpaid: int) -> None:
    result = divide_round(emission=emission, shares=shares, scores=scores, unpaid_score=unpaid)
    paid = sum(result.participants.values())
    assert result.owner + result.validator + paid == result.minted
    assert result.minted + result.unminted == emission
    assert min(result.owner, result.validator, result.unminted, *result.participants.values()) >= 0
    assert list(result.participants) == sorted(scores)
    if not any(scores.values()):
        assert result.minted == 0


@given(emissions, shares, integer_maps.filter(lambda scores: any(scores.values())), st.integers(0, 1000))
def test_each_part_of_a_round_is_within_a_base_unit_of_its_exact_share(
    emission: int, shares: Shares, scores: dict[str, int], unpaid: int
) -> None:
    result = divide_round(emission=emission, shares=shares, scores=scores, unpaid_score=unpaid)
    parts = shares.owner + shares.validator + shares.participants
    pool = emission - result.owner - result.validator
    assert abs(result.owner - Fraction(emission * shares.owner, parts)) < 1
    assert abs(result.validator - Fraction(emission * shares.validator, parts)) < 1
    claims = sum(scores.values()) + unpaid
    assert abs(result.unminted - Fraction(pool * unpaid, claims)) < 1
    for name, score in scores.items():
        assert abs(result.participants[name] - Fraction(pool * score, claims)) < 1


def test_the_default_shares_are_18_41_41_and_what_is_above_a_cap_is_not_minted() -> None:
    result = divide_round(emission=10_000, shares=Shares(), scores={"b": 1, "a": 2}, unpaid_score=1)
    assert (result.owner, result.validator, result.participants) == (1800, 4100, {"a": 2050, "b": 1025})
    assert (result.minted, result.unminted) == (8975, 1025)


def test_the_unpaid_part_is_served_last_among_equal_remainders() -> None:
    """However late the hotkey's name sorts."""
    result = divide_round(
        emission=1, shares=Shares(owner=0, validator=0, participants=100), scores={"\U0010ffff": 1}, unpaid_score=1
    )
    assert (result.minted, result.unminted) == (1, 0)


@pytest.mark.parametrize("parts", [(0, 0, 0), (-1, 50, 51), (18.0, 41, 41), (True, 0, 0)])
def test_shares_that_divide_nothing_are_refused(parts: tuple[int, int, int]) -> None:
    with pytest.raises(SplitError):
        Shares(owner=parts[0], validator=parts[1], participants=parts[2])


@pytest.mark.parametrize(("scores", "unpaid"), [({"a": 1.0}, 0), ({"a": -1}, 0), ({"a": 1}, -1), ({"a": 1}, 0.5)])
def test_a_round_takes_integer_scores_only(scores: dict[str, int], unpaid: int) -> None:
    with pytest.raises(SplitError):
        divide_round(emission=1, shares=Shares(), scores=scores, unpaid_score=unpaid)


def test_a_round_in_which_nobody_scores_pays_nothing_to_each_of_them() -> None:
    """Owner and validator neither; and what was above a cap is no reason to mint."""
    result = divide_round(emission=100, shares=Shares(), scores={"b": 0, "a": 0}, unpaid_score=5)
    assert (result.owner, result.validator, result.minted, result.unminted) == (0, 0, 0, 100)
    assert result.participants == {"a": 0, "b": 0}


def test_without_an_unpaid_score_all_of_the_emission_is_minted() -> None:
    assert divide_round(emission=1_000, shares=Shares(), scores={"a": 1, "b": 2}).unminted == 0


@pytest.mark.parametrize("size", [2**63, 10**30])
def test_emissions_and_scores_beyond_64_bits_are_divided_as_exactly(size: int) -> None:
    assert split(emission=3 * size, scores={"a": 2 * size, "b": size}) == {"a": 2 * size, "b": size}
    result = divide_round(
        emission=4 * size,
        shares=Shares(owner=0, validator=0, participants=1),
        scores={"a": 2 * size, "b": size},
        unpaid_score=size,
    )
    assert (result.participants, result.unminted) == ({"a": 2 * size, "b": size}, size)


def test_one_score_anywhere_is_enough_for_a_round_to_pay() -> None:
    """Whoever comes first by name may have none."""
    for scores in ({"a": 0, "b": 0, "c": 1}, {"a": 0, "b": 1, "c": 0}, {"a": 1, "b": 0, "c": 0}):
        result = divide_round(emission=1_000, shares=Shares(), scores=scores)
        assert (result.minted, result.participants) == (1_000, {name: 410 * score for name, score in scores.items()})
