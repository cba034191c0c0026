"""The few checks that every record of this package makes on what it is given."""

import re
from typing import Final

from tokenomics.errors import TokenomicsError

INT64_MAX: Final = 2**63 - 1
"""The largest integer that a ledger column holds."""

_HEX: Final = re.compile(r"[0-9a-f]*")


def check_integer(
    what: str, value: object, *, error: type[TokenomicsError], minimum: int = 0, maximum: int | None = INT64_MAX
) -> int:
    """Return `value` if it is an integer in range; a bool is not one.

    Raises:
        error: it isn't; `error` is the class that the caller names.
    """
    if type(value) is int and minimum <= value and (maximum is None or value <= maximum):
        return value  # as nearly always
    if isinstance(value, bool) or not isinstance(value, int):
        raise error(
            f"{what} is {value!r:.80}, not an integer", remedy="give a whole number; floats and bools are refused"
        )
    if value < minimum:
        raise error(f"{what} is {value}, less than {minimum}", remedy=f"give at least {minimum}")
    if maximum is not None and value > maximum:
        shown = value if value.bit_length() <= 128 else f"an integer of {value.bit_length()} bits"
        raise error(f"{what} is {shown}, more than {maximum}", remedy=f"give at most {maximum}")
    return value


def check_text(what: str, value: object, *, error: type[TokenomicsError], max_length: int = 128) -> str:
    """Return `value` if it is printable text of 1 to `max_length` characters.

    Raises:
        error: it isn't; `error` is the class that the caller names.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= max_length or not value.isprintable():
        raise error(
            f"{what} is {value!r:.80}, not 1 to {max_length} printable characters", remedy="give it a short name"
        )
    return value


def is_hex(value: object, n_digits: int) -> bool:
    """Whether `value` is text of exactly `n_digits` lower-case hexadecimal digits."""
    return isinstance(value, str) and len(value) == n_digits and _HEX.fullmatch(value) is not None


def check_hex(what: str, value: object, *, error: type[TokenomicsError], n_digits: int = 64) -> str:
    """Return `value` if it is text of exactly `n_digits` lower-case hexadecimal digits.

    Raises:
        error: it isn't; `error` is the class that the caller names.
    """
    # `is_hex`, written out: a ledger of 100,000 payments has 200,000 hashes to check
    if isinstance(value, str) and len(value) == n_digits and _HEX.fullmatch(value):
        return value
    raise error(f"{what} is {value!r:.80}, not {n_digits} lower-case hexadecimal digits")
