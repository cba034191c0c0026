"""What goes into an aggregation beside the updates, and what comes out of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from strategies.errors import EvidenceError

EvidenceKind: TypeAlias = Literal["credit", "z", "n_examples", "root", "previous"]
"""What a rule may ask for (see `Aggregator.evidence`); hotkeys and gated are every rule's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What is known of each update beside its numbers, in the updates' order.

    Raises:
        EvidenceError: Different lengths, a hotkey twice, or a `root` or `previous` that isn't a finite row.
    """

    credit: Tensor | None = None
    """(n_clients,) what each update is worth on held-out data, in loss; more is better."""
    z: Tensor | None = None
    """(n_clients,) the credit over its standard error."""
    hotkeys: tuple[str, ...] = ()
    """Who sent each update; ties go to the smaller one. Empty: ties go to the earlier row."""
    gated: Tensor | None = None
    """(n_clients,) bool: set aside by an earlier gate (free riding, copying), so never in the aggregate of any rule.
    None: nobody was."""
    n_examples: Tensor | None = None
    """(n_clients,) how many examples each client claims to have trained on; only rules that say so believe it."""
    root: Tensor | None = None
    """(n_params,) an update that is trusted: trained by the aggregator itself, on clean data of its own."""
    previous: Tensor | None = None
    """(n_params,) the last round's aggregate; None in the first round. Rules keep no state, so who calls them does."""

    def __post_init__(self) -> None:
        lengths = {
            "credit": None if self.credit is None else len(self.credit),
            "z": None if self.z is None else len(self.z),
            "hotkeys": len(self.hotkeys) or None,
            "gated": None if self.gated is None else len(self.gated),
            "n_examples": None if self.n_examples is None else len(self.n_examples),
        }
        if len(set(lengths.values()) - {None}) > 1:
            raise EvidenceError(f"evidence of different lengths: {lengths}", remedy="give one value for each update")
        if len(set(self.hotkeys)) != len(self.hotkeys):
            twice = next(hotkey for hotkey in self.hotkeys if self.hotkeys.count(hotkey) > 1)
            raise EvidenceError(f"the hotkey {twice!r} is there twice", remedy="give one update for each hotkey")
        for name, row in (("root", self.root), ("previous", self.previous)):
            if row is not None and not (row.ndim == 1 and bool(row.isfinite().all())):
                raise EvidenceError(
                    f"the {name} update has the shape {tuple(row.shape)} and must be a finite (n_params,) row",
                    remedy="flatten it, and train it again if it holds NaN or infinity",
                )

    @property
    def n(self) -> int | None:
        """Number of clients it speaks of; None if it says nothing."""
        for values in (self.credit, self.z, self.hotkeys or None, self.gated, self.n_examples):
            if values is not None:
                return len(values)
        return None

    def rows(self, indices: list[int]) -> "Evidence":
        """The evidence on some of the clients, in the order given."""
        return Evidence(
            credit=None if self.credit is None else self.credit[indices],
            z=None if self.z is None else self.z[indices],
            hotkeys=tuple(self.hotkeys[index] for index in indices) if self.hotkeys else (),
            gated=None if self.gated is None else self.gated[indices],
            n_examples=None if self.n_examples is None else self.n_examples[indices],
            root=self.root,
            previous=self.previous,
        )


def needed(evidence: Evidence, name: Literal["credit", "z"], *, rule: str) -> Tensor:
    """One kind of evidence, checked to be there and finite.

    Args:
        evidence: On the rows that can be used.
        name: Which kind.
        rule: Name of the rule that needs it.

    Returns:
        (n,) float64 on the CPU.

    Raises:
        EvidenceError: There is none, or a value isn't finite.
    """
    values = evidence.credit if name == "credit" else evidence.z
    if values is None:
        raise EvidenceError(
            f"{rule} needs each update's {name}, and none was given",
            remedy=f"pass evidence=Evidence({name}=...), or choose a rule that needs none, such as norm_clipping",
        )
    wide = values.detach().to(device="cpu", dtype=torch.float64)
    for row, value in enumerate(wide.tolist()):
        if not math.isfinite(value):
            who = evidence.hotkeys[row] if evidence.hotkeys else f"usable update {row}"
            raise EvidenceError(
                f"the {name} of {who} is {value}", remedy="score every finite update before aggregating"
            )
    return wide


def claimed_shares(evidence: Evidence, rows: Tensor, *, rule: str) -> Tensor:
    """Each of some rows' part of all examples that these rows claim.

    Args:
        evidence: On the rows that can be used.
        rows: (k,) which rows; all of them, or those that a rule has picked.
        rule: Name of the rule that asks.

    Returns:
        (k,) float64, adding up to 1.

    Raises:
        EvidenceError: There are no claims, one is negative or not a number, or all of the rows' are 0.

    >>> claimed_shares(Evidence(n_examples=torch.tensor([3, 1, 9])), torch.tensor([0, 1]), rule="fedavg")
    tensor([0.7500, 0.2500], dtype=torch.float64)
    """
    if evidence.n_examples is None:
        raise EvidenceError(
            f"{rule} needs the numbers of examples, and none were given",
            remedy="pass evidence=Evidence(n_examples=...), or weigh the clients equally",
        )
    counts = evidence.n_examples.detach().to(device="cpu", dtype=torch.float64)[rows]
    if not bool((counts >= 0).all()) or not 0 < float(counts.sum()) < math.inf:
        raise EvidenceError(
            f"{rule} got {counts.tolist()} as numbers of examples",
            remedy="give numbers of 0 or more that aren't all 0, or weigh the clients equally",
        )
    return counts / counts.sum()


@dataclass(frozen=True, kw_only=True, slots=True)
class Aggregation:
    """What a rule made of the updates, and of each of them."""

    update: Tensor
    """(n_params,) the aggregate: float64 for float64 updates, float32 for all others; always finite."""
    influence: Tensor
    """(n_clients,) float64: how much of each update is in the aggregate; 0 for the rejected. Rules that weight whole
    rows give the weight, clipping included; coordinate rules each row's mean share of a coordinate's value."""
    diagnostics: Mapping[str, Tensor]
    """(n_clients,) each: `finite` (bool) and `norm` from every rule, and the rule's own; float64, NaN for rows
    that were set aside."""
    rejected: Mapping[int, str]
    """Row index -> why that update was left out on its own account (a rule that only picks others doesn't reject)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What one call of a rule is about, beside the updates that can be used."""

    n_clients: int
    """Clients in the call, those with non-finite updates included."""
    n_byzantine: int
    """How many of the updates left may be malicious: the setting, resolved, less the non-finite ones."""
    evidence: Evidence
    """Evidence on the updates left, in their order; empty if none was given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Combined:
    """What `Aggregator.combine` returns, on the rows it was given."""

    update: Tensor
    """(n_params,) float64 or the output's type."""
    influence: Tensor
    """(n,) float64."""
    diagnostics: Mapping[str, Tensor] = field(default_factory=dict)
    """(n,) float64 each."""
    rejected: Mapping[int, str] = field(default_factory=dict)
    """Row -> reason."""
