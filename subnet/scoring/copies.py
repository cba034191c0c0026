"""Who copies whom: updates whose novel parts point the same way, round after round.

The first to commit keeps its own full credit; those like it get none and stay out of the aggregate, so a victim loses
nothing by being copied, and clones of one update count once. A copy with noise of its victim's own norm still has a
cosine of .71 with it; honest participants of similar data reach .65 in the first rounds of the digits example, which
is why the threshold never falls below `copy_floor`.

Thresholds, all in the spec but for the crowded field's:

- `copy_ceiling` .85: a copy with noise of .62 of its victim's norm still reaches it. DESIGN section 5, rule 4 has .9,
  above which one with noise of half that norm is just not seen in a field whose pairs spread widely.
- `copy_floor` .65: docs/adr/0003; DESIGN has .5, at which honest clients were taken for copies.
- `copy_mads` 5: 3.4 standard deviations where the pairs are Gaussian (the deviation isn't scaled to a standard one), so
  that of the 190 pairs of 20 participants .06 lie beyond by chance. At DESIGN's 3, which are two, that is 4 of them: in
  the first rounds of even data, whose pairs lie above the floor, up to 7 of 16 honest participants were taken for
  copies in a round, and equal ones were paid unequally. Copies with noise of their victim's own norm earn as little
  (docs/scoring-research.md).
- `copy_min_mad` .02: DESIGN section 5, rule 4, for fields whose pairs are all alike.
- `SAME` 1 - 1e-6: this project's own, so that exact copies in any number aren't the field they are compared with.
- A crowded field's 1 - (1 - median) / 4: half the distance of a typical pair, since the square of the distance of two
  unit vectors is 2 (1 - cosine); docs/adr/0003.

Source: DESIGN section 5, rule 4; what changed and why is in docs/adr. Cosines summed over rounds to find clients that
work together are those of FoolsGold (Fung, Yoon and Beschastnikh 2020, arXiv:1808.04866), there to weigh them down.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from subnet.scoring.geometry import median_absolute_deviation, midpoint_median
from subnet.scoring.history import PastCosines, PastRound

SAME = 1 - 1e-6
"""Two updates of a larger cosine are one in any field, however crowded: .0014 of a norm of noise, or rounding."""


def mean_cosines(hotkeys: Sequence[str], cosines: Tensor, past: Sequence[PastRound]) -> Tensor:
    """Return `(n, n)` the mean cosine of each pair over this round and those of `past` in which both took part."""
    total, count = cosines.clone(), torch.ones_like(cosines)
    for settled in past:
        place = {hotkey: row for row, hotkey in enumerate(settled.cosines.hotkeys)}
        rows = [row for row, hotkey in enumerate(hotkeys) if hotkey in place]
        if len(rows) < 2:
            continue
        here, there = torch.tensor(rows), torch.tensor([place[hotkeys[row]] for row in rows])
        total[here[:, None], here] += _matrix(settled.cosines)[there[:, None], there]
        count[here[:, None], here] += 1
    mean = (total / count).tril(-1)
    return mean + mean.T + torch.eye(len(hotkeys), dtype=mean.dtype)


def _matrix(cosines: PastCosines) -> Tensor:
    """Return `(n, n)` the cosines of all pairs; what is on the diagonal means nothing."""
    n = len(cosines.hotkeys)
    lower = torch.zeros(n, n, dtype=torch.float64)
    lower[torch.tril_indices(n, n, -1).unbind()] = torch.frombuffer(cosines.lower, dtype=torch.float64)
    return lower + lower.T


def threshold(cosines: Tensor, *, ceiling: float, floor: float, mads: float, min_mad: float) -> float:
    """Return the cosine above which two updates are copies: min(ceiling, max(floor, median + mads x MAD)).

    In a crowded field, where all updates point nearly the same way (a convex task, the first rounds), the ceiling gives
    way: a copy must be closer than half the distance of a typical pair, 1 - (1 - median) / 4 in cosines.

    Args:
        cosines: `(n, n)` symmetric; the pairs' distribution is the field that outliers stand out from.
        ceiling: never above this, unless the field is crowded.
        floor: never below this.
        mads: how many median absolute deviations above the median.
        min_mad: the deviation counts as at least this.
    """
    n = cosines.shape[0]
    if n < 2:
        return ceiling
    pairs = cosines[torch.tril_indices(n, n, -1).unbind()]
    median = float(midpoint_median(pairs))
    deviation = max(min_mad, float(median_absolute_deviation(pairs)))
    return min(max(ceiling, 1 - (1 - median) / 4), max(floor, median + mads * deviation))


def find_copies(hotkeys: Sequence[str], arrivals: Sequence[int], cosines: Tensor, limit: float) -> Mapping[str, str]:
    """Return for every copier the hotkey it copied.

    In the order of arrival, an update that is alike to an earlier one which is no copy itself is a copy of that one.
    So every clone is measured against the first, and two honest participants aren't linked through a third.

    Args:
        hotkeys: `n` of them.
        arrivals: the place of each in the order of arrival.
        cosines: `(n, n)` symmetric mean cosines.
        limit: pairs above it are alike.
    """
    rows: list[list[float]] = cosines.tolist()
    originals: list[int] = []
    copied: dict[str, str] = {}
    for index in sorted(range(len(hotkeys)), key=arrivals.__getitem__):
        alike = [first for first in originals if rows[index][first] > limit]
        if alike:
            copied[hotkeys[index]] = hotkeys[max(alike, key=rows[index].__getitem__)]
        else:
            originals.append(index)
    return copied
