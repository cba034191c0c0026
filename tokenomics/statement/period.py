"""Periods: from the dates or rounds that somebody names to a stretch of whole rounds, and times in words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from tokenomics.errors import StatementError

_ROUND: Final = re.compile(r"[0-9]{1,18}")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LAST: Final = 253_402_300_799
"""The end of the year 9999, in Unix time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Consecutive settled rounds."""

    first: int
    """From 1."""
    last: int
    """At least `first`."""


def find_period(settled_at: Sequence[int], *, start: str = "", end: str = "") -> Period:
    """Return the rounds of a period.

    A date's rounds begin with the first that was settled on that day (UTC) or later, wherever a validator's clock went
    back; so a period ends exactly where one that starts the next day begins.

    Args:
        settled_at: when each round from 1 on was settled: Unix time in seconds.
        start: the first round's number, or a day as YYYY-MM-DD; empty for round 1.
        end: the last round's number or the last day, which are part of the period; empty for the last settled round.

    Raises:
        StatementError: one is neither round nor day, a round isn't settled, they are the wrong way round, or no round
            was settled between them.

    >>> find_period([10, 20, 90_000], start="1970-01-01", end="1970-01-01")
    Period(first=1, last=2)
    """
    height = len(settled_at)
    first = _round_from(settled_at, start, default=1)
    last = _round_from(settled_at, end, default=height + 1, days_later=1) - 1
    if _is_after(start, end):
        raise StatementError(
            f"the period starts with {start} and ends with {end}, which is before that", remedy="swap --from and --to"
        )
    if first > last:
        until = f"the last settled round is {height}" if height else "no round is settled yet"
        when = f", at {utc(settled_at[-1])}" if height else ""
        raise StatementError(
            f"no round was settled from {start or 'round 1'} to {end or 'now'}",
            remedy=f"choose a longer period: {until}{when}",
        )
    return Period(first=first, last=last)


def parse_moment(text: str) -> int:
    """Return a moment in Unix seconds, from such a number or from a day or time of ISO 8601 (UTC if no zone is said).

    Raises:
        StatementError: it is none of these, or before 1970.

    >>> parse_moment("1970-01-02")
    86400
    """
    if re.fullmatch(r"[0-9]{1,12}", text):
        return _within(int(text))
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise StatementError(
            f"{text!r:.40} is no moment", remedy="write it as 2026-01-31, 2026-01-31T12:00:00 or Unix seconds"
        ) from error
    return _within(int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()))


def utc(seconds: int) -> str:
    """Return a moment as `YYYY-MM-DD HH:MM:SS UTC`.

    Raises:
        StatementError: it is beyond the year 9999.
    """
    return datetime.fromtimestamp(_within(seconds), tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _round_from(settled_at: Sequence[int], text: str, *, default: int, days_later: int = 0) -> int:
    """Return the first round of a bound; with `days_later`, the first one after it."""
    if not text:
        return default
    if _ROUND.fullmatch(text):
        number = int(text)
        if days_later and number > len(settled_at):
            raise StatementError(
                f"round {number} isn't settled", remedy=f"the last settled round is {len(settled_at)}: end with that"
            )
        return max(1, number + days_later)
    try:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC) if _DATE.fullmatch(text) else None
        moment = None if day is None else int((day + timedelta(days=days_later)).timestamp())
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise StatementError(f"{text!r:.40} is neither a round nor a day", remedy="write 12, or 2026-01-31")
    later = (number for number, settled in enumerate(settled_at, start=1) if settled >= moment)
    return next(later, len(settled_at) + 1)


def _is_after(start: str, end: str) -> bool:
    """Whether two bounds of one sort, days or rounds, are the wrong way round."""
    if _DATE.fullmatch(start) and _DATE.fullmatch(end):
        return start > end
    rounds = _ROUND.fullmatch(start) and _ROUND.fullmatch(end)
    return bool(rounds) and int(start) > int(end)


def _within(seconds: int) -> int:
    if not 0 <= seconds <= _LAST:
        raise StatementError(f"{seconds} isn't a time from 1970 to 9999", remedy="check the clock that it comes from")
    return seconds
