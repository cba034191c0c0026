"""Settings of the rules: frozen dataclasses whose values are checked when they are made."""

import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from strategies.errors import SettingsError, TooFewClientsError

NByzantine: TypeAlias = int | float | Literal["auto"]
AUTO_SHARE = 0.3


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RuleSettings:
    """Settings of a rule that has none; the base of the others.

    Raises:
        SettingsError: A value of the wrong type, or outside the range that its field's metadata (`low`, `high`, both
            included) gives.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _fits(value, hints[field.name]):
                raise SettingsError(
                    f"{field.name}={value!r} is not {spell(hints[field.name])}",
                    remedy=f"leave it out for the default, {field.default!r}",
                )
            low, high = field.metadata.get("low", -math.inf), field.metadata.get("high", math.inf)
            if isinstance(value, int | float) and not low <= value <= high:
                raise SettingsError(
                    f"{field.name}={value!r} is outside [{low}, {high}]",
                    remedy=f"leave it out for the default, {field.default!r}",
                )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RobustSettings(RuleSettings):
    """Settings of a rule that withstands a number of Byzantine clients."""

    n_byzantine: NByzantine = dataclasses.field(
        default="auto", metadata={"range": "0 or more, a share below 0.5, or auto"}
    )
    """How many of a call's clients may be malicious: a count (int), a share of them (float in [0, .5), rounded down) or
    "auto": a share of .3, which is what the default rule `credit_gated` gives up too, or the most that the rule's
    theory allows where that is less. Non-finite updates count among them."""

    def __post_init__(self) -> None:
        RuleSettings.__post_init__(self)
        value = self.n_byzantine
        if not isinstance(value, str) and (value < 0 or (isinstance(value, float) and not value < 0.5)):
            raise SettingsError(
                f"n_byzantine={value!r} is neither a count from 0 up nor a share in [0, .5)",
                remedy='give an int, a float below .5, or "auto"',
            )

    def resolve(self, *, n_clients: int, most: int) -> int:
        """Number of Byzantine clients that one call is to withstand.

        Args:
            n_clients: Clients in the call, 1 or more.
            most: The most that the rule's theory allows at that number; "auto" stays within it.

        Returns:
            A count, less than half of the clients.

        Raises:
            TooFewClientsError: A count that is half of the clients or more: no rule can tell which half is which.

        >>> RobustSettings(n_byzantine=0.2).resolve(n_clients=11, most=5)
        2
        """
        if isinstance(self.n_byzantine, str):
            return min(share_of(AUTO_SHARE, n_clients), most)
        count = share_of(self.n_byzantine, n_clients) if isinstance(self.n_byzantine, float) else self.n_byzantine
        if 2 * count >= n_clients:
            raise TooFewClientsError(
                f"n_byzantine={count} of {n_clients} clients; it has to be less than half of them",
                remedy=f"wait for {2 * count + 1} clients or more, or give a share or 'auto'",
            )
        return count


def share_of(share: float, n: int) -> int:
    """Share of n, rounded down as the floating-point product says (Flower's `int(beta * n)`).

    >>> share_of(0.3, 10)
    3
    """
    return int(share * n)


def make(cls: type[RuleSettings], values: Mapping[str, object]) -> RuleSettings:
    """Settings of a class from names and values.

    Args:
        cls: The rule's settings class.
        values: Setting by name.

    Returns:
        Checked settings.

    Raises:
        SettingsError: A name that the class doesn't have, a wrong type or a value out of range.
    """
    allowed = [field.name for field in dataclasses.fields(cls)]
    unknown = sorted(values.keys() - set(allowed))
    if unknown:
        raise SettingsError(
            f"unknown setting {unknown[0]!r}",
            remedy=f"this rule's settings are: {', '.join(allowed)}" if allowed else "this rule has no settings",
        )
    return cls(**values)


def checked(name: str, cls: type[RuleSettings], settings: RuleSettings | None) -> RuleSettings:
    """Settings of a class: those given, or its defaults.

    Args:
        name: Whose settings they are.
        cls: The settings class.
        settings: An instance of it, or None.

    Returns:
        The instance.

    Raises:
        SettingsError: Settings of another class.
    """
    chosen = cls() if settings is None else settings
    if not isinstance(chosen, cls):
        raise SettingsError(
            f"{name} got settings of {type(chosen).__qualname__}, not {cls.__qualname__}",
            remedy="make them with its own Settings class, or through strategies.create",
        )
    return chosen


_CHECKS: Mapping[Any, tuple[type, ...]] = {
    float: (int, float),
    int: (int,),
    bool: (bool,),
    str: (str,),
    type(None): (type(None),),
}
_SPELLED: Mapping[Any, str] = {
    type(None): "None",
    float: "a number",
    int: "a whole number",
    str: "a text",
    bool: "true or false",
}
_UNIONS = (Union, types.UnionType)


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of the type that a field is annotated with (bool is no number here, and NaN neither)."""
    if get_origin(hint) in _UNIONS:
        return any(_fits(value, part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if isinstance(value, bool) and hint is not bool:
        return False
    return isinstance(value, _CHECKS[hint]) and value == value  # noqa: PLR0124 -- only NaN differs from itself


def spell(hint: Any) -> str:
    """A field's type in words.

    >>> spell(int | Literal["n-f"] | None)
    "a whole number or 'n-f' or None"
    """
    if get_origin(hint) in _UNIONS:
        return " or ".join(spell(part) for part in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(repr(part) for part in get_args(hint))
    return _SPELLED[hint]
