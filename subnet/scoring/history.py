"""What scoring remembers: a fold over settled rounds, so that a restart or an audit reaches the same numbers.

Most rules look at the last rounds alone, and the one over all rounds needs only sums. So the rounds before those are
kept as running totals, added up in the order of the rounds. They are in every round's record, from which a restart
takes them; whoever has all receipts can add them up again (`check_earlier`).
"""

import itertools
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from subnet.errors import RunError
from subnet.spec import ScoringSection

SlicePair = tuple[int, int]
"""A slice that is harmed, and the slice that it is taken for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCredit:
    """What one hotkey's receipt of one round says that later rounds need; in units of the loss."""

    credit: float
    standard_error: float
    novel: float
    novel_standard_error: float


@dataclass(frozen=True, slots=True)
class PastCosines:
    """The cosines of the novel parts of a round's updates, 8 bytes a pair.

    Attributes:
        hotkeys: of the field.
        lower: of each with those before it, row by row: `n (n - 1) / 2` numbers.
    """

    hotkeys: tuple[str, ...] = ()
    lower: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRound:
    """One settled round as scoring sees it.

    Attributes:
        credits: by hotkey, of those whose contribution counted; gated and copied ones count as 0.
        cosines: of its pairs of updates.
        strikes: hotkeys that were struck.
        norms: of the updates of everyone in the field, by hotkey.
        updates: their hashes, likewise.
        own_cosines: of each with its sender's last one, of those that have one (`subnet.scoring.course`).
        slices: by hotkey the largest confusions of slices, over the field's median one; empty where none are looked at.
        probed: the probe samples that were dealt, in that order.
        probe_z: by hotkey, of those whose training was tested, how far it improved on its own probes beyond others'.
    """

    credits: Mapping[str, PastCredit]
    cosines: PastCosines = field(default_factory=PastCosines)
    strikes: frozenset[str] = frozenset()
    norms: Mapping[str, float] = field(default_factory=dict)
    updates: Mapping[str, str] = field(default_factory=dict)
    own_cosines: Mapping[str, float] = field(default_factory=dict)
    slices: Mapping[str, Mapping[SlicePair, float]] = field(default_factory=dict)
    probed: tuple[int, ...] = ()
    probe_z: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """One hotkey's credit since its last strike, added up round by round; in units of the loss."""

    credit: float = 0.0
    novel: float = 0.0
    novel_variance: float = 0.0


@dataclass(frozen=True, slots=True)
class History:
    """All settled rounds: the recent ones each, those before them in sum.

    Attributes:
        recent: the last rounds, oldest first; all of them where `n_earlier` is 0.
        totals: by hotkey, what the rounds before those came to.
        n_earlier: how many rounds those are.
    """

    recent: tuple[PastRound, ...] = ()
    totals: Mapping[str, Total] = field(default_factory=dict)
    n_earlier: int = 0

    @property
    def n_rounds(self) -> int:
        """Number of settled rounds."""
        return self.n_earlier + len(self.recent)

    def then(self, settled: PastRound, rules: ScoringSection | None = None) -> "History":
        """Return the history with one more round.

        Args:
            settled: the round.
            rules: say how many rounds stay known one by one, and how credit is weighed in sums; all stay where None.
        """
        recent = (*self.recent, settled)
        n_folded = 0 if rules is None else max(0, len(recent) - rules.memory)
        if rules is None or not n_folded:
            return History(recent, self.totals, self.n_earlier)
        folded = History(recent[:n_folded], self.totals)
        known = {hotkey for old in folded.recent for hotkey in old.credits}.union(self.totals)
        totals = {hotkey: total for hotkey in sorted(known) if (total := folded.whole(hotkey, rules)) != Total()}
        return History(recent[n_folded:], totals, self.n_earlier + n_folded)

    def last(self, n_rounds: int) -> tuple[PastRound, ...]:
        """Return the last `n_rounds`, or fewer where there are no more; they must be known one by one."""
        assert n_rounds <= len(self.recent) or not self.n_earlier, "more rounds than the spec keeps in memory"
        return self.recent[-n_rounds:] if n_rounds else ()

    def whole(self, hotkey: str, rules: ScoringSection) -> Total:
        """Return what all rounds since the hotkey's last strike came to."""
        begin = self.totals.get(hotkey, Total())
        credit, novel, variance = begin.credit, begin.novel, begin.novel_variance
        for settled in self.recent:
            if hotkey in settled.strikes:
                credit = novel = variance = 0.0
            elif (past := settled.credits.get(hotkey)) is not None:
                credit += weighed(past, rules)
                novel += past.novel
                variance += past.novel_standard_error**2
        return Total(credit=credit, novel=novel, novel_variance=variance)

    def earlier(self) -> dict[str, Any]:
        """Return the totals as a round's record holds them: credit, novel credit and its variance by hotkey."""
        totals = {hotkey: [one.credit, one.novel, one.novel_variance] for hotkey, one in self.totals.items()}
        return {"n_rounds": self.n_earlier, "totals": totals}


def weighed(past: PastCredit, rules: ScoringSection) -> float:
    """Return a round's credit as the sums take it: harm beyond noise counts several times."""
    harmful = past.credit < 0 and past.credit < rules.negative_z * past.standard_error
    return rules.negative_weight * past.credit if harmful else past.credit


def read_earlier(record: Mapping[str, Any]) -> History:
    """Return the history that a round's record begins with; records of earlier versions begin with nothing."""
    earlier = record.get("earlier", {"n_rounds": 0, "totals": {}})
    totals = {
        hotkey: Total(credit=credit, novel=novel, novel_variance=variance)
        for hotkey, (credit, novel, variance) in earlier["totals"].items()
    }
    return History((), totals, earlier["n_rounds"])


def check_earlier(record: Mapping[str, Any], history: History) -> None:
    """Check the totals on a round's record.

    Args:
        record: the round's.
        history: with that round as the last, added up from the receipts of all rounds.

    Raises:
        RunError: the record has other totals.
    """
    recorded, added_up = record.get("earlier"), history.earlier()
    if recorded is not None and recorded != added_up:
        differing = sorted(
            hotkey
            for hotkey in recorded["totals"].keys() | added_up["totals"].keys()
            if recorded["totals"].get(hotkey) != added_up["totals"].get(hotkey)
        )
        of = f" of {differing[0][:12]}" if differing else ""
        raise RunError(
            f"the record of round {record['round']} has other running totals{of} than its receipts add up to",
            remedy="don't trust what was paid from that round on: ask the validator for the rounds before it",
        )


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
    lower = array("d", itertools.chain.from_iterable(record["cosines"]["lower"]))
    return PastRound(
        credits=credits,
        cosines=PastCosines(tuple(record["cosines"]["hotkeys"]), lower),
        strikes=frozenset(hotkey for hotkey, receipt in receipts.items() if receipt["strike"]),
        norms={hotkey: receipt["numbers"]["norm"] for hotkey, receipt in receipts.items() if receipt["numbers"]},
        updates={hotkey: receipt["update_hash"] for hotkey, receipt in receipts.items() if receipt["numbers"]},
        own_cosines={
            hotkey: course["cosine"]
            for hotkey, receipt in receipts.items()
            if (course := (receipt["numbers"] or {}).get("course"))
        },
        slices={
            hotkey: {(harmed, taken_for): ratio for harmed, taken_for, ratio in found["pairs"]}
            for hotkey, found in ((hotkey, _slice(receipt)) for hotkey, receipt in receipts.items())
            if found is not None
        },
        probed=tuple(sample for hand in (record.get("probes") or {"samples": []})["samples"] for sample in hand),
        probe_z={hotkey: receipt["probe"]["z"] for hotkey, receipt in receipts.items() if receipt.get("probe")},
    )


def _slice(receipt: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return what a receipt says of slices; those of runs that look at none, or of earlier versions, say nothing."""
    found: Mapping[str, Any] | None = (receipt.get("numbers") or {}).get("slice")
    return found
