"""Rules and mixers by name: the ones that ship, those of plug-ins, and any class by its import path."""

import dataclasses
import difflib
import importlib
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

from strategies.aggregation import EvidenceKind
from strategies.base import Aggregator, Mixer
from strategies.composition import Composition
from strategies.errors import SettingsError, StrategyError, UnknownStrategyError
from strategies.settings import RuleSettings, make

ENTRY_POINTS = "subnet.strategies"
Kind: TypeAlias = Literal["rule", "mixer"]
Part: TypeAlias = type[Aggregator] | type[Mixer]
_PARTS: dict[str, Part] = {}
_Registered = TypeVar("_Registered", bound=Part)
# what a class says of itself
_SAID = ("name", "summary", "source")


class Description(NamedTuple):
    """A rule or a mixer in short."""

    name: str
    summary: str
    source: str
    settings: Mapping[str, Any]
    """Default value by setting."""
    kind: Kind
    """A rule stands alone or last; a mixer comes before a rule: `create("nnm", "median")`, or "nnm+median"."""
    breakdown: str
    """How many of n clients may be malicious, in short."""
    evidence: tuple[EvidenceKind, ...]
    """The kinds of evidence that it reads, in alphabetical order."""


def register(cls: _Registered) -> _Registered:
    """Make a rule or a mixer known by its `name`; a class decorator.

    Args:
        cls: A complete `Aggregator` or `Mixer`.

    Returns:
        The class, unchanged.

    Raises:
        StrategyError: Another class has that name.
    """
    known = _PARTS.setdefault(cls.name, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise StrategyError(
            f"the {kind_of(known)} {cls.name!r} is {known.__module__}:{known.__qualname__} already",
            remedy=f"give {cls.__module__}:{cls.__qualname__} a name of its own",
        )
    _PARTS[cls.name] = cls
    return cls


def names(kind: Kind = "rule") -> list[str]:
    """Names of what is registered, in alphabetical order.

    Args:
        kind: Rules, which any caller can use as they are; or mixers, which need a rule after them. Plug-ins aren't
            loaded for this, and are listed with the rules.

    Returns:
        The names.
    """
    found = {name for name, cls in _PARTS.items() if kind_of(cls) == kind}
    return sorted(found | _plugins().keys() if kind == "rule" else found)


def describe(*wanted: str) -> list[Description]:
    """Rules and mixers in short.

    Args:
        *wanted: Their names or import paths; by default every registered one, the rules in alphabetical order, then
            the mixers.

    Returns:
        One description each; that of a plug-in that doesn't load says so in its summary.
    """
    if wanted:
        return [_described(name) for name in wanted]
    found = [_described(name) for name in [*names(), *names("mixer")]]
    return sorted(found, key=lambda row: (row.kind == "mixer", row.name))


def _described(name: str) -> Description:
    try:
        part = lookup(name)
    except UnknownStrategyError as error:
        return Description(name, error.message, "", {}, "rule", "", ())
    return Description(
        name=name,
        summary=part.summary,
        source=part.source,
        settings={field.name: field.default for field in dataclasses.fields(part.Settings)},
        kind=kind_of(part),
        breakdown=part.breakdown,
        evidence=tuple(sorted(part.evidence)),
    )


def create(*parts: str, **settings: object) -> Aggregator:
    """Make a rule by its name, or mixers and a rule by theirs.

    Args:
        *parts: Names, or import paths `package.module:Class`: any number of mixers and then one rule, each by itself or
            all in one with `+` between them.
        **settings: The parts' settings; each goes to every part that has one of that name. See `describe`.

    Returns:
        The rule, ready to aggregate any number of times.

    Raises:
        UnknownStrategyError: No such part, no name at all, a mixer last or a rule before the last.
        SettingsError: A setting that no part has, a wrong type or a value out of range.

    >>> create("trimmed_mean", n_byzantine=4).name
    'trimmed_mean'
    """
    wanted = [name for part in parts for name in part.split("+")]
    if not wanted:
        raise UnknownStrategyError("no strategy is named", remedy=f"give one of: {', '.join(names())}")
    classes = [lookup(name) for name in wanted]
    mixers = [cls for cls in classes[:-1] if issubclass(cls, Mixer)]
    rule = classes[-1]
    if not issubclass(rule, Aggregator):
        raise UnknownStrategyError(
            f"{rule.name} is a mixer, and no rule comes after it",
            remedy=f"put a rule last, such as {'+'.join([*wanted, 'trimmed_mean'])}",
        )
    if len(mixers) != len(wanted) - 1:
        early = next(cls for cls in classes[:-1] if not issubclass(cls, Mixer))
        raise UnknownStrategyError(
            f"{early.name} is a rule, and {len(wanted)} names are given: {', '.join(wanted)}",
            remedy=f"put only mixers before the last: {', '.join(names('mixer'))}",
        )
    _all_known(classes, settings)
    first = [mixer(_made(mixer, settings)) for mixer in mixers]
    last = rule(_made(rule, settings))
    return Composition(first, last) if first else last


def kind_of(cls: Part) -> Kind:
    """Whether a class is a rule or a mixer."""
    return "mixer" if issubclass(cls, Mixer) else "rule"


def _all_known(classes: Sequence[Part], settings: Mapping[str, object]) -> None:
    """Refuse a setting that no part has."""
    allowed = {cls.name: [field.name for field in dataclasses.fields(cls.Settings)] for cls in classes}
    unknown = sorted(settings.keys() - {name for of_part in allowed.values() for name in of_part})
    if unknown:
        takes = "; ".join(f"{name} takes {', '.join(of_part) or 'none'}" for name, of_part in allowed.items())
        raise SettingsError(
            f"{'+'.join(cls.name for cls in classes)}: unknown setting {unknown[0]!r}", remedy=f"settings: {takes}"
        )


def _made(cls: Part, settings: Mapping[str, object]) -> RuleSettings:
    """A part's settings, out of those for all."""
    own = {field.name for field in dataclasses.fields(cls.Settings)}
    try:
        return make(cls.Settings, {name: value for name, value in settings.items() if name in own})
    except SettingsError as error:
        raise SettingsError(f"{cls.name}: {error.message}", remedy=error.remedy) from error


def _plugins() -> dict[str, EntryPoint]:
    """Entry points by name; those that ship come first."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in _PARTS}


def lookup(name: str) -> Part:
    """The class of one name, entry point or import path.

    Raises:
        UnknownStrategyError: There is none, or it doesn't load.
    """
    if name in _PARTS:
        return _PARTS[name]
    point = _plugins().get(name)
    if point is None and ":" not in name:
        known = [*names(), *names("mixer")]
        close = difflib.get_close_matches(name, known)
        raise UnknownStrategyError(
            f"no strategy is called {name!r}",
            remedy=f"did you mean {' or '.join(close)}?" if close else f"give one of: {', '.join(known)}",
        )
    return _loaded(name, point)


def _loaded(name: str, point: EntryPoint | None) -> Part:
    """The class behind an entry point, or behind `package.module:Class`."""
    try:
        if point is None:
            module, _, attribute = name.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        else:
            found = point.load()
    except (ImportError, AttributeError, ValueError, SyntaxError) as error:
        raise UnknownStrategyError(
            f"the strategy {name!r} doesn't load: {error}",
            remedy="check the import path, and that its package is installed",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Aggregator | Mixer)):
        raise UnknownStrategyError(
            f"{name!r} is {found!r}, not a subclass of strategies.Aggregator", remedy="name an Aggregator class"
        )
    missing = sorted({*found.__abstractmethods__, *(said for said in _SAID if not hasattr(found, said))})
    if missing:
        raise UnknownStrategyError(
            f"the strategy {name!r} doesn't say its {', '.join(missing)}",
            remedy="see examples/custom_strategy for what a class has to say",
        )
    return found
