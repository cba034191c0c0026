"""Slices: who makes the model take one part of the data for another, though the sum of its credit may be positive.

Off unless the spec asks for it (`[scoring] slices`). A slice is a class label, or a domain that the task names. Harm to
a slice alone is no proof: an honest participant that lacks a class harms it too. Who was taught wrong labels does it in
one direction. At the middle of the path to the clipped mean let, for the clipped update `c_i u_i`,

    R_i(a, b) = -<c_i u_i, gradient of the mean loss of slice a's samples under label b>

So R_i(a, a) is what it does for slice a, and R_i(a, b) how far it teaches that a's samples are b. With

    harm_i(a)   = max(0, -R_i(a, a))
    gain_i      = sum over slices of max(0, R_i(a, a))
    turn_i(a,b) = R_i(a, b) - mean over c of R_i(a, c)     (of a softmax: how the logit of b moves against the others)
    own_i(a,b)  = turn_i(a, b) - mean over all slices but a and b of turn_i(., b)

the *confusion* of a with b is max(0, own_i(a, b)) x harm_i(a) / gain_i: harm for what it improves elsewhere, as far as
it teaches b of a's samples more than of any others. An update is judged by its largest pair over the field's median
largest pair, a pure number; the mean of that over the last `slice_rounds` rounds must not exceed `slice_limit`.

Costs one gradient of a part of the drawn samples for each pair of slices, whatever the number of clients, and holds one
gradient at a time.

Source: this project's own (DESIGN section 5, rule 8); docs/scoring.md has what else was tried and the measurements. The
relabelled loss is that of label-flipping attacks, as in Tolpegin et al. 2020 (arXiv:2007.08432).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from clients.task import Examples, Task
from strategies.base import sum_of_rows
from strategies.updates import Updates
from subnet.errors import SpecError
from subnet.scoring import geometry
from subnet.scoring.base import Appraisal, Field, SliceFindings
from subnet.scoring.history import History, SlicePair
from subnet.spec import ScoringSection

MAX_SLICES = 32
"""With more, the gradients of all pairs would cost more than the rest of a round."""
MIN_SAMPLES = 5
"""A slice with fewer samples in a round's draw isn't looked at in that round."""
MIN_FIELD = 5
"""With fewer updates that aren't excluded there is no median to be compared with."""
N_PAIRS = 8
"""Pairs of an update that its receipt keeps for later rounds: the largest."""
MAX_RATIO = 100.0
"""No ratio to the field's median counts as more; who improves nothing at all would have an infinite one."""


def check(task: Task, examples: Examples, rules: ScoringSection) -> None:
    """Check that a task has the slices that its spec asks for.

    Args:
        task: what is trained.
        examples: its held-out samples.
        rules: the spec's.

    Raises:
        SpecError: it has none, or too many or too few.
    """
    if rules.slices == "none":
        return
    found = task.slices(examples)
    if found is None:
        raise SpecError(
            f"scoring.slices = {rules.slices!r}, but {type(task).__name__} has no integer label an example",
            remedy="give the task methods `slices` and `relabelled`, or set scoring.slices to 'none'",
        )
    n_slices = len(torch.unique(found))
    if len(found) != len(examples) or not 2 <= n_slices <= MAX_SLICES:
        raise SpecError(
            f"scoring.slices = {rules.slices!r}, but {type(task).__name__} puts {len(examples)} validation examples "
            f"into {n_slices} slices ({len(found)} labels); allowed are 2 to {MAX_SLICES}",
            remedy="let the task's methods `slices` and `relabelled` name others, or set scoring.slices to 'none'",
        )


def look(field: Field, appraisal: Appraisal, history: History, rules: ScoringSection) -> Appraisal:
    """Return a first look with what was found in the slices; as it was where the spec asks for none.

    Args:
        field: the round's updates, n at least 1.
        appraisal: the scorer's first look at them.
        history: all settled rounds before this one.
        rules: the spec's constants.
    """
    if rules.slices == "none":
        return appraisal
    names, rises = measure(field, appraisal)
    n_originals = int(field.without(appraisal.copy_of).sum())
    counted = ~appraisal.excluded(field)
    ratios = against_field(confusion(rises), counted)
    pairs = [_largest(names, ratios[:, :, index]) for index in range(field.n)]
    past = [settled.slices for settled in history.last(rules.slice_rounds - 1)]
    worst = [
        _worst([*(one[hotkey] for one in past if hotkey in one), pairs[index]], rules.slice_rounds)
        for index, hotkey in enumerate(field.hotkeys)
    ]
    ratio = torch.tensor([value for _, value in worst], dtype=torch.float64)
    return replace(
        appraisal,
        slices=SliceFindings(
            names=names,
            credit=torch.stack([rises[row, row] for row in range(len(names))]) / n_originals if names else rises[:, 0],
            pairs=tuple(pairs),
            worst=tuple(pair for pair, _ in worst),
            ratio=ratio,
            limit=rules.slice_limit,
            harmful=(ratio > rules.slice_limit) & counted,
        ),
    )


def measure(field: Field, appraisal: Appraisal) -> tuple[tuple[int, ...], Tensor]:
    """Return the slices of the round's draw, and the R of the module's docstring: `(k, k, n)` float64, finite."""
    task = field.objective.task
    whole = Examples(
        inputs=torch.cat([batch.inputs for batch in field.batches]),
        targets=torch.cat([batch.targets for batch in field.batches]),
    )
    found = task.slices(whole)
    assert found is not None, "a spec that asks for slices was checked against its task"
    labels, counts = torch.unique(found, sorted=True, return_counts=True)
    names = tuple(labels[counts >= MIN_SAMPLES].tolist())
    kept = ~appraisal.excluded(field)
    direction = sum_of_rows(Updates(field.updates), appraisal.clip * kept / max(1, int(kept.sum())))
    middle = field.base + 0.5 * direction
    rises = torch.zeros(len(names), len(names), field.n, dtype=torch.float64)
    for row, name in enumerate(names):
        part = whole.take((found == name).nonzero().flatten())
        for column, other in enumerate(names):
            gradient = field.objective.gradient(middle, task.relabelled(part, other))
            rises[row, column] = -appraisal.clip * geometry.dot_rows(field.updates, gradient)
    return names, rises.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30).clamp(-1e30, 1e30)


def confusion(rises: Tensor) -> Tensor:
    """Return `(k, k, n)` float64, at least 0: how far each update confuses slice a (rows) with b; 0 where a is b.

    Args:
        rises: `(k, k, n)` the R of the module's docstring.
    """
    k = len(rises)
    if k < 2:
        return torch.zeros_like(rises)
    itself = torch.eye(k, dtype=torch.bool)
    through = rises[itself]
    harm, gain = (-through).clamp(min=0), through.clamp(min=0).sum(0)
    turn = rises - rises.mean(1, keepdim=True)
    others = turn.masked_fill(itself[:, :, None], 0.0).sum(0, keepdim=True) - turn
    own = turn - others / max(1, k - 2)
    found = own.clamp(min=0) * harm[:, None, :] / gain.clamp(min=torch.finfo(torch.float64).tiny)
    return found.masked_fill(itself[:, :, None], 0.0).nan_to_num(nan=0.0, posinf=1e300)


def against_field(confused: Tensor, counted: Tensor) -> Tensor:
    """Return confusions `(k, k, n)` over the field's median largest one, at most `MAX_RATIO`.

    Zeros where too few updates count, or where most of them confuse nothing.

    Args:
        confused: `(k, k, n)`.
        counted: `(n,)` bool: whose updates make the median.
    """
    if int(counted.sum()) < MIN_FIELD or not len(confused):
        return torch.zeros_like(confused)
    usual = geometry.midpoint_median(confused.flatten(0, 1).max(0).values[counted])
    return (confused / usual).clamp(max=MAX_RATIO) if usual > 0 else torch.zeros_like(confused)


def _largest(names: Sequence[int], ratios: Tensor) -> dict[SlicePair, float]:
    """Return the largest pairs of one update's ratios `(k, k)`, those above 0, the largest first."""
    values, places = ratios.flatten().sort(descending=True, stable=True)
    return {
        (names[place // len(names)], names[place % len(names)]): value
        for value, place in zip(values[:N_PAIRS].tolist(), places[:N_PAIRS].tolist(), strict=True)
        if value > 0
    }


def _worst(rounds: Sequence[Mapping[SlicePair, float]], n_rounds: int) -> tuple[SlicePair | None, float]:
    """Return the pair with the largest mean over some rounds, and that mean.

    Of several rounds one alone counts half at most: a first look is no habit.
    """
    divisor = max(min(2, n_rounds), len(rounds))
    sums: dict[SlicePair, float] = {}
    for pairs in rounds:
        for pair, value in pairs.items():
            sums[pair] = sums.get(pair, 0.0) + value
    if not sums:
        return None, 0.0
    worst = min(sums, key=lambda pair: (-sums[pair], pair))
    return worst, sums[worst] / divisor
