"""Amounts: exact, of one token, in 64 bits."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics import Amount, Token
from tokenomics.errors import AmountError

DIG = Token("DIG")
UNITS = st.integers(-(2**62) + 1, 2**62 - 1)


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 18))
def test_what_is_written_reads_back_to_the_same_amount(units: int, decimals: int) -> None:
    token = Token("DIG", decimals)
    amount = Amount(units, token)
    assert Amount.parse(str(amount), token) == amount


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 18))
def test_what_is_written_is_the_exact_decimal(units: int, decimals: int) -> None:
    number, symbol = str(Amount(units, Token("DIG", decimals))).split(" ")
    assert (Decimal(number), symbol) == (Decimal(units).scaleb(-decimals), "DIG")


@pytest.mark.parametrize(
    ("text", "units", "written"),
    [
        ("1.5", 1_500_000_000, "1.5 DIG"),
        ("12", 12_000_000_000, "12 DIG"),
        ("-0.000000001", -1, "-0.000000001 DIG"),
        ("0.0", 0, "0 DIG"),
        ("007 DIG", 7_000_000_000, "7 DIG"),
    ],
)
def test_decimals_are_read_exactly_and_written_without_trailing_zeros(text: str, units: int, written: str) -> None:
    amount = Amount.parse(text, DIG)
    assert (amount.base_units, str(amount)) == (units, written)


@pytest.mark.parametrize(
    "text", ["", "1.", ".5", "1e3", "+1", " 1", "1,5", "nan", "1.0000000001", "1 XYZ", "٣", "9" * 41]
)
def test_anything_but_a_plain_decimal_is_refused(text: str) -> None:
    with pytest.raises(AmountError):
        Amount.parse(text, DIG)


@given(UNITS, UNITS)
def test_arithmetic_and_order_are_those_of_the_base_units(a: int, b: int) -> None:
    x, y = Amount(a, DIG), Amount(b, DIG)
    assert (x + y).base_units == a + b
    assert (x - y).base_units == a - b
    assert (-x).base_units == -a
    assert (x < y, x <= y, x > y, x >= y, x == y) == (a < b, a <= b, a > b, a >= b, a == b)


def test_multiplication_takes_integers_only() -> None:
    assert (3 * Amount(2, DIG)).base_units == (Amount(2, DIG) * 3).base_units == 6
    with pytest.raises(AmountError, match=r"0\.5"):
        Amount(2, DIG) * 0.5  # type: ignore[operator]


def test_two_tokens_never_mix() -> None:
    """The same symbol with other decimals is another token too."""
    for other in (Token("TAO"), Token("DIG", 6)):
        one, two = Amount(1, DIG), Amount(1, other)
        assert one != two
        for operation in (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a < b, lambda a, b: a >= b):
            with pytest.raises(AmountError, match="together"):
                operation(one, two)


def test_a_bare_number_is_not_an_amount() -> None:
    with pytest.raises(AmountError):
        Amount(1, DIG) + 1  # type: ignore[operator]


@pytest.mark.parametrize("units", [1.0, True, "1", 2**63, -(2**63)])
def test_floats_bools_and_what_does_not_fit_64_bits_are_refused(units: object) -> None:
    with pytest.raises(AmountError, match="base units"):
        Amount(units, DIG)  # type: ignore[arg-type]


def test_a_sum_that_does_not_fit_64_bits_is_refused() -> None:
    with pytest.raises(AmountError, match=str(2**63)):
        Amount(2**63 - 1, DIG) + Amount(1, DIG)


@pytest.mark.parametrize(
    ("symbol", "decimals"), [("", 9), ("1A", 9), ("A B", 9), ("A" * 17, 9), ("A", -1), ("A", 19), ("A", True)]
)
def test_a_token_that_can_not_be_written_is_refused(symbol: str, decimals: int) -> None:
    with pytest.raises(AmountError):
        Token(symbol, decimals)
