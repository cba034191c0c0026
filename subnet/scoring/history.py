"""What scoring remembers: a fold over settled rounds, so that a restart or an audit reaches the same numbers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCredit:
    """What one hotkey's receipt of one round says that later rounds need; in units of the loss."""

    credit: float
    standard_error: float
    novel: float
    novel_standard_error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRound:
    """One settled round as scoring sees it.

    Attributes:
        credits: by hotkey, of those whose contribution counted; gated and copied ones count as 0.
        cosines: of the novel parts of two updates, by hotkeys in ascending order.
        strikes: hotkeys that were struck.
        probed: the probe samples that were dealt, in that order.
        probe_z: by hotkey, of those whose training was tested, how far it improved on its own probes beyond others'.
    """

    credits: Mapping[str, PastCredit]
    cosines: Mapping[Pair, float]
    strikes: frozenset[str] = frozenset()
    probed: tuple[int, ...] = ()
    probe_z: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class History:
    """All settled rounds, oldest first."""

    rounds: tuple[PastRound, ...] = ()

    def then(self, settled: PastRound) -> "History":
        """Return the history with one more round."""
        return History((*self.rounds, settled))

    def last(self, n_rounds: int) -> tuple[PastRound, ...]:
        """Return the last `n_rounds`, or fewer where there are no more."""
        return self.rounds[-n_rounds:] if n_rounds else ()


def past_round(record: Mapping[str, Any], receipts: Mapping[str, Mapping[str, Any]]) -> PastRound:
    """Read what scoring needs off a settled round.

    Args:
        record: the round's stored record.
        receipts: the round's stored receipts by hotkey.
    """
    credits = {
        hotkey: PastCredit(**receipt["counted"])
        for hotkey, receipt in receipts.items()
        if receipt["counted"] is not None
    }
    hotkeys = record["cosines"]["hotkeys"]
    cosines = {
        (hotkeys[row], hotkeys[column]): value
        for row, values in enumerate(record["cosines"]["lower"])
        for column, value in enumerate(values)
    }
    return PastRound(
        credits=credits,
        cosines={(min(pair), max(pair)): value for pair, value in cosines.items()},
        strikes=frozenset(hotkey for hotkey, receipt in receipts.items() if receipt["strike"]),
        probed=tuple(sample for hand in (record.get("probes") or {"samples": []})["samples"] for sample in hand),
        probe_z={hotkey: receipt["probe"]["z"] for hotkey, receipt in receipts.items() if receipt.get("probe")},
    )
