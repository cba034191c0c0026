"""Sums of amounts that no order of addition overflows.

A database adds up in 64 bits, in the order in which it happens to read. What orders move to and fro adds up to far more
than there is on the way, though the end fits: so the upper and the lower half of amounts are added up apart.
"""

from typing import Final

from sqlalchemy import Column, ColumnElement, Integer, cast, func, literal

from tokenomics.ledger.schema import INTEGER

BITS: Final = 31
"""Of the lower half. The sums of either half fit 64 bits for up to 2**31 postings."""
_BY: Final = literal(BITS, Integer)
"""PostgreSQL shifts by no longer integer."""


def halves(amounts: Column[int]) -> tuple[ColumnElement[int], ColumnElement[int]]:
    """Return the sums of the upper and of the lower half of a column, to be selected and made one by `whole`."""
    upper, lower = amounts.bitwise_rshift(_BY), amounts.bitwise_and(2**BITS - 1)
    return cast(func.sum(upper), INTEGER), cast(func.sum(lower), INTEGER)  # PostgreSQL's own sum is a decimal


def whole(upper: int | None, lower: int | None) -> int:
    """Return the sum of which these are the halves; 0 of no rows, for which a database has NULL."""
    return ((upper or 0) << BITS) + (lower or 0)
