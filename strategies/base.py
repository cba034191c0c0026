"""The contract of every aggregation rule.

`Aggregator.aggregate` is the same story for all: look at the rows, set aside those that can't be used, put the others
in a fixed order, let the rule `combine` them, and give every client its number back. A rule is one of two small things,
or its own `combine`:

- `GramRule.weights`: weights for the rows, out of their norms and n x n inner products;
- `CoordRule.reduce`: one value a column, out of that column's n values.

A `Mixer` comes before any of them: it gives the weighted sums of the rows that the rule is to see instead of the rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from strategies.aggregation import Aggregation, Call, Combined, Evidence, EvidenceKind
from strategies.errors import EvidenceError, UpdatesError
from strategies.gram import Gram
from strategies.kernels import weighted_sum
from strategies.settings import RobustSettings, RuleSettings, checked
from strategies.threads import one_thread
from strategies.updates import Updates, UpdatesLike

__all__ = [
    "Aggregation",
    "Aggregator",
    "Block",
    "Call",
    "Column",
    "Combined",
    "CoordRule",
    "Evidence",
    "EvidenceKind",
    "Gram",
    "GramRule",
    "Mixer",
    "Mixing",
    "Weights",
    "sum_of_rows",
]


class Aggregator(ABC):
    """A rule that makes one update of many.

    A rule's class says its `name`, a one-line `summary`, its `source`, what it withstands (`breakdown`), what it reads
    of the `evidence` and its `Settings`, and implements `combine` (through `GramRule` or `CoordRule`, or itself). It
    keeps no state: the same object may serve any number of rounds.

    Args:
        settings: An instance of the class's `Settings`; by default one with its defaults.

    Raises:
        SettingsError: Settings of another class.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    breakdown: ClassVar[str] = "not stated"
    """How many of n clients may be malicious, in short: "n > 2f", "none"; the conditions are in the docstring."""
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset()
    """The kinds of evidence that it reads. Who runs it gives these: a kind that it doesn't name may not be there."""
    Settings: ClassVar[type[RuleSettings]] = RuleSettings

    def __init__(self, settings: RuleSettings | None = None) -> None:
        self.settings = checked(self.name, type(self).Settings, settings)

    @abstractmethod
    def combine(self, updates: Updates, call: Call) -> Combined:
        """Make one update of finite ones.

        Args:
            updates: One or more rows, finite, ordered by hotkey where hotkeys are known: the first wins a tie.
            call: Number of clients, of Byzantine ones, and the evidence on these rows.

        Returns:
            The update, and what became of each row.
        """

    def most_byzantine(self, n_clients: int) -> int:
        """The most Byzantine clients that the rule's theory allows, "auto" included; by default, less than half."""
        return (n_clients - 1) // 2

    def aggregate(self, updates: UpdatesLike, *, evidence: Evidence | None = None) -> Aggregation:
        """Make one update of all.

        Non-finite and gated updates are set aside before the rule sees any, and count among the Byzantine ones. The
        rest are put in the order of their hotkeys, if known, so that the result doesn't depend on the order in which
        clients answered.

        Args:
            updates: `(n_clients, n_params)` deltas in any form that `Updates` takes; never changed.
            evidence: What is known of each update beside its numbers, in the same order.

        Returns:
            The aggregate, with every client's influence, diagnostics and reason of rejection.

        Raises:
            UpdatesError: Nothing to aggregate, or no update that can be used.
            TooFewClientsError: `n_byzantine` is half of the clients or more.
            EvidenceError: The evidence doesn't fit the updates, or the rule needs more of it.
        """
        rows = Updates.of(updates)
        known = evidence if evidence is not None else Evidence()
        if known.n not in (None, rows.n):
            raise EvidenceError(f"evidence on {known.n} clients for {rows.n} updates", remedy="give both in one order")
        with torch.no_grad(), one_thread():
            aside = _set_aside(rows.finite(), known)
            order = _order(aside, known)
            call = Call(
                n_clients=rows.n,
                n_byzantine=max(0, self._n_byzantine(rows.n) - (rows.n - len(order))),
                evidence=known.rows(order),
            )
            combined = self.combine(rows.rows(order), call)
        return _numbered_back(combined, rows=rows, order=order, aside=aside)

    def _n_byzantine(self, n_clients: int) -> int:
        if not isinstance(self.settings, RobustSettings):
            return 0
        return self.settings.resolve(n_clients=n_clients, most=self.most_byzantine(n_clients))


def _set_aside(finite: Tensor, evidence: Evidence) -> list[str]:
    """Why each row is set aside before the rule sees any; empty for those that aren't."""
    gated = [False] * len(finite) if evidence.gated is None else evidence.gated.tolist()
    return [
        "non-finite update" if not usable else "gated: set aside before the aggregation" if stopped else ""
        for usable, stopped in zip(finite.tolist(), gated, strict=True)
    ]


def _order(aside: list[str], evidence: Evidence) -> list[int]:
    """Usable rows by hotkey, or by number where no hotkeys are known."""
    order = [index for index, reason in enumerate(aside) if not reason]
    if not order:
        raise UpdatesError(
            f"none of the {len(aside)} updates can be used: {aside.count('non-finite update')} aren't finite "
            "(or, in float64, have a norm of 1e150 or more), the others are gated",
            remedy="keep the base model this round, and look at what the clients trained",
        )
    return sorted(order, key=evidence.hotkeys.__getitem__) if evidence.hotkeys else order


def _numbered_back(combined: Combined, *, rows: Updates, order: list[int], aside: list[str]) -> Aggregation:
    """A result on the ordered usable rows, as one on all rows in the caller's order."""

    def spread(values: Tensor, missing: float) -> Tensor:
        full = torch.full((rows.n,), missing, dtype=torch.float64)
        full[order] = values.to(device="cpu", dtype=torch.float64)
        return full

    finite = rows.finite()
    norms = torch.where(finite, rows.norms(), torch.nan)
    own = {name: spread(values, torch.nan) for name, values in combined.diagnostics.items()}
    rejected = {index: reason for index, reason in enumerate(aside) if reason}
    rejected |= {order[row]: reason for row, reason in combined.rejected.items()}
    return Aggregation(
        update=combined.update.to(rows.dtype),
        influence=spread(combined.influence, 0.0),
        diagnostics={"finite": finite, "norm": norms, **own},
        rejected=dict(sorted(rejected.items())),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """A Gram rule's answer."""

    values: Tensor
    """(n,) float64: the aggregate is the sum of the rows times these."""
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    """(n,) float64 each."""
    rejected: Mapping[int, str] = field(default_factory=dict)
    """Row -> reason."""


class GramRule(Aggregator):
    """A rule that weights whole rows by their norms, inner products and evidence; the weights are the influence."""

    @abstractmethod
    def weights(self, gram: Gram) -> Weights:
        """Weights of the rows.

        Args:
            gram: Norms, inner products, distances, evidence and number of Byzantine clients. The first row wins a tie.

        Returns:
            The weights, finite, with diagnostics and rejections.
        """

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Weigh the rows and add them up, in float64 (see `Aggregator.combine`)."""
        weights = self.weights(Gram.of(updates, call))
        return Combined(
            update=sum_of_rows(updates, weights.values),
            influence=weights.values,
            diagnostics=weights.diagnostics,
            rejected=weights.rejected,
        )


def sum_of_rows(updates: Updates, weights: Tensor) -> Tensor:
    """Sum of the rows times their weights, block by block; rows of weight 0 aren't read.

    Args:
        updates: Finite rows.
        weights: (n,) float64.

    Returns:
        (n_params,) of the updates' type, summed in float64.
    """
    used = weights.nonzero().flatten().tolist()
    if not used:
        return torch.zeros(updates.d, dtype=updates.dtype, device=updates.device)
    total = torch.empty(updates.d, dtype=updates.dtype, device=updates.device)
    rows, factors = updates.rows(used), weights[used]

    def add_up(start: int, stop: int) -> None:
        weighted_sum(rows.parts(start, stop), factors, total[start:stop])

    rows.each_span(add_up)
    return total


# sums of up to a thousand values of rows of this norm stay inside float32
_FLOAT32_NORM = 1e34


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """Some columns of the updates, as a coordinate rule sees them."""

    values: Tensor
    """(n, columns) finite; not to be written to."""
    n_byzantine: int
    """How many of the rows may be malicious."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A coordinate rule's answer on a block."""

    values: Tensor
    """(columns,) of the block's type or float64."""
    shares: Tensor
    """(n,) float64: each row's share in the values, summed over the columns; they add up to the number of columns."""


class CoordRule(Aggregator):
    """A rule that makes each coordinate's value out of that coordinate's n values.

    A row's influence is its mean share of a coordinate's value over all coordinates; the influences add up to 1. The
    values are independent of the block size to the bit, the shares to about 1e-12.
    """

    @abstractmethod
    def reduce(self, block: Block) -> Column:
        """One value for each column.

        Args:
            block: Columns that fit the cache.

        Returns:
            The values, and the rows' shares in them.
        """

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Reduce block after block (see `Aggregator.combine`)."""
        total = torch.zeros(updates.d, dtype=updates.dtype, device=updates.device)
        narrow = updates.norm_limit() <= _FLOAT32_NORM
        shares = torch.zeros(updates.n, dtype=torch.float64)

        def reduced(start: int, values: Tensor) -> Tensor:
            block = values if narrow else values.to(torch.float64)
            column = self.reduce(Block(values=block, n_byzantine=call.n_byzantine))
            total[start : start + values.shape[1]] = column.values
            return column.shares

        updates.each_block(reduced, shares.add_)
        return Combined(update=total, influence=shares / updates.d)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixing:
    """A mixer's answer."""

    matrix: Tensor
    """(m, n) float64, finite: mixed row i is the sum of the n rows times `matrix[i]`."""
    home: tuple[int, ...]
    """n numbers in [0, m): the mixed row that stands for each row, whose diagnostics and rejections are its own."""
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    """(n,) float64 each, on the rows before the mixing."""


class Mixer(ABC):
    """What replaces the updates by weighted sums of them before a rule sees any.

    A mixer's class says its `name`, a one-line `summary`, its `source`, what it withstands (`breakdown`), what it reads
    of the `evidence` and its `Settings`, and implements `matrix`. It keeps no state and forms no row itself: see
    `strategies.composition`.

    Args:
        settings: An instance of the class's `Settings`; by default one with its defaults.

    Raises:
        SettingsError: Settings of another class.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]
    breakdown: ClassVar[str] = "not stated"
    """How many of n clients may be malicious, in short: "n > 2f", "none"; the conditions are in the docstring."""
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset()
    """The kinds of evidence that it reads. Who runs it gives these: a kind that it doesn't name may not be there."""
    Settings: ClassVar[type[RuleSettings]] = RuleSettings

    def __init__(self, settings: RuleSettings | None = None) -> None:
        self.settings = checked(self.name, type(self).Settings, settings)

    @abstractmethod
    def matrix(self, gram: Gram) -> Mixing:
        """The weights of the mixed rows.

        Args:
            gram: Norms, distances and number of Byzantine clients of the rows, which may be mixed ones already. The
                first row wins a tie.

        Returns:
            The weights, the mixed row that stands for each row, and diagnostics.
        """

    def n_rows(self, n_clients: int, n_byzantine: int) -> int:  # noqa: ARG002 -- those who change the number need it
        """How many mixed rows there will be; by default, as many as there are rows."""
        return n_clients

    def most_byzantine(self, n_clients: int) -> int:
        """The most Byzantine clients that the mixer's theory allows; by default, less than half."""
        return (n_clients - 1) // 2
