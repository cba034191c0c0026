"""Emission: published vectors, the end states, and what holds for every schedule."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics import HeightSchedule, SupplySchedule
from tokenomics.emission import Schedule, schedule_from_dict, schedule_to_dict
from tokenomics.errors import EmissionError

VECTORS = Path(os.environ.get("SUBNET_EMISSION_VECTORS") or Path(__file__).parents[1] / "vectors" / "emission.json")
TAO = SupplySchedule(cap=21_000_000 * 10**9, emission=10**9)
BITCOIN = HeightSchedule(subsidy=5_000_000_000, interval=210_000)

heights = st.builds(HeightSchedule, subsidy=st.integers(1, 10**12), interval=st.integers(1, 50))
supplies = st.builds(SupplySchedule, cap=st.integers(1, 10**6), emission=st.integers(1, 10**5))


def _vectors(kind: str) -> list[Any]:
    found = [pytest.param(v, id=v["id"]) for v in json.loads(VECTORS.read_text())["vectors"] if v["kind"] == kind]
    return found or [pytest.param(None, id=f"no {kind}", marks=pytest.mark.skip("the file has none"))]


@pytest.mark.parametrize("vector", _vectors("bitcoin_subsidy"))
def test_bitcoin_vectors_hold(vector: dict[str, Any]) -> None:
    """Every era's first and last height, subsidy and running total, and the end of the supply."""
    interval = vector["params"]["halving_interval"]
    schedule = HeightSchedule(subsidy=vector["params"]["initial_subsidy_sat"], interval=interval)
    assert schedule.cap == vector["total_sat"]
    assert schedule.last_nonzero_era == vector["last_nonzero_era"]
    assert schedule.emission(height=vector["last_nonzero_height"]) > 0
    assert schedule.emission(height=vector["first_zero_height"]) == 0
    for era in vector["eras"]:
        first, following = era["first_height"], era["first_height"] + interval
        for height in (first, following - 1):
            assert schedule.era(height=height) == era["era"]
            assert schedule.emission(height=height) == era["subsidy_sat"]
            assert schedule.next_halving(height=height) == following
        assert schedule.cumulative(height=following) == era["cumulative_sat_at_end"]


@pytest.mark.parametrize("vector", _vectors("emission_for_issuance"))
def test_bittensor_vectors_hold(vector: dict[str, Any]) -> None:
    """The emission at every published issuance, halving boundaries included."""
    params = vector["params"]
    schedule = SupplySchedule(cap=params["cap_rao"], emission=params["default_block_emission_rao"])
    for point in vector["points"]:
        assert schedule.emission(minted=point["issuance_rao"]) == point["block_emission_rao"]


def test_bitcoin_core_subsidy_limit_test_holds() -> None:
    """Core adds the subsidy of every thousandth height up to 14,000,000, a thousand times each."""
    total = sum(BITCOIN.emission(height=height) * 1000 for height in range(0, 14_000_000, 1000))
    assert total == BITCOIN.cap == 2_099_999_997_690_000
    assert BITCOIN.last_nonzero_era == 32


def test_bittensor_halves_at_half_three_quarters_and_seven_eighths() -> None:
    thresholds, minted = [], 0
    for _ in range(3):
        minted = TAO.next_halving(minted=minted)
        thresholds.append(minted)
    assert thresholds == [10_500_000 * 10**9, 15_750_000 * 10**9, 18_375_000 * 10**9]


def _run_out(schedule: SupplySchedule) -> int:
    """Mint every round's emission until it is 0, all rounds of an era in one jump."""
    minted = 0
    while emission := schedule.emission(minted=minted):
        rounds_left = -(-(schedule.next_halving(minted=minted) - minted) // emission)
        minted = min(minted + rounds_left * emission, schedule.cap)
    return minted


@given(supplies.filter(lambda schedule: schedule.cap <= 2000 * schedule.initial_emission))
def test_jumping_over_an_era_ends_where_single_rounds_end(schedule: SupplySchedule) -> None:
    minted = 0
    while emission := schedule.emission(minted=minted):
        minted += emission
    assert minted == _run_out(schedule) <= schedule.cap


def test_bittensor_ends_at_this_many_base_units() -> None:
    assert _run_out(TAO) == 20_999_999_980_442_226


@given(heights, st.integers(0, 4000))
def test_cumulative_is_the_sum_of_all_earlier_emissions(schedule: HeightSchedule, height: int) -> None:
    assert schedule.cumulative(height=height) == sum(schedule.emission(height=h) for h in range(height))


@given(heights)
def test_the_cap_is_reached_in_the_last_era_that_emits_and_never_passed(schedule: HeightSchedule) -> None:
    end = (schedule.last_nonzero_era + 1) * schedule.interval
    assert schedule.emission(height=end - 1) > 0 == schedule.emission(height=end)
    assert schedule.cumulative(height=end - 1) < schedule.cumulative(height=end) == schedule.cap
    assert schedule.cumulative(height=end + 10**9) == schedule.cap


@given(supplies, st.data())
def test_the_era_is_the_largest_that_the_rational_comparison_allows(
    schedule: SupplySchedule, data: st.DataObject
) -> None:
    """An independent oracle: try every h, both sides multiplied by 2**h."""
    minted = data.draw(st.integers(0, schedule.cap - 1))
    cap = schedule.cap
    eras = [h for h in range(cap.bit_length() + 1) if minted * 2**h >= cap * 2**h - cap]
    assert schedule.era(minted=minted) == max(eras)


@given(supplies, st.data())
def test_the_next_halving_is_the_first_minted_total_of_a_later_era(
    schedule: SupplySchedule, data: st.DataObject
) -> None:
    minted = data.draw(st.integers(0, schedule.cap - 1))
    following = schedule.next_halving(minted=minted)
    assert minted < following <= schedule.cap
    assert schedule.era(minted=following - 1) == schedule.era(minted=minted) < schedule.era(minted=following)


@given(supplies, st.integers(0, 2 * 10**6))
def test_an_emission_never_exceeds_what_is_left(schedule: SupplySchedule, minted: int) -> None:
    emission = schedule.emission(minted=minted)
    assert 0 <= emission <= max(0, schedule.cap - minted)


def test_at_the_cap_nothing_is_left() -> None:
    for minted in (TAO.cap, TAO.cap + 1):
        assert TAO.emission(minted=minted) == 0
        assert TAO.next_halving(minted=minted) == TAO.cap


def test_after_64_halvings_even_a_huge_subsidy_is_nothing() -> None:
    schedule = HeightSchedule(subsidy=2**70, interval=1)
    assert [schedule.emission(height=height) for height in (63, 64, 10**30)] == [2**7, 0, 0]
    assert schedule.last_nonzero_era == 63


@given(heights | supplies)
def test_a_schedule_written_down_reads_back(schedule: Schedule) -> None:
    assert schedule_from_dict(json.loads(json.dumps(schedule_to_dict(schedule)))) == schedule


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"kind": "linear", "cap": 1},
        {"kind": ["height"], "subsidy": 1, "interval": 1},
        {"kind": "height", "subsidy": 1},
        {"kind": "height", "subsidy": 1, "interval": 1, "cap": 1},
        {"kind": "supply", "cap": 1.0, "emission": 1},
        {"kind": "supply", "cap": 1, "emission": True},
        {"kind": "height", "subsidy": 0, "interval": 1},
    ],
)
def test_what_is_not_a_schedule_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(EmissionError):
        schedule_from_dict(data)


@pytest.mark.parametrize("counter", [-1, 1.0, True, None])
def test_a_counter_that_is_no_count_is_refused(counter: Any) -> None:
    for ask in (BITCOIN.emission, BITCOIN.era, BITCOIN.cumulative, BITCOIN.next_halving):
        with pytest.raises(EmissionError, match="height"):
            ask(height=counter)
    for ask in (TAO.emission, TAO.era, TAO.next_halving):
        with pytest.raises(EmissionError, match="minted"):
            ask(minted=counter)


def test_schedules_can_not_be_changed() -> None:
    for schedule, name in ((TAO, "cap"), (TAO, "initial_emission"), (BITCOIN, "subsidy")):
        with pytest.raises(AttributeError):
            setattr(schedule, name, 1)


def test_schedules_beyond_64_bits_are_as_exact() -> None:
    huge = 10**30
    assert HeightSchedule(subsidy=huge, interval=huge).emission(height=huge) == huge // 2
    assert HeightSchedule(subsidy=1, interval=huge).era(height=3 * huge) == 3
    supply = SupplySchedule(cap=2 * huge, emission=huge)
    assert supply.emission(minted=huge) == huge // 2
    assert supply.era(minted=2**70) == 0
