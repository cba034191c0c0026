"""What somebody was paid lately, what came of it, and what the schedule would pay at the same share. All integers."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tokenomics.emission import Schedule
from tokenomics.ledger import Payout, RoundRow
from tokenomics.ledger.vesting import payout
from tokenomics.projection import project
from tokenomics.statement.lines import Line

WINDOWS: Final = {"24 h": 86_400, "7 d": 7 * 86_400, "30 d": 30 * 86_400}
"""How far back each window reaches, in seconds."""

_MS_AN_HOUR: Final = 3_600_000

SHARE_ROUNDS: Final = 20
"""Of how many rounds the current share is taken: the last ones with a contribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the rounds settled in a stretch of time moved, in base units."""

    credited: int
    released: int
    voided: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What GPU time brought in, in a stretch of time: of the contributions alone whose sender told it."""

    gpu_ms: int
    """That time, in milliseconds."""
    credited: int
    """What the rounds of these contributions paid, in base units, whatever became of it."""

    @property
    def per_hour(self) -> int | None:
        """Base units credited for an hour of a GPU, rounded down; None where no time was told."""
        return self.credited * _MS_AN_HOUR // self.gpu_ms if self.gpu_ms else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What one round paid a hotkey, and what came of it."""

    round: int
    settled_at: int
    """Unix time in seconds."""
    hotkey: str
    amount: int
    """Base units; 0 where the contribution earned nothing."""
    payout: Payout | None
    """What came of it; None of nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the schedule would pay through the next halving, if the share stayed and every round paid all it may.

    Amounts are base units, rounded down.
    """

    share: tuple[int, int]
    """What was credited, of what the schedule allowed, in the rounds that the share is taken of."""
    n_rounds: int
    """How many rounds these are."""
    rounds_left: int
    """Rounds until the next halving."""
    a_round: int
    """What one of them would pay."""
    until_halving: int
    """What all of them would pay."""
    a_round_after: int
    """What the first round after the halving would pay."""


def windows(lines: Iterable[Line], *, now: int) -> dict[str, Window]:
    """Return what was moved in the last 24 hours, 7 days and 30 days.

    Args:
        lines: of one hotkey, or of several.
        now: the end of each window, which is in it: Unix time in seconds.
    """
    held = list(lines)
    found = {}
    for name, seconds in WINDOWS.items():
        sums: Counter[str] = Counter()
        for line in held:
            if now - seconds < line.settled_at <= now:
                sums[line.kind] += line.amount
        found[name] = Window(credited=sums["credit"], released=sums["release"], voided=sums["void"])
    return found


def rates(paid: Iterable[Paid], gpu_ms: Mapping[tuple[str, int], int], *, now: int) -> dict[str, Rate]:
    """Return what GPU time brought in within each of the windows.

    Args:
        paid: what `paid_rounds` gave.
        gpu_ms: by hotkey and round, the GPU time of the contributions whose sender told it, in milliseconds.
        now: the end of each window, which is in it: Unix time in seconds.
    """
    told = [(one, gpu_ms[one.hotkey, one.round]) for one in paid if (one.hotkey, one.round) in gpu_ms]
    found = {}
    for name, seconds in WINDOWS.items():
        within = [(one.amount, spent) for one, spent in told if now - seconds < one.settled_at <= now]
        found[name] = Rate(gpu_ms=sum(spent for _, spent in within), credited=sum(amount for amount, _ in within))
    return found


def paid_rounds(
    lines: Mapping[str, Sequence[Line]],
    taken: Mapping[str, Collection[int]],
    *,
    settled_at: Mapping[int, int],
    vesting: int,
) -> list[Paid]:
    """Return what each round with a contribution paid each hotkey, the last first.

    Args:
        lines: by hotkey.
        taken: the rounds that each hotkey contributed to.
        settled_at: when each round was settled; its last key is the last settled round.
        vesting: rounds for which pay is pending.
    """
    height = max(settled_at, default=0)
    found = []
    for hotkey, own in lines.items():
        credits = {line.round: line.amount for line in own if line.kind == "credit"}
        voids = [line.round for line in own if line.kind == "void"]
        for number in sorted({*taken[hotkey], *credits}, reverse=True):
            voided_in = next((one for one in voids if number < one <= number + vesting), None)
            came = payout(number, vesting=vesting, height=height, voided_in=voided_in) if number in credits else None
            found.append(
                Paid(
                    round=number,
                    settled_at=settled_at[number],
                    hotkey=hotkey,
                    amount=credits.get(number, 0),
                    payout=came,
                )
            )
    return sorted(found, key=lambda one: (-one.round, one.hotkey))


def look_out(paid: Sequence[Paid], rows: Mapping[int, RoundRow], schedule: Schedule) -> Outlook | None:
    """Return what the schedule would pay at the current share; None where there is no share, or nothing left to pay.

    Args:
        paid: what `paid_rounds` gave.
        rows: all settled rounds by number.
        schedule: what each round may mint.
    """
    numbers = list(dict.fromkeys(one.round for one in paid))[:SHARE_ROUNDS]
    credited = sum(one.amount for one in paid if one.round in numbers)
    allowed = sum(rows[number].emission for number in numbers)
    last = rows[max(rows)] if rows else None
    stretches = list(project(schedule, settled=len(rows), minted=last.supply if last else 0))
    if not allowed or not stretches:
        return None
    era = [one for one in stretches if one.era == stretches[0].era]
    after = next((one.emission for one in stretches if one.era != stretches[0].era), 0)
    return Outlook(
        share=(credited, allowed),
        n_rounds=len(numbers),
        rounds_left=sum(one.n_rounds for one in era),
        a_round=era[0].emission * credited // allowed,
        until_halving=sum(one.minted for one in era) * credited // allowed,
        a_round_after=after * credited // allowed,
    )
