"""Projection: the same as playing every round, and the published end states."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics import HeightSchedule, SupplySchedule
from tokenomics.emission import Schedule
from tokenomics.errors import EmissionError
from tokenomics.projection import project

VECTORS = Path(os.environ.get("SUBNET_EMISSION_VECTORS") or Path(__file__).parents[1] / "vectors" / "emission.json")
TAO = SupplySchedule(cap=21_000_000 * 10**9, emission=10**9)
BITCOIN = HeightSchedule(subsidy=5_000_000_000, interval=210_000)

schedules = st.one_of(
    st.builds(HeightSchedule, subsidy=st.integers(1, 500), interval=st.integers(1, 9)),
    st.builds(SupplySchedule, cap=st.integers(1, 3000), emission=st.integers(1, 4000)),
)


def played(schedule: Schedule, settled: int, minted: int) -> list[tuple[int, int, int, int]]:
    """Round, era, emission and supply, round by round, until nothing is emitted any more."""
    found = []
    while True:
        if isinstance(schedule, HeightSchedule):
            era, emission = schedule.era(height=settled), schedule.emission(height=settled)
        else:
            era, emission = schedule.era(minted=minted), schedule.emission(minted=minted)
        if not emission:
            return found
        settled, minted = settled + 1, minted + emission
        found.append((settled, era, emission, minted))


@given(schedules, st.data())
def test_a_projection_is_what_playing_every_round_comes_to(schedule: Schedule, data: st.DataObject) -> None:
    """From any point on: the same rounds, eras, emissions and supply."""
    settled, minted = data.draw(st.integers(0, 40)), data.draw(st.integers(0, schedule.cap))
    expected = played(schedule, settled, minted)
    found = []
    for one in project(schedule, settled=settled, minted=minted):
        supply = one.supply - one.minted
        for index in range(one.n_rounds):
            supply += one.emission
            found.append((one.first_round + index, one.era, one.emission, supply))
        assert one.last_round == found[-1][0]
    assert found == expected


def test_bitcoins_eras_are_the_published_ones() -> None:
    """33 eras, each with its subsidy and running total; the last satoshi at height 6,929,999."""
    eras = list(project(BITCOIN))
    vector = next(v for v in json.loads(VECTORS.read_text())["vectors"] if v["kind"] == "bitcoin_subsidy")
    assert len(eras) == 33
    assert (eras[-1].emission, eras[-1].last_round, eras[-1].supply) == (1, 6_930_000, vector["total_sat"])
    paying = [expected for expected in vector["eras"] if expected["subsidy_sat"]]
    assert len(paying) > 5
    for expected in paying:
        one = eras[expected["era"]]
        assert (one.first_round - 1, one.emission, one.supply) == (
            expected["first_height"],
            expected["subsidy_sat"],
            expected["cumulative_sat_at_end"],
        )


def test_bittensor_ends_short_of_its_cap() -> None:
    """The last payout leaves 20,999,999,980,442,226 base units: the shift leaves nothing in era 30."""
    eras = list(project(TAO))
    assert eras[0].n_rounds == 10_500_000
    assert (eras[-1].era, eras[-1].supply) == (29, 20_999_999_980_442_226)


def test_what_lies_behind_decides_where_it_goes_on() -> None:
    """By supply, unminted emission puts the halving off; by height it is lost."""
    late = next(project(TAO, settled=100, minted=0))
    assert (late.first_round, late.n_rounds) == (101, 10_500_000)
    lost = list(project(HeightSchedule(subsidy=4, interval=10), settled=10, minted=0))
    assert lost[-1].supply == 10 * 2 + 10 * 1


@pytest.mark.parametrize(("settled", "minted"), [(-1, 0), (0, -1), (0, BITCOIN.cap + 1), (0.5, 0)])
def test_impossible_pasts_are_refused(settled: int, minted: int) -> None:
    """A negative past, or more than the cap."""
    with pytest.raises(EmissionError):
        list(project(BITCOIN, settled=settled, minted=minted))
