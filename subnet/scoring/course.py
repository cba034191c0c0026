"""Course: whether a participant goes on as it went, told by its own last update.

Whoever trains from round to round on data of its own pulls the model the same way, mostly: the cosine of the novel part
of its update (what is left off the last global deltas, which are public) with that of its last one had a median of .84
over 15,960 honest updates of 60 runs, and was never below -.05. Two things are read off it:

- *Turning*: a cosine below `turn_cosine`, in a round whose update doesn't improve the model beyond noise, undoes what
  its sender was paid for, and is a strike (`subnet.scoring.strikes`). A reversed update is one whatever its norm.
- *No course*: whose mean cosine over the last `history` rounds is below `course_share` of the field's median one
  doesn't train on data of its own: fresh noise has 0, somebody's update under fresh noise half an honest one's, and
  who sends honest work one round and something else in the next has little. It earns nothing this round. Three cosines
  are needed before anybody is judged.

Where the field itself keeps no course (a median below `FIELD`: first rounds on even data, or participants whose data is
new in every round) nobody is judged at all.

It doesn't find whoever adds the *same* noise in every round, or turns to something that isn't its last update reversed.

Thresholds, in the spec but for those below, none from a paper; docs/scoring-research.md has the figures:

- `turn_cosine` -.25: the least honest cosine was -.05; 297 of 298 reversed updates had -.38 or less, one -.16.
- `course_share` .65: no honest client-round of optdigits was below it on even data, .8 % at Dirichlet .5, .3 % at .1;
  on MNIST .4, 3.6 (half of it one participant's) and 1.3 %.
- `FIELD` .3: the median of the honest was .08 and .12 in rounds 2 and 3 of MNIST on even data, and .32 or more in all
  others. `LEAST` 3: so that one unlucky round isn't enough.

Source: this project's own. That one sender's updates of two rounds are alike is what FoolsGold (Fung, Yoon and
Beschastnikh 2020, arXiv:1808.04866) and FLDetector (Zhang et al. 2022, arXiv:2207.09209) build on in other ways.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, median

import torch
from torch import Tensor

from subnet.scoring.base import Field
from subnet.scoring.geometry import Geometry, dot_products, pair_products
from subnet.scoring.history import History, PastRound
from subnet.spec import ScoringSection

FIELD = 0.3
"""Nobody is judged where the field's median is below this."""

LEAST = 3
"""So many cosines a participant needs before it is held to have no course."""


_AT_ONCE = 8
"""Stored updates that are held at a time, so that what is public is read once for all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """How one participant's update stands to those that it sent before.

    Attributes:
        cosine: with its last one, novel parts of both, in [-1, 1].
        mean: of that over the last few rounds, this one included.
        n_rounds: how many those are.
        limit: what the mean must reach; None where it isn't judged.
        turned: whether it went against its last one.
        no_course: whether the mean doesn't reach the limit.
    """

    cosine: float
    mean: float
    n_rounds: int
    limit: float | None
    turned: bool
    no_course: bool


def last_updates(history: History, rules: ScoringSection) -> dict[str, str]:
    """Return by hotkey the hash of the last update that it had in the field, of the last `history` rounds.

    What it sent up to a strike is forgotten.
    """
    found: dict[str, str] = {}
    for settled in history.last(rules.history):
        found |= settled.updates
        for hotkey in settled.strikes:
            found.pop(hotkey, None)
    return found


def cosines(field: Field, shape: Geometry, last: Mapping[str, str], fetch: Callable[[str], Tensor]) -> dict[str, float]:
    """Return each update's cosine with its sender's last one, of novel parts.

    Args:
        field: the round's updates.
        shape: their geometry.
        last: hash of the last update by hotkey.
        fetch: returns a stored update `(n_params,)` by its hash; `_AT_ONCE` of them are held at a time.

    Returns:
        By hotkey, of those with a last update; nothing of those without a novel part now or then.
    """
    known = [row for row, hotkey in enumerate(field.hotkeys) if hotkey in last]
    found: dict[str, float] = {}
    for start in range(0, len(known), _AT_ONCE):
        rows = known[start : start + _AT_ONCE]
        before = torch.stack([fetch(last[field.hotkeys[row]]) for row in rows])
        shadow = dot_products(before, shape.public)
        product, square = pair_products(before, field.updates[rows])
        rest = product - (shadow * shape.shadow[rows]).sum(1)
        norms = shape.novelty[rows] * shape.norms[rows] * (square - shadow.square().sum(1)).clamp(min=0).sqrt()
        for row, cosine in zip(rows, (rest / norms).tolist(), strict=True):
            if isfinite(cosine):
                found[field.hotkeys[row]] = min(1.0, max(-1.0, cosine))
    return found


def find(
    measured: Mapping[str, float], history: History, rules: ScoringSection, *, among: Collection[str]
) -> dict[str, Finding]:
    """Put a round's cosines beside those of the rounds before it.

    Args:
        measured: this round's, by hotkey.
        history: all settled rounds before this one.
        rules: the spec's constants.
        among: of whom the field's median is taken: those that copy nobody.
    """
    past = history.last(max(0, rules.history - 1))
    windows = {hotkey: [*_past(hotkey, past), cosine] for hotkey, cosine in measured.items()}
    means = {hotkey: fmean(window) for hotkey, window in windows.items()}
    usual = median([mean for hotkey, mean in means.items() if hotkey in among] or [0.0])
    keeps = usual >= FIELD
    found = {}
    for hotkey, cosine in measured.items():
        limit = rules.course_share * usual if keeps and len(windows[hotkey]) >= LEAST else None
        found[hotkey] = Finding(
            cosine=cosine,
            mean=means[hotkey],
            n_rounds=len(windows[hotkey]),
            limit=limit,
            turned=keeps and cosine < rules.turn_cosine,
            no_course=limit is not None and means[hotkey] < limit,
        )
    return found


def _past(hotkey: str, rounds: Collection[PastRound]) -> list[float]:
    """Return a participant's cosines since its last strike."""
    found: list[float] = []
    for settled in rounds:
        if hotkey in settled.strikes:
            found = []
        elif hotkey in settled.own_cosines:
            found.append(settled.own_cosines[hotkey])
    return found
