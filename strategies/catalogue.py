"""Everything that a rule or a mixer says of itself, for a person to read: its docstring and its settings'."""

import ast
import dataclasses
import inspect
import math
import sys
import textwrap
from typing import get_type_hints

from strategies.aggregation import EvidenceKind
from strategies.registry import Kind, Part, kind_of, lookup
from strategies.settings import RuleSettings, spell


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """One setting of a rule."""

    name: str
    type: str
    """In words: "a number or None"."""
    default: object
    range: str
    """In words: "0 to 1", "above 0"; empty where the type says all."""
    text: str
    """What it means."""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Details:
    """A rule or a mixer, whole."""

    name: str
    kind: Kind
    summary: str
    source: str
    breakdown: str
    evidence: tuple[EvidenceKind, ...]
    text: str
    """The class's docstring."""
    settings_text: str
    """The docstring of its settings."""
    settings: tuple[Setting, ...]


def details(name: str) -> list[Details]:
    """Describe a rule, or mixers and a rule.

    Args:
        name: As `strategies.create` takes it: a name, an import path, or several with `+` between them.

    Returns:
        One for each part, in order.

    Raises:
        UnknownStrategyError: No such part, or it doesn't load.

    >>> [part.kind for part in details("nnm+median")]
    ['mixer', 'rule']
    """
    return [_details(lookup(part)) for part in name.split("+")]


def _details(part: Part) -> Details:
    return Details(
        name=part.name,
        kind=kind_of(part),
        summary=part.summary,
        source=part.source,
        breakdown=part.breakdown,
        evidence=tuple(sorted(part.evidence)),
        text=inspect.getdoc(part) or "",
        settings_text=inspect.getdoc(part.Settings) or "",
        settings=_settings(part.Settings),
    )


def _settings(cls: type[RuleSettings]) -> tuple[Setting, ...]:
    """The settings of a class, those of its bases first."""
    hints = get_type_hints(cls)
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, RuleSettings):
            texts |= _texts(base)
    return tuple(
        Setting(
            name=field.name,
            type=spell(hints[field.name]),
            default=field.default,
            range=_range(field),
            text=texts.get(field.name, ""),
        )
        for field in dataclasses.fields(cls)
    )


def _texts(cls: type[RuleSettings]) -> dict[str, str]:
    """The text below each field in a class's source; none where the source can't be read."""
    try:
        [node] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    assert isinstance(node, ast.ClassDef), "the source of a class is a class"
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _range(field: "dataclasses.Field[object]") -> str:
    """The range that a field's metadata give, in words."""
    if "range" in field.metadata:
        return str(field.metadata["range"])
    low, high = field.metadata.get("low", -math.inf), field.metadata.get("high", math.inf)
    bounded = high < min(sys.float_info.max, sys.maxsize)
    if low == sys.float_info.min:
        return f"above 0, {high:,.10g} at most" if bounded else "above 0"
    if low <= -sys.float_info.max:
        return f"{high:,.10g} or less" if bounded else ""
    return f"{low:,.10g} to {high:,.10g}" if bounded else f"{low:,.10g} or more"
