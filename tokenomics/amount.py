"""Money: an integer of base units, tagged with the token it counts."""

import re
from dataclasses import dataclass
from typing import Final, Self

from tokenomics._checks import INT64_MAX, check_integer, check_text
from tokenomics.errors import AmountError

_SYMBOL: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,15}")
_DECIMAL: Final = re.compile(r"(-?)([0-9]{1,40})(?:\.([0-9]{1,40}))?")


@dataclass(frozen=True, slots=True)
class Token:
    """What a subnet pays in.

    Args:
        symbol: 1 to 16 ASCII letters and digits, a letter first.
        decimals: digits after the point, 0 to 18; one token is `10**decimals` base units. With 9, Bittensor's figure,
            21 million tokens fit 64 bits; with 18 they don't.

    Raises:
        AmountError: symbol or decimals are out of range.
    """

    symbol: str
    decimals: int = 9

    def __post_init__(self) -> None:
        if _SYMBOL.fullmatch(check_text("token symbol", self.symbol, error=AmountError)) is None:
            raise AmountError(
                f"token symbol {self.symbol!r:.80} isn't 1 to 16 ASCII letters and digits, a letter first",
                remedy="choose a short symbol, such as DIG",
            )
        check_integer("decimals", self.decimals, maximum=18, error=AmountError)

    @property
    def one(self) -> int:
        """Base units in one token."""
        return int(10**self.decimals)


@dataclass(frozen=True, slots=True)
class Amount:
    """An exact number of a token's base units; signed, since a ledger has two sides.

    Arithmetic and order exist only between amounts of the same token. Amounts of two tokens are never equal.

    Args:
        base_units: -(2**63) + 1 to 2**63 - 1; a float or a bool is refused.
        token: what is counted.

    Raises:
        AmountError: base units are no integer or don't fit 64 bits, or tokens are mixed.

    >>> Amount.parse("1.5", Token("DIG")) * 3 - Amount(1, Token("DIG"))
    Amount(base_units=4499999999, token=Token(symbol='DIG', decimals=9))
    """

    base_units: int
    token: Token

    def __post_init__(self) -> None:
        check_integer("base units", self.base_units, minimum=-INT64_MAX, error=AmountError)

    @classmethod
    def parse(cls, text: str, token: Token) -> Self:
        """Read a plain decimal, exactly.

        Args:
            text: such as `"1.5"`, `"-3"`, or either followed by a space and the token's symbol, as `str` writes it.
            token: gives the number of decimals; more digits than that are refused, never rounded.

        Raises:
            AmountError: it isn't a plain decimal, has too many decimals, or doesn't fit 64 bits.
        """
        number = check_text("amount", text, error=AmountError).removesuffix(f" {token.symbol}")
        match = _DECIMAL.fullmatch(number)
        if match is None:
            raise AmountError(f"{text!r:.80} isn't a plain decimal amount of {token.symbol}", remedy="write it as 1.5")
        sign, whole, fraction = match[1], match[2], match[3] or ""
        if len(fraction) > token.decimals:
            raise AmountError(
                f"{text!r} has {len(fraction)} decimals, and {token.symbol} has {token.decimals}",
                remedy="drop digits: a base unit can't be divided",
            )
        units = int(whole) * token.one + int(fraction.ljust(token.decimals, "0") or "0")
        return cls(-units if sign else units, token)

    def __str__(self) -> str:
        """Return the exact decimal without trailing zeros, and the symbol: `1.5 DIG`, `12 DIG`, `-0.000000001 DIG`."""
        whole, fraction = divmod(abs(self.base_units), self.token.one)
        digits = f"{fraction:0{self.token.decimals}d}".rstrip("0") if fraction else ""
        number = f"{whole}.{digits}" if digits else str(whole)
        return f"{'-' if self.base_units < 0 else ''}{number} {self.token.symbol}"

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.base_units + self._same(other), self.token)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.base_units - self._same(other), self.token)

    def __mul__(self, factor: int) -> "Amount":
        return Amount(
            self.base_units * check_integer("factor", factor, minimum=-INT64_MAX, error=AmountError), self.token
        )

    __rmul__ = __mul__

    def __neg__(self) -> "Amount":
        return Amount(-self.base_units, self.token)

    def __lt__(self, other: "Amount") -> bool:
        return self.base_units < self._same(other)

    def __le__(self, other: "Amount") -> bool:
        return self.base_units <= self._same(other)

    def __gt__(self, other: "Amount") -> bool:
        return self.base_units > self._same(other)

    def __ge__(self, other: "Amount") -> bool:
        return self.base_units >= self._same(other)

    def _same(self, other: object) -> int:
        if not isinstance(other, Amount) or other.token != self.token:
            shown = other.token if isinstance(other, Amount) else other
            raise AmountError(
                f"{self.token} and {shown!r:.80} can't be reckoned together", remedy="use one token's amounts"
            )
        return other.base_units
