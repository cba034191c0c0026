"""Is a recorded value the recomputed one? Exactly, or near it, as another processor's last bits make it."""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from math import isclose
from typing import Any

TOLERANCE = 1e-3
"""How far a number may be off on another kind of machine, relative to the larger of the two."""
TOLERANCE_NEAR_0 = 1e-6
"""And how far at least, for numbers near 0, in units of the loss."""
_TOLERANCE_UNITS = 1000
"""The same for scores, which are whole units: 1e-6 of the loss in units of 1e-9."""
_UNITS = frozenset({"score", "cut"})


class Agreement(IntEnum):
    """How a recorded value stands to the recomputed one."""

    EXACT = 0
    NEAR = 1
    """Within the tolerance: agreement on another kind of machine, and none on the same."""
    FAR = 2


Difference = tuple[str, Any, Any, Agreement]
"""The path of a value in its document, the recorded and the recomputed value, and how they stand."""


def differences(recorded: Any, recomputed: Any, path: str = "") -> Iterator[Difference]:
    """Yield where two JSON documents differ, in the order of their keys; a key that is missing is None.

    >>> list(differences({"a": 1, "b": [2.0]}, {"a": 1, "b": [3.0]}))
    [('b.0', 2.0, 3.0, <Agreement.FAR: 2>)]
    """
    if isinstance(recorded, Mapping) and isinstance(recomputed, Mapping):
        for key in dict.fromkeys([*recomputed, *recorded]):
            yield from differences(recorded.get(key), recomputed.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(recorded, list) and isinstance(recomputed, list) and len(recorded) == len(recomputed):
        for place, (one, other) in enumerate(zip(recorded, recomputed, strict=True)):
            yield from differences(one, other, f"{path}.{place}" if path else str(place))
    else:
        found = _agreement(recorded, recomputed, whole=path.rpartition(".")[2] in _UNITS)
        if found is not Agreement.EXACT:
            yield path, recorded, recomputed, found


def worst(found: Iterator[Difference]) -> Difference | None:
    """Return the first of the worst differences; None where there is none."""
    return max(found, key=lambda one: one[3], default=None)


def _agreement(recorded: Any, recomputed: Any, *, whole: bool) -> Agreement:
    if recorded == recomputed:
        return Agreement.EXACT
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (recorded, recomputed))
    if not numbers:
        return Agreement.FAR
    at_least = _TOLERANCE_UNITS if whole else TOLERANCE_NEAR_0
    near = isclose(recorded, recomputed, rel_tol=TOLERANCE, abs_tol=at_least)
    return Agreement.NEAR if near else Agreement.FAR
