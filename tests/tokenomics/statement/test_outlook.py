"""What was paid lately is counted from the lines, and what may come is the schedule's, at a share taken in integers."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.statement.conftest import N_ROUNDS, NAMES, REFUSED, VESTING
from tokenomics import HeightSchedule, SupplySchedule
from tokenomics.ledger import Ledger, RoundRow
from tokenomics.statement import Line, Paid, Rate, Window, lines_of, look_out, paid_rounds, rates, windows
from tokenomics.statement.outlook import SHARE_ROUNDS


@pytest.fixture(scope="module")
def ledger(ledger_file: Path) -> Iterator[Ledger]:
    with Ledger.open(ledger_file, read_only=True) as opened:
        yield opened


def rows_of(ledger: Ledger) -> dict[int, RoundRow]:
    return {row.round: row for row in ledger.rounds()}


def lines(ledger: Ledger, name: str) -> list[Line]:
    return lines_of(
        ledger.moved(digest(name), until=N_ROUNDS),
        settled_at={number: row.settled_at for number, row in rows_of(ledger).items()},
        receipt_hashes={n: entry.receipt_hash for n, entry in ledger.entries(digest(name), until=N_ROUNDS).items()},
        vesting=VESTING,
    )


def paid(ledger: Ledger, *names: str) -> list[Paid]:
    return paid_rounds(
        {digest(name): lines(ledger, name) for name in names},
        {digest(name): ledger.entries(digest(name), until=N_ROUNDS) for name in names},
        settled_at={number: row.settled_at for number, row in rows_of(ledger).items()},
        vesting=VESTING,
    )


def test_a_window_counts_the_rounds_settled_in_it(ledger: Ledger) -> None:
    """Against the ledger's postings; the moment itself is in it, the one a window's length before isn't."""
    rows = rows_of(ledger)
    now = rows[25].settled_at
    for name, seconds in {"24 h": 86_400, "7 d": 7 * 86_400, "30 d": 30 * 86_400}.items():
        sums: Counter[str] = Counter()
        for number, row in rows.items():
            if now - seconds < row.settled_at <= now:
                for posting in ledger.postings(number):
                    if posting.account == f"pending:{digest('bob')}":
                        sums[posting.kind] += abs(posting.amount)
        assert sums["emission"] > 0
        expected = Window(credited=sums["emission"], released=sums["release"], voided=sums["void"])
        assert windows(lines(ledger, "bob"), now=now)[name] == expected
    [line, *_] = lines(ledger, "bob")
    nothing = Window(credited=0, released=0, voided=0)
    assert windows([line], now=line.settled_at)["24 h"].credited == line.amount
    assert windows([line], now=line.settled_at - 1)["24 h"] == nothing
    assert windows([line], now=line.settled_at + 86_399)["24 h"].credited == line.amount
    assert windows([line], now=line.settled_at + 86_400)["24 h"] == nothing


def test_pay_for_gpu_time_is_of_the_contributions_that_told_it(ledger: Ledger) -> None:
    """Their pay over their time, by the ledger's clock and rounded down; those that told nothing are left out of both.

    Who was paid nothing for its time has spent it all the same.
    """
    done = [replace(one, settled_at=at) for one, at in zip(paid(ledger, "bob"), (1000, 900, 800, 0, 0), strict=False)]
    amounts = [one.amount for one in done]
    assert sum(amount > 0 for amount in amounts[:3]) > 1
    whose = digest("bob")
    told = {(whose, done[0].round): 1_800_000, (whose, done[2].round): 7, ("somebody", done[1].round): 10**9}
    day = rates(done, told, now=1000)["24 h"]
    assert day == Rate(gpu_ms=1_800_007, credited=amounts[0] + amounts[2])
    assert day.per_hour == (amounts[0] + amounts[2]) * 3_600_000 // 1_800_007
    assert rates(done, told, now=999)["7 d"] == Rate(gpu_ms=7, credited=amounts[2])
    assert rates(done, told, now=1000 + 86_400)["24 h"] == Rate(gpu_ms=0, credited=0)
    assert rates(done, told, now=1000 + 86_400)["24 h"].per_hour is None
    assert rates([replace(done[0], amount=0)], told, now=1000)["24 h"].per_hour == 0


def test_each_round_says_what_came_of_its_pay_as_the_ledger_does(ledger: Ledger) -> None:
    """Rounds without pay are listed too; dora's are those that she was in."""
    for name in NAMES:
        found = paid(ledger, name)
        numbers = range(20, 11, -1) if name == "dora" else range(N_ROUNDS, 0, -1)
        assert [one.round for one in found] == list(numbers)
        for one in found:
            amount = sum(
                posting.amount
                for posting in ledger.postings(one.round)
                if (posting.account, posting.kind) == (f"pending:{digest(name)}", "emission")
            )
            assert one.amount == amount
            assert one.payout == (ledger.payout(one.round, digest(name)) if amount else None)
    assert all(one.amount == 0 for one in paid(ledger, "bob") if one.round in REFUSED)


def test_the_share_is_that_of_the_last_rounds_with_a_contribution(ledger: Ledger) -> None:
    """Dora left after nine rounds: her share is of these. A coldkey's is of all its hotkeys together."""
    rows, schedule = rows_of(ledger), ledger.genesis.schedule
    for names, numbers in {("bob",): range(21, 41), ("dora",): range(12, 21), ("dora", "alice"): range(21, 41)}.items():
        found = look_out(paid(ledger, *names), rows, schedule)
        assert found is not None
        credited = sum(
            posting.amount
            for number in numbers
            for posting in ledger.postings(number)
            if posting.kind == "emission" and posting.account in {f"pending:{digest(name)}" for name in names}
        )
        assert found.share == (credited, sum(rows[number].emission for number in numbers))
        assert found.n_rounds == len(numbers) <= SHARE_ROUNDS


@pytest.mark.parametrize(
    "schedule",
    [
        HeightSchedule(subsidy=10**15 + 7, interval=12),
        SupplySchedule(cap=10**17, emission=10**15 + 7),
        SupplySchedule(cap=10**17, emission=7 * 10**16),
        SupplySchedule(cap=2 * 10**16, emission=10**15 + 7),
    ],
)
def test_the_projection_is_the_schedule_played_round_by_round(
    ledger: Ledger, schedule: HeightSchedule | SupplySchedule
) -> None:
    """An oracle that mints round after round until the era changes, and divides once, as an exact fraction."""
    rows = rows_of(ledger)
    supply = rows[N_ROUNDS].supply
    found = look_out(paid(ledger, "bob"), rows, schedule)

    def emission(height: int, minted: int) -> tuple[int, int]:
        if isinstance(schedule, HeightSchedule):
            return schedule.era(height=height), schedule.emission(height=height)
        return schedule.era(minted=minted), schedule.emission(minted=minted)

    era, first = emission(N_ROUNDS, supply)
    minted, after = 0, 0
    for height in itertools.count(N_ROUNDS):
        now, amount = emission(height, supply + minted)
        if now != era or not amount:
            after, n_left = amount, height - N_ROUNDS
            break
        minted += amount
    assert found is not None
    share = Fraction(*found.share)
    assert (found.rounds_left, found.a_round) == (n_left, int(share * first))
    assert (found.until_halving, found.a_round_after) == (int(share * minted), int(share * after))


def test_nothing_is_projected_of_nothing(ledger: Ledger) -> None:
    """Nobody took part, no round is settled, or the schedule has ended; who earns nothing is told so."""
    rows, schedule = rows_of(ledger), ledger.genesis.schedule
    assert look_out([], rows, schedule) is None
    assert look_out([], {}, schedule) is None
    assert look_out(paid(ledger, "bob"), rows, SupplySchedule(cap=rows[N_ROUNDS].supply, emission=9)) is None
    none = look_out(paid(ledger, "carol"), rows, schedule)
    some = look_out(paid(ledger, "bob"), rows, schedule)
    assert none is not None
    assert some is not None
    assert none == replace(some, share=(0, some.share[1]), a_round=0, until_halving=0, a_round_after=0)
