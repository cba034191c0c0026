"""Strikes: what an update of absurd size that does harm costs its sender beyond the round.

An outlier alone is no proof: honest participants with unlike data send long updates too. A norm over
`strike_norm_ratio` times the field's median *and* a credit below 0 by more than `strike_z` standard errors is a strike;
DESIGN section 5 has seen none on an honest participant.

Whoever is struck is out for `suspension` rounds, and its credit up to that round no longer counts towards any pay. Both
follow from the receipts of settled rounds alone. What of its pay is still pending, the ledger voids
(`tokenomics.ledger.vesting`).

Thresholds, all in the spec, none from a paper:

- `strike_norm_ratio` 5 with `strike_z` -1: DESIGN section 5, rule 5. Either alone hits the honest: norm ratios flag up
  to 1.5 % of them (EVIDENCE, "Outlier checks"), and a strike on credit alone starved 15 % (EVIDENCE, "The rule of
  DESIGN.md section 5 on a CNN"). Under a normal error a harmless update falls below -1 in 16 % of rounds.
- `suspension` 20: the window of pay, so that whoever comes back starts without credit.
"""

from subnet.scoring.history import History
from subnet.spec import ScoringSection


def is_strike(*, norm_ratio: float, z: float, rules: ScoringSection) -> bool:
    """Say whether an update is a strike.

    Args:
        norm_ratio: its norm over the field's median one, 0 or more.
        z: its credit in standard errors.
        rules: the spec's constants.

    >>> from subnet.spec import ScoringSection
    >>> [is_strike(norm_ratio=ratio, z=z, rules=ScoringSection()) for ratio, z in ((9, -3), (9, 3), (2, -3))]
    [True, False, False]
    """
    return norm_ratio > rules.strike_norm_ratio and z < rules.strike_z


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
