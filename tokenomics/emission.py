"""How much a round may mint: a hard cap, reached by halvings.

Two schedules, each keyed to a counter that only grows: Bitcoin's counts rounds, Bittensor's counts what was minted.
With the first, a round that pays nothing loses its emission for good; with the second it is only put off.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tokenomics._checks import check_integer
from tokenomics.errors import EmissionError

SHIFT_LIMIT: Final = 64
"""Halvings after which nothing is left, whatever the subsidy (Bitcoin Core shifts a 64-bit integer)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeightSchedule:
    """Halves every `interval` rounds: `subsidy >> (height // interval)`.

    Args:
        subsidy: base units emitted at each height of era 0, at least 1.
        interval: heights in an era, at least 1.

    Raises:
        EmissionError: either is no integer or less than 1.

    Source: Bitcoin Core, `src/validation.cpp`, `GetBlockSubsidy`.

    >>> HeightSchedule(subsidy=5_000_000_000, interval=210_000).emission(height=840_000)
    312500000
    """

    subsidy: int
    interval: int

    def __post_init__(self) -> None:
        check_integer("subsidy", self.subsidy, minimum=1, maximum=None, error=EmissionError)
        check_integer("interval", self.interval, minimum=1, maximum=None, error=EmissionError)

    def era(self, *, height: int) -> int:
        """Return how many halvings lie before `height` (0 or more).

        Raises:
            EmissionError: height is no integer or negative.
        """
        return check_integer("height", height, maximum=None, error=EmissionError) // self.interval

    def emission(self, *, height: int) -> int:
        """Return the base units that height `height` (0 for the first round) may mint.

        Raises:
            EmissionError: height is no integer or negative.
        """
        return self._subsidy(self.era(height=height))

    def cumulative(self, *, height: int) -> int:
        """Return the base units scheduled for all heights before `height`, era by era.

        Raises:
            EmissionError: height is no integer or negative.
        """
        era = self.era(height=height)
        whole = sum(self._subsidy(earlier) for earlier in range(min(era, SHIFT_LIMIT))) * self.interval
        return whole + self._subsidy(era) * (height - era * self.interval)

    def next_halving(self, *, height: int) -> int:
        """Return the first height of the era after that of `height`.

        Raises:
            EmissionError: height is no integer or negative.
        """
        return (self.era(height=height) + 1) * self.interval

    @property
    def cap(self) -> int:
        """Base units scheduled over all heights: what can never be exceeded."""
        return self.cumulative(height=SHIFT_LIMIT * self.interval)

    @property
    def last_nonzero_era(self) -> int:
        """The last era that still emits something."""
        return min(self.subsidy.bit_length(), SHIFT_LIMIT) - 1

    def _subsidy(self, era: int) -> int:
        return 0 if era >= SHIFT_LIMIT else self.subsidy >> era


@dataclass(frozen=True, slots=True, init=False)
class SupplySchedule:
    """Halves each time that half of what is left under the cap has been minted.

    The era is `k = max h with minted >= cap - cap / 2**h`, compared as exact rationals, and the emission
    `initial >> k`, never more than what is left. At 21 million tokens of 9 decimals and 1 token at first, it halves at
    10.5M, 15.75M, 18.375M... tokens. It ends short of the cap, at 20,999,999,980,442,226 base units, when the shift
    leaves nothing: era 30 starts with the first payment past its threshold, and `10**9 >> 30` is 0.

    Args:
        cap: base units that can ever be minted, at least 1.
        emission: base units emitted in era 0, at least 1; kept as `initial_emission`.

    Raises:
        EmissionError: either is no integer or less than 1.

    Source: Bittensor, `pallets/subtensor/src/coinbase/block_emission.rs`, `get_block_emission_for_issuance`, in
        integers throughout instead of its fixed-point logarithm.

    >>> SupplySchedule(cap=21_000_000 * 10**9, emission=10**9).emission(minted=10_500_000 * 10**9)
    500000000
    """

    cap: int
    initial_emission: int

    def __init__(self, *, cap: int, emission: int) -> None:
        check_integer("cap", cap, minimum=1, maximum=None, error=EmissionError)
        check_integer("emission", emission, minimum=1, maximum=None, error=EmissionError)
        object.__setattr__(self, "cap", cap)
        object.__setattr__(self, "initial_emission", emission)

    def era(self, *, minted: int) -> int:
        """Return the era in which `minted` base units have been minted; at the cap, the one after the last.

        `minted >= cap - cap / 2**h` is `2**h <= cap / (cap - minted)`, and a power of two is at most a rational when
        it is at most its floor: so `h` is one less than the bit length of that floor.

        Raises:
            EmissionError: minted is no integer or negative.
        """
        left = self.cap - check_integer("minted", minted, maximum=None, error=EmissionError)
        if left <= 0:
            return self.cap.bit_length()
        return (self.cap // left).bit_length() - 1

    def emission(self, *, minted: int) -> int:
        """Return the base units that the next round may mint after `minted`; 0 at the cap and beyond.

        Raises:
            EmissionError: minted is no integer or negative.
        """
        era = self.era(minted=minted)
        return max(0, min(self.initial_emission >> era, self.cap - minted))

    def next_halving(self, *, minted: int) -> int:
        """Return the smallest minted total that starts the era after that of `minted`; the cap once that is reached.

        Raises:
            EmissionError: minted is no integer or negative.
        """
        return self.cap - (self.cap >> (self.era(minted=minted) + 1))


Schedule: TypeAlias = HeightSchedule | SupplySchedule
"""Either kind of emission schedule."""


def schedule_to_dict(schedule: Schedule) -> dict[str, str | int]:
    """Return a schedule as plain data, for the ledger's first row and for JSON."""
    if isinstance(schedule, HeightSchedule):
        return {"kind": "height", "subsidy": schedule.subsidy, "interval": schedule.interval}
    return {"kind": "supply", "cap": schedule.cap, "emission": schedule.initial_emission}


def schedule_from_dict(data: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `schedule_to_dict` wrote down.

    Args:
        data: `kind` ("height" or "supply") and that kind's two integers, nothing else.

    Raises:
        EmissionError: the kind isn't known, or its numbers are missing, too many or out of range.
    """
    kinds: dict[str, tuple[type[HeightSchedule | SupplySchedule], set[str]]] = {
        "height": (HeightSchedule, {"subsidy", "interval"}),
        "supply": (SupplySchedule, {"cap", "emission"}),
    }
    kind = data.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        raise EmissionError(f"schedule kind {kind!r:.80} isn't known", remedy=f"use one of {', '.join(kinds)}")
    schedule, names = kinds[kind]
    if set(data) - {"kind"} != names:
        given = ", ".join(sorted(map(str, set(data) - {"kind"}))) or "nothing"
        raise EmissionError(f"a {kind} schedule was given {given:.80}", remedy=f"give {' and '.join(sorted(names))}")
    return schedule(**{name: data[name] for name in names})
