"""From credit to a payable score: the window, its noise band, and the rules over many rounds.

Who is eligible this round (accepted, ungated, no copy, not significantly negative) is paid by what the last E rounds
were worth: max(0, sum of credits - kappa x standard error). Nothing is payable while

- the novel part of all credit so far, with `novel_errors` standard errors added, stays below `novel_share` of the
  field's median without any (free riding over many rounds);
- the credit of the last few rounds, with `RECENT_ERRORS` standard errors added, stays below `recent_share` of the
  field's median (coasting on the past). Harm counts once here: one harmful round costs its sender in the window's sum,
  and doesn't look like five idle ones.

A share above `share_cap` times the median share is cut, and what is cut isn't minted. Scores are quantised to whole
billionths of the loss before they decide money, so that the last bits of a sum never do.

Thresholds, in the spec but for `RECENT_ERRORS`, `SCORE_UNIT` and `MAX_SCORE`; where they come from:

- `window` 20 and `kappa` .5: DESIGN section 5, rule 6. Equal IID honest clients had a coefficient of variation of .10
  in their pay, with a window of 10 and kappa 1 one of .6 (EVIDENCE, "The rule of DESIGN.md section 5 on a CNN").
- `novel_share` .3: DESIGN section 5, rule 3; it stops riders that add noise to a replay.
- `history` 5 and `recent_share` .3: DESIGN section 5, rule 6, against coasting, which still paid .68 of an honest
  share in EVIDENCE.
- `share_cap` 3: a client that alone held two classes had been paid 20 to 27 times the mean (EVIDENCE, "Scoring").
- `novel_errors` 2: whom noise could excuse is paid; under a normal error two leave 2 % of those at the limit without
  pay in a round. With one on the novel credit three times as many honest rounds went unpaid at Dirichlet .5
  (docs/scoring-research.md).
- `RECENT_ERRORS` 3: once a model has converged everybody's recent credit is noise. With two, and harm weighed as in the
  window, 7.9 % of the rounds of equal honest participants on MNIST went unpaid for coasting, and .8 % so (the same
  document).
- `negative_weight` 4: poison in one round of five then costs more than the honest four bring (the same document).
- `SCORE_UNIT` and `MAX_SCORE`: this project's own; see there.

Source: DESIGN section 5, rules 3 and 6; no formula here is from a paper.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from subnet.scoring.history import History, PastRound, weighed
from subnet.spec import ScoringSection

SCORE_UNIT = 1e-9
"""One unit of an integer score, in units of the loss."""

RECENT_ERRORS = 3
"""So many standard errors are added to recent credit before it is held against the field's."""

MAX_SCORE = 1e6
"""No score is higher, in units of the loss; a model that has exploded can move its loss by any amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payable:
    """What one hotkey's past and present come to.

    Attributes:
        credit: sum over the window, harm beyond noise counting several times.
        standard_error: of that sum.
        n_rounds: rounds of the window in which its contribution counted.
        novel_ratio: novel credit, plus `novel_errors` standard errors, over all credit so far; None without credit.
        novel_limit: what the ratio must reach.
        recent: credit of the last few rounds, harm counted once, plus `RECENT_ERRORS` standard errors.
        recent_limit: what that must reach.
        zero_because: `""`, `ineligible`, `noise`, `no_credit`, `free_riding` or `coasting`.
        score: whole units of `SCORE_UNIT` that are paid.
        cut: units above the cap on a share, which aren't minted.
    """

    credit: float
    standard_error: float
    n_rounds: int
    novel_ratio: float | None
    novel_limit: float
    recent: float
    recent_limit: float
    zero_because: str
    score: int
    cut: int


def payable(
    history: History, hotkeys: Sequence[str], eligible: Collection[str], rules: ScoringSection
) -> dict[str, Payable]:
    """Return what is payable to each of `hotkeys`.

    Args:
        history: all settled rounds and this one as the last.
        hotkeys: everyone of this round's field.
        eligible: those among them who may be paid this round.
        rules: the spec's constants.
    """
    window = {hotkey: _sum(history.last(rules.window), hotkey, rules) for hotkey in hotkeys}
    whole = {hotkey: history.whole(hotkey, rules) for hotkey in hotkeys}
    recent = {hotkey: _sum(history.last(rules.history), hotkey) for hotkey in hotkeys}
    ratios = {
        hotkey: (total.novel + rules.novel_errors * sqrt(total.novel_variance)) / total.credit
        for hotkey, total in whole.items()
        if total.credit > 0
    }
    plain = [total.novel / total.credit for total in whole.values() if total.credit > 0]
    novel_limit = max(0.0, rules.novel_share * median(plain)) if plain else 0.0
    band = {hotkey: sums.credit - rules.kappa * sums.error for hotkey, sums in window.items()}
    zero = {
        hotkey: _zero_because(hotkey in eligible, band[hotkey], ratios.get(hotkey), novel_limit) for hotkey in hotkeys
    }
    earning = [recent[hotkey].credit for hotkey in hotkeys if not zero[hotkey]]
    recent_limit = max(0.0, rules.recent_share * median(earning)) if earning else 0.0
    upper = {hotkey: sums.credit + RECENT_ERRORS * sums.error for hotkey, sums in recent.items()}
    zero |= {hotkey: "coasting" for hotkey in hotkeys if not zero[hotkey] and upper[hotkey] < recent_limit}
    scores = {hotkey: 0.0 if zero[hotkey] else min(band[hotkey], MAX_SCORE) for hotkey in hotkeys}
    paid = _cap(scores, rules.share_cap)
    return {
        hotkey: Payable(
            credit=window[hotkey].credit,
            standard_error=window[hotkey].error,
            n_rounds=window[hotkey].n_rounds,
            novel_ratio=ratios.get(hotkey),
            novel_limit=novel_limit,
            recent=upper[hotkey],
            recent_limit=recent_limit,
            zero_because=zero[hotkey],
            score=round(paid[hotkey] / SCORE_UNIT),
            cut=round(scores[hotkey] / SCORE_UNIT) - round(paid[hotkey] / SCORE_UNIT),
        )
        for hotkey in hotkeys
    }


@dataclass(frozen=True, slots=True)
class _Sums:
    credit: float
    error: float
    n_rounds: int


def _sum(rounds: Sequence[PastRound], hotkey: str, rules: ScoringSection | None = None) -> _Sums:
    """Add up what counts of some rounds: nothing up to the last strike, and harm beyond noise as the rules weigh it."""
    struck = [index for index, settled in enumerate(rounds) if hotkey in settled.strikes]
    since = rounds[struck[-1] + 1 :] if struck else rounds
    found = [settled.credits[hotkey] for settled in since if hotkey in settled.credits]
    return _Sums(
        credit=sum(past.credit if rules is None else weighed(past, rules) for past in found),
        error=sqrt(sum(past.standard_error**2 for past in found)),
        n_rounds=len(found),
    )


def _zero_because(eligible: bool, band: float, novel_ratio: float | None, novel_limit: float) -> str:
    """Return why nothing is payable by this round and the window; `""` where something is."""
    if not eligible:
        return "ineligible"
    if band <= 0:
        return "noise"
    if novel_ratio is None:
        return "no_credit"
    return "free_riding" if novel_ratio < novel_limit else ""


def _cap(scores: Mapping[str, float], share_cap: float) -> dict[str, float]:
    """Cut each score to `share_cap` times the median positive score."""
    positive = [score for score in scores.values() if score > 0]
    if not positive:
        return dict(scores)
    limit = share_cap * median(positive)
    return {hotkey: min(score, limit) for hotkey, score in scores.items()}
