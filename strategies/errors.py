"""Errors of the aggregation strategies.

```
StrategyError               anything wrong with an aggregation
├── UnknownStrategyError    no rule of that name, or its plug-in doesn't load
├── SettingsError           a setting that the rule doesn't have, or a value outside its range
├── UpdatesError            updates whose number, shape, dtype or values can't be aggregated
├── TooFewClientsError      fewer clients than the rule needs against that many Byzantine ones
└── EvidenceError           the rule needs evidence that wasn't given, or that doesn't fit the updates
```
"""

from typing import ClassVar


class StrategyError(Exception):
    """Root of everything that can go wrong in an aggregation.

    Attributes:
        code: Stable identifier of the kind of error.
        message: What is wrong, with the offending value and its limit.
        remedy: What to do about it; empty when there is nothing to do.
    """

    code: ClassVar[str] = "strategy"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UnknownStrategyError(StrategyError):
    """No rule has that name, or the plug-in that provides it doesn't load."""

    code = "strategy.unknown"


class SettingsError(StrategyError):
    """A setting that the rule doesn't have, or a value of the wrong type or outside its range."""

    code = "strategy.settings"


class UpdatesError(StrategyError):
    """Updates whose number, shapes, dtypes or values can't be aggregated."""

    code = "strategy.updates"


class TooFewClientsError(StrategyError):
    """Fewer clients than the rule needs against that many Byzantine ones."""

    code = "strategy.too_few_clients"


class EvidenceError(StrategyError):
    """The rule needs evidence that wasn't given, or that doesn't fit the updates."""

    code = "strategy.evidence"
