"""What a schedule comes to, era by era, if every round from now on pays all that it may."""

from collections.abc import Iterator
from dataclasses import dataclass

from tokenomics._checks import check_integer
from tokenomics.emission import HeightSchedule, Schedule, SupplySchedule
from tokenomics.errors import EmissionError

__all__ = ["Stretch", "project"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Consecutive rounds of one era that emit the same. Amounts are base units."""

    era: int
    first_round: int
    """From 1."""
    n_rounds: int
    emission: int
    """Of each of these rounds."""
    supply: int
    """All that has been minted at their end."""

    @property
    def last_round(self) -> int:
        """The last of them."""
        return self.first_round + self.n_rounds - 1

    @property
    def minted(self) -> int:
        """What they mint together."""
        return self.emission * self.n_rounds


def project(schedule: Schedule, *, settled: int = 0, minted: int = 0) -> Iterator[Stretch]:
    """Yield the schedule's stretches in order, up to and with the one that pays last.

    Exact: the number of rounds of an era is counted, not simulated, so the 6.9 million rounds of Bitcoin's schedule
    cost 33 steps.

    Args:
        schedule: what each round may mint.
        settled: rounds that lie behind, 0 or more.
        minted: base units that they minted, 0 up to the schedule's cap; by height they decide nothing but the supply.

    Raises:
        EmissionError: `settled` or `minted` are out of range.

    >>> from tokenomics import HeightSchedule
    >>> [(one.era, one.n_rounds, one.emission, one.supply) for one in project(HeightSchedule(subsidy=3, interval=10))]
    [(0, 10, 3, 30), (1, 10, 1, 40)]
    """
    check_integer("settled", settled, maximum=None, error=EmissionError)
    check_integer("minted", minted, maximum=schedule.cap, error=EmissionError)
    if isinstance(schedule, HeightSchedule):
        yield from _by_height(schedule, settled, minted)
    else:
        yield from _by_supply(schedule, settled, minted)


def _by_height(schedule: HeightSchedule, height: int, supply: int) -> Iterator[Stretch]:
    while emission := schedule.emission(height=height):
        following = schedule.next_halving(height=height)
        n_rounds = following - height
        supply += n_rounds * emission
        yield Stretch(
            era=schedule.era(height=height),
            first_round=height + 1,
            n_rounds=n_rounds,
            emission=emission,
            supply=supply,
        )
        height = following


def _by_supply(schedule: SupplySchedule, settled: int, supply: int) -> Iterator[Stretch]:
    while emission := schedule.emission(minted=supply):
        era = schedule.era(minted=supply)
        to_threshold = -(-(schedule.next_halving(minted=supply) - supply) // emission)
        # a round that would pass the cap mints less than the one before: a stretch of its own
        n_rounds = max(1, min(to_threshold, (schedule.cap - supply) // emission))
        supply += n_rounds * emission
        yield Stretch(era=era, first_round=settled + 1, n_rounds=n_rounds, emission=emission, supply=supply)
        settled += n_rounds
