"""Rules by name: the ones that ship, those of plug-ins, and any class by its import path."""

import dataclasses
import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, TypeVar

from strategies.base import Aggregator
from strategies.errors import SettingsError, StrategyError, UnknownStrategyError
from strategies.settings import make

ENTRY_POINTS = "subnet.strategies"
_RULES: dict[str, type[Aggregator]] = {}
_Rule = TypeVar("_Rule", bound=type[Aggregator])


class Description(NamedTuple):
    """A rule in short."""

    name: str
    summary: str
    source: str
    settings: Mapping[str, Any]
    """Default value by setting."""


def register(cls: _Rule) -> _Rule:
    """Make a rule known by its `name`; a class decorator.

    Args:
        cls: A complete `Aggregator`.

    Returns:
        The class, unchanged.

    Raises:
        StrategyError: Another class has that name.
    """
    known = _RULES.setdefault(cls.name, cls)
    if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise StrategyError(
            f"the rule {cls.name!r} is {known.__module__}:{known.__qualname__} already",
            remedy=f"give {cls.__module__}:{cls.__qualname__} a name of its own",
        )
    _RULES[cls.name] = cls
    return cls


def names() -> list[str]:
    """Names of every registered rule, plug-ins included (which aren't loaded for that), in alphabetical order."""
    return sorted(_RULES.keys() | _plugins().keys())


def describe() -> list[Description]:
    """Every registered rule in short, in alphabetical order.

    Returns:
        Name, summary, source, and the settings with their defaults.

    Raises:
        UnknownStrategyError: A plug-in doesn't load.
    """
    found = []
    for name in names():
        rule = _lookup(name)
        settings = {field.name: field.default for field in dataclasses.fields(rule.Settings)}
        found.append(Description(name, rule.summary, rule.source, settings))
    return found


def create(*rule: str, **settings: object) -> Aggregator:
    """Make a rule by its name.

    Args:
        *rule: The rule's name, or its import path `package.module:Class`. Mixers, which would come before it, don't
            exist yet.
        **settings: The rule's settings; see `describe`.

    Returns:
        The rule, ready to aggregate any number of times.

    Raises:
        UnknownStrategyError: No such rule, more than one name, or a class that is no `Aggregator`.
        SettingsError: A setting that the rule doesn't have, a wrong type or a value out of range.

    >>> create("trimmed_mean", n_byzantine=4).name
    'trimmed_mean'
    """
    if len(rule) != 1:
        raise UnknownStrategyError(
            f"{len(rule)} names given: {', '.join(rule) or 'none'}; a strategy is one rule",
            remedy=f"give one of: {', '.join(names())}",
        )
    cls = _lookup(rule[0])
    try:
        return cls(make(cls.Settings, settings))
    except SettingsError as error:
        raise SettingsError(f"{cls.name}: {error.message}", remedy=error.remedy) from error


def _plugins() -> dict[str, EntryPoint]:
    """Entry points by name; the rules that ship come first."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in _RULES}


def _lookup(name: str) -> type[Aggregator]:
    """The class of a name, an entry point or an import path."""
    if name in _RULES:
        return _RULES[name]
    point = _plugins().get(name)
    if point is None and ":" not in name:
        close = difflib.get_close_matches(name, names())
        raise UnknownStrategyError(
            f"no strategy is called {name!r}",
            remedy=f"did you mean {' or '.join(close)}?" if close else f"give one of: {', '.join(names())}",
        )
    return _loaded(name, point)


def _loaded(name: str, point: EntryPoint | None) -> type[Aggregator]:
    """The class behind an entry point, or behind `package.module:Class`."""
    try:
        if point is None:
            module, _, attribute = name.partition(":")
            found = getattr(importlib.import_module(module), attribute)
        else:
            found = point.load()
    except (ImportError, AttributeError, ValueError) as error:
        raise UnknownStrategyError(
            f"the strategy {name!r} doesn't load: {error}",
            remedy="check the import path, and that its package is installed",
        ) from error
    if not (isinstance(found, type) and issubclass(found, Aggregator)):
        raise UnknownStrategyError(
            f"{name!r} is {found!r}, not a subclass of strategies.Aggregator", remedy="name an Aggregator class"
        )
    return found
