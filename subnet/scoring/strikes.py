"""Strikes: what an update of absurd size that does harm, or one that undoes the last, costs beyond the round.

An outlier alone is no proof: honest participants with unlike data send long updates too, and longer ones beside the
field's the more the others have learnt. A norm over `strike_norm_ratio` times what is usual *and* a credit below 0 by
more than `strike_z` standard errors is a strike. Usual is the larger of two: the field's median norm, and the sender's
own median norm over the window of pay, which for a newcomer is taken to be twice the field's.

An update that goes against its sender's last one without improving the model beyond noise is a strike at any size
(`is_turn`; `subnet.scoring.course` has limits and source).

Whoever is struck is out for `suspension` rounds, and its credit up to that round no longer counts towards any pay. Both
follow from the receipts of settled rounds alone. What of its pay is still pending, the ledger voids
(`tokenomics.ledger.vesting`).

Thresholds, in the spec but for the newcomer's, none from a paper; docs/scoring-research.md has the figures:

- `strike_norm_ratio` 3.5 with `strike_z` -3: of 67,850 honest updates none with a credit below -2 had more than 2.5
  times the usual norm. Whoever turned from honest work to poison of five times its norm had 3.9 to 4.9 times with
  credits of -8 to -29 on even data, 2.4 to 4.8 and -2.4 to -19 at Dirichlet .5. On MNIST an honest participant whose
  training ran away had 4.1 times and -2.5. DESIGN section 5, rule 5 has 5 times the field's median and -1, by which 10
  of 154 runs struck somebody honest.
- `NEWCOMER` 2: an honest first update had 4.6 times the field's median norm and did harm; newcomers are struck at 7.
- `suspension` 20: the window of pay, so that whoever comes back starts without credit.
"""

from collections.abc import Sequence
from statistics import median

from subnet.scoring.course import Finding
from subnet.scoring.history import History, PastRound
from subnet.spec import ScoringSection

NEWCOMER = 2.0
"""A newcomer's usual norm, in median norms of the field."""


IMPROVES = 2.0
"""A credit of so many standard errors and more is an improvement beyond noise, whatever it turns against."""


def own_norm_ratio(hotkey: str, norm: float, past: Sequence[PastRound]) -> float | None:
    """Return an update's norm over its sender's own median one; None for a newcomer, and for one after a strike.

    Args:
        hotkey: the sender.
        norm: of the update.
        past: the rounds before this one that count; those up to its last strike, and updates of norm 0, don't.

    >>> past = [PastRound(credits={}, norms={"ada": norm}) for norm in (1.0, 3.0, 0.0)]
    >>> own_norm_ratio("ada", 6.0, past), own_norm_ratio("bob", 6.0, past)
    (3.0, None)
    """
    own: list[float] = []
    for settled in past:
        if hotkey in settled.strikes:
            own = []
        elif settled.norms.get(hotkey):
            own.append(settled.norms[hotkey])
    return norm / median(own) if own else None


def is_strike(*, norm_ratio: float, own_norm_ratio: float | None, z: float, rules: ScoringSection) -> bool:
    """Say whether an update is a strike.

    Args:
        norm_ratio: its norm over the field's median one, 0 or more.
        own_norm_ratio: its norm over its sender's own median one; None for a newcomer.
        z: its credit in standard errors.
        rules: the spec's constants.

    >>> from subnet.spec import ScoringSection
    >>> seen = ((9, 9, -4), (9, 1, -4), (9, 9, 4), (2, 9, -4), (9, None, -4), (6, None, -4))
    >>> [is_strike(norm_ratio=field, own_norm_ratio=own, z=z, rules=ScoringSection()) for field, own, z in seen]
    [True, False, False, False, True, False]
    """
    own = norm_ratio / NEWCOMER if own_norm_ratio is None else own_norm_ratio
    return min(norm_ratio, own) > rules.strike_norm_ratio and z < rules.strike_z


def is_turn(course: Finding | None, *, z: float) -> bool:
    """Say whether an update goes against its sender's last one without improving the model beyond noise.

    Args:
        course: how it stands to those before it; None where there are none.
        z: its credit in standard errors.
    """
    return course is not None and course.turned and z < IMPROVES


def suspended(history: History, rules: ScoringSection) -> dict[str, int]:
    """Return who is out of the round that follows the history, and the last round for which each is.

    Args:
        history: all settled rounds; the first is round 1.
        rules: the spec's constants.
    """
    counting = history.last(rules.suspension)
    return {
        hotkey: number + rules.suspension
        for number, settled in enumerate(counting, start=history.n_rounds - len(counting) + 1)
        for hotkey in settled.strikes
    }
