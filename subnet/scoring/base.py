"""What every scorer is given and gives back.

A scorer speaks twice a round. `appraise` looks at the screened updates before they are combined: a first credit, who
is gated, who copies whom. The strategy then forms the aggregate from those who aren't excluded. `credit` says what
each update was worth in it, and that is what is paid.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clients.task import Examples
from subnet.scoring.geometry import Geometry
from subnet.scoring.history import History, SlicePair
from subnet.scoring.objective import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A round's screened updates and what they are judged by.

    Attributes:
        hotkeys: who sent them, `n` of them, ascending.
        arrivals: place of each in the order in which the validator received them.
        n_examples: how many examples each claims to have trained on.
        updates: `(n, n_params)` float32 deltas, all finite.
        base: `(n_params,)` the round's base model.
        deltas: `(k, n_params)` the last global deltas, newest first; public knowledge.
        batches: the round's held-out batches.
        objective: loss and gradient of the task.
    """

    hotkeys: tuple[str, ...]
    arrivals: tuple[int, ...]
    n_examples: tuple[int, ...]
    updates: Tensor
    base: Tensor
    deltas: Tensor
    batches: tuple[Examples, ...]
    objective: Objective

    @property
    def n(self) -> int:
        """Number of updates."""
        return len(self.hotkeys)

    def without(self, hotkeys: Collection[str]) -> Tensor:
        """Return `(n,)` bool: who is none of `hotkeys`."""
        return torch.tensor([hotkey not in hotkeys for hotkey in self.hotkeys], dtype=torch.bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceFindings:
    """What an update does to the parts of the data (`subnet.scoring.slices`).

    Attributes:
        names: the `k` slices that were looked at.
        credit: `(k, n)` float64 credit of every update in each slice, in units of that slice's loss; weighted by the
            slices' sizes they sum to the credit of the whole draw at the middle of the path.
        pairs: for each update its largest confusions of this round over the field's median largest one, by the slice
            that is harmed and the one it is taken for.
        worst: for each update the pair that is largest over the last few rounds; None where there is none.
        ratio: `(n,)` float64 its mean over those rounds.
        limit: what the ratio must not exceed.
        harmful: `(n,)` bool; above the limit, and not excluded for another reason: credit 0 this round and out of the
            aggregate.
    """

    names: tuple[int, ...]
    credit: Tensor
    pairs: tuple[Mapping[SlicePair, float], ...]
    worst: tuple[SlicePair | None, ...]
    ratio: Tensor
    limit: float
    harmful: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Appraisal:
    """A scorer's first look. All tensors are `(n,)` float64 unless said otherwise.

    Attributes:
        credit: first credit, in units of the loss (positive is an improvement).
        standard_error: of that credit over the batches.
        clip: factor in (0, 1] by which the scorer shrank each update.
        geometry: norms, novelty and cosines of the updates.
        gate: novelty below which an update is gated; 0 where the scorer has no gate.
        gated: bool; free riding this round: credit 0 and out of the aggregate.
        copy_of: hotkey of the earliest of the cluster for those who copied it; such are out of the aggregate too.
        slices: what was found in the slices; None where the spec asks for none.
        descent: `(n_params,)` against the mean gradient of the loss that the scorer looked along; None where it took
            none.
    """

    credit: Tensor
    standard_error: Tensor
    clip: Tensor
    geometry: Geometry
    gate: float
    gated: Tensor
    copy_of: Mapping[str, str]
    slices: SliceFindings | None = None
    descent: Tensor | None = None

    @property
    def z(self) -> Tensor:
        """First credit over its standard error; 0 where both are 0."""
        return z_scores(self.credit, self.standard_error)

    def excluded(self, field: Field) -> Tensor:
        """Return `(n,)` bool: who is out of the aggregate whatever the strategy."""
        excluded = self.gated | ~field.without(self.copy_of)
        return excluded if self.slices is None else excluded | self.slices.harmful


@dataclass(frozen=True, slots=True, kw_only=True)
class Credits:
    """What each update was worth in the aggregate; tensors `(n,)` float64 in units of the loss.

    Attributes:
        credit: mean over the batches.
        standard_error: of that mean.
        novel: credit of the part of the update that isn't public knowledge.
        novel_standard_error: of that.
        weighted: credit of what the strategy took of the update, rather than of an equal share: for study and for the
            receipt, not for pay. None where the scorer knows no such thing, or wasn't told the influence.
    """

    credit: Tensor
    standard_error: Tensor
    novel: Tensor
    novel_standard_error: Tensor
    weighted: Tensor | None = None


class Scorer(ABC):
    """A rule for the worth of contributions. Stateless: the past comes in as `History`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    unit: ClassVar[str] = "of validation loss"
    """What a credit of 1 is, in words that follow a number on a receipt."""

    @abstractmethod
    def appraise(self, field: Field, history: History) -> Appraisal:
        """Look at the updates before they are combined."""

    @abstractmethod
    def credit(
        self, field: Field, appraisal: Appraisal, aggregate: Tensor, *, influence: Tensor | None = None
    ) -> Credits:
        """Say what each update was worth in the aggregate.

        Args:
            field: the round's updates.
            appraisal: what `appraise` said of them.
            aggregate: `(n_params,)` what the strategy made of them.
            influence: `(n,)` how much of each is in it, as `strategies.Aggregation` has it.
        """


def mean_and_error(per_batch: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard error over the batches of `per_batch` `(n_batches, n)`: two finite `(n,)` tensors.

    A model that has exploded can have a loss or gradient that isn't finite: NaN says nothing and counts as 0, an
    infinite credit as 1e30.
    """
    n_batches = per_batch.shape[0]
    per_batch = per_batch.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30).clamp(-1e30, 1e30)
    return per_batch.mean(0), per_batch.std(0, correction=1) / n_batches**0.5


def z_scores(credit: Tensor, standard_error: Tensor) -> Tensor:
    """Return credit over standard error, in [-1e9, 1e9]; 0 where both are 0."""
    return (credit / standard_error).nan_to_num(nan=0.0).clamp(-1e9, 1e9)
