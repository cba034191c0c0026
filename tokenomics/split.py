"""Who gets how much of an emission: exact, in whole base units, nothing lost and nothing added.

Largest remainder (Hamilton): everybody gets the floor of the exact share, and the base units left over go one each to
the largest remainders. Nobody is ever a full base unit from the exact share.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TypeAlias

from tokenomics._checks import check_integer
from tokenomics.errors import SplitError

Score: TypeAlias = int | float | Fraction | Decimal
"""A claim on an emission: a finite number, 0 or more, taken at its exact value."""


def split(emission: int, scores: Mapping[str, Score]) -> dict[str, int]:
    """Divide an emission in proportion to scores.

    Args:
        emission: base units to divide, 0 or more.
        scores: by name, finite and 0 or more. A float counts at its exact binary value.

    Returns:
        Base units by name, in the order of `scores`; they sum to `emission` exactly when any score is positive. With no
        positive score nothing can be paid, and all are 0. A score of 0 always gets 0. Equal remainders are served in
        ascending order of name.

    Raises:
        SplitError: a score is negative, NaN or infinite or no number, or the emission isn't a non-negative integer.

    Source: Balinski and Young, Fair Representation (1982), chapter 3: Hamilton's method.

    >>> split(emission=1_000, scores={"alice": 2.0, "bob": 1.0})
    {'alice': 667, 'bob': 333}
    """
    check_integer("emission", emission, maximum=None, error=SplitError)
    names = sorted(scores)
    parts = dict(zip(names, _largest_remainder(emission, _weights([(n, scores[n]) for n in names])), strict=True))
    return {name: parts[name] for name in scores}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """How a round's emission is divided before scores matter, in parts of their sum.

    Args:
        owner: the subnet's owner's parts, 0 or more.
        validator: the validator's parts, 0 or more.
        participants: the parts that all participants share by score, 0 or more.

    Raises:
        SplitError: a part is no integer or negative, or all are 0.

    Source: Bittensor's 18 / 41 / 41 per cent of owner, validators and miners.
    """

    owner: int = 18
    validator: int = 41
    participants: int = 41

    def __post_init__(self) -> None:
        for name in ("owner", "validator", "participants"):
            check_integer(f"the share of {name}", getattr(self, name), error=SplitError)
        if self.owner + self.validator + self.participants == 0:
            raise SplitError(
                "owner, validator and participants all have a share of 0", remedy="give one of them a part"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundSplit:
    """What one round pays to whom, in base units.

    `owner + validator + sum(participants.values()) == minted`, and `minted + unminted` is the round's emission.
    """

    owner: int
    validator: int
    participants: dict[str, int]
    """By hotkey, in ascending order; everyone with a score is here, if with 0."""
    minted: int
    unminted: int
    """The part of the emission that nobody earned: it never comes into being."""


def divide_round(*, emission: int, shares: Shares, scores: Mapping[str, int], unpaid_score: int = 0) -> RoundSplit:
    """Divide a round's emission among owner, validator and participants.

    Both divisions are by largest remainder; equal remainders go to owner before participants before validator, to
    hotkeys in ascending order, and to the unpaid part last.

    Args:
        emission: base units that the round may mint, 0 or more.
        shares: owner's, validator's and participants' parts.
        scores: integers, 0 or more, by hotkey.
        unpaid_score: score above somebody's cap: it counts as a claim, but its part isn't minted.

    Returns:
        The division. When no participant has a positive score, nothing at all is minted.

    Raises:
        SplitError: the emission or a score isn't a non-negative integer.
    """
    hotkeys = sorted(scores)
    weights = [check_integer(f"the score of {h}", scores[h], maximum=None, error=SplitError) for h in hotkeys]
    weights.append(check_integer("unpaid score", unpaid_score, maximum=None, error=SplitError))
    check_integer("emission", emission, maximum=None, error=SplitError)
    if not any(weights[:-1]):
        nothing = dict.fromkeys(hotkeys, 0)
        return RoundSplit(owner=0, validator=0, participants=nothing, minted=0, unminted=emission)
    owner, pool, validator = _largest_remainder(emission, [shares.owner, shares.participants, shares.validator])
    *paid, unminted = _largest_remainder(pool, weights)
    return RoundSplit(
        owner=owner,
        validator=validator,
        participants=dict(zip(hotkeys, paid, strict=True)),
        minted=emission - unminted,
        unminted=unminted,
    )


def _largest_remainder(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` by integer weights; equal remainders are served in order of position.

    The remainders sum to less than the number of positive ones, so a zero weight is never served.
    """
    sum_weights = sum(weights)
    if sum_weights == 0:
        return [0] * len(weights)
    parts, remainders = [], []
    for weight in weights:
        part, remainder = divmod(total * weight, sum_weights)
        parts.append(part)
        remainders.append(remainder)
    by_remainder = sorted(range(len(weights)), key=remainders.__getitem__, reverse=True)  # equal ones stay in order
    for index in by_remainder[: total - sum(parts)]:
        parts[index] += 1
    return parts


def _weights(scores: Sequence[tuple[str, Score]]) -> list[int]:
    """Return integers in exactly the scores' proportions."""
    exact = [_exact(name, score) for name, score in scores]
    denominator = math.lcm(*(score.denominator for score in exact))
    return [score.numerator * (denominator // score.denominator) for score in exact]


def _exact(name: str, score: object) -> Fraction:
    if isinstance(score, bool) or not isinstance(score, int | float | Fraction | Decimal):
        raise SplitError(f"the score of {name!r} is {score!r:.80}, not a number", remedy="give an int or a float")
    finite = score.is_finite() if isinstance(score, Decimal) else not isinstance(score, float) or math.isfinite(score)
    if not finite or score < 0:
        raise SplitError(f"the score of {name!r} is {score}, not finite and at least 0", remedy="give 0 for worthless")
    return Fraction(score)
