"""What an audit checked, layer by layer, and where the record first differs from what was recomputed."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from subnet.audit.compare import TOLERANCE, Agreement

LAYERS: Final = (
    "signatures",
    "screening",
    "draw",
    "scores",
    "copies",
    "aggregate",
    "acceptance",
    "split",
    "postings",
    "log",
)
"""In the order of a round: a disagreement in one can make others in the layers after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One disagreement.

    Attributes:
        layer: one of `LAYERS`.
        round: in which; 0 for what concerns no round.
        hotkey: whose; `""` where it is nobody's in particular.
        what: which value.
        recorded: as the bundle has it, in words.
        recomputed: as it should be, in words.
    """

    layer: str
    round: int
    hotkey: str
    what: str
    recorded: str
    recomputed: str

    @property
    def place(self) -> tuple[int, int]:
        """Sorts by round, then by layer."""
        return self.round, LAYERS.index(self.layer)


@dataclass(slots=True)
class Tally:
    """One layer's checks.

    Attributes:
        checked: how many.
        near: how many agree only within the tolerance.
        wrong: how many don't agree.
        first_near: the first that is near.
        first_wrong: the first that is wrong.
    """

    checked: int = 0
    near: int = 0
    wrong: int = 0
    first_near: Finding | None = None
    first_wrong: Finding | None = None

    def agree(self, *, exact: bool) -> int:
        """Return how many agree; those that are near don't where agreement must be exact."""
        return self.checked - self.wrong - (self.near if exact else 0)

    def first(self, *, exact: bool) -> Finding | None:
        """Return the first disagreement likewise."""
        found = [one for one in (self.first_wrong, self.first_near if exact else None) if one is not None]
        return min(found, key=lambda one: one.place, default=None)


@dataclass(slots=True, kw_only=True)
class Report:
    """What an audit came to, while it goes on and in the end.

    Attributes:
        rounds: the first and the last round audited.
        tallies: by layer.
        not_kept: by reason, replies of which nothing was kept, so that their reason is the validator's word.
        unnamed: stored contributions that no receipt names and no message asked for.
        unchecked: rounds that couldn't be recomputed, each because of a finding.
        n_models: new models that were recomputed.
        n_models_exact: how many of them came out bit for bit.
    """

    rounds: tuple[int, int]
    tallies: dict[str, Tally] = field(default_factory=lambda: {name: Tally() for name in LAYERS})
    not_kept: Counter[str] = field(default_factory=Counter)
    unnamed: int = 0
    unchecked: list[int] = field(default_factory=list)
    n_models: int = 0
    n_models_exact: int = 0

    def check(
        self,
        layer: str,
        round_number: int,
        hotkey: str = "",
        *,
        what: str = "",
        recorded: Any = None,
        recomputed: Any = None,
        agreement: Agreement | None = None,
    ) -> None:
        """Enter one check; without `agreement` the two values must be equal."""
        tally = self.tallies[layer]
        tally.checked += 1
        found = agreement
        if found is None:
            found = Agreement.EXACT if recorded == recomputed else Agreement.FAR
        if found is Agreement.EXACT:
            return
        finding = Finding(
            layer=layer,
            round=round_number,
            hotkey=hotkey,
            what=what,
            recorded=_words(recorded),
            recomputed=_words(recomputed),
        )
        if found is Agreement.NEAR:
            tally.near += 1
            tally.first_near = tally.first_near or finding
            return
        tally.wrong += 1
        if tally.first_wrong is None or finding.place < tally.first_wrong.place:
            tally.first_wrong = finding

    @property
    def exact(self) -> bool:
        """Whether everything must agree bit for bit: whether this is the validator's kind of machine.

        It is where at least half of the models and half of the receipts' scores come out bit for bit. Gradients differ
        between machines where sums of stored updates don't, and a few models are the same on all of them.
        """
        scores = self.tallies["scores"]
        return 2 * self.n_models_exact >= self.n_models and 2 * scores.near <= scores.checked

    @property
    def first(self) -> Finding | None:
        """The first disagreement, by round and then by layer; None where there is none."""
        found = [one for tally in self.tallies.values() if (one := tally.first(exact=self.exact)) is not None]
        return min(found, key=lambda one: one.place, default=None)

    @property
    def ok(self) -> bool:
        """Whether everything that was checked agrees."""
        return self.first is None

    def to_json(self) -> dict[str, Any]:
        """Return the object of `subnet audit --json`."""
        first = self.first
        return {
            "schema_version": 1,
            "ok": self.ok,
            "rounds": list(self.rounds),
            "history_from_receipts": self.rounds[0] > 1,
            "exact": self.exact,
            "tolerance": 0.0 if self.exact else TOLERANCE,
            "models": self.n_models,
            "models_exact": self.n_models_exact,
            "scores_exact": self.tallies["scores"].checked - self.tallies["scores"].wrong - self.tallies["scores"].near,
            "layers": [
                {
                    "layer": name,
                    "checked": tally.checked,
                    "agree": tally.agree(exact=self.exact),
                    "first": asdict(one) if (one := tally.first(exact=self.exact)) else None,
                }
                for name, tally in self.tallies.items()
            ],
            "first": asdict(first) if first else None,
            "not_kept": dict(sorted(self.not_kept.items())),
            "unnamed_contributions": self.unnamed,
            "unchecked_rounds": self.unchecked,
        }


def _words(value: Any) -> str:
    """Return a value as a report shows it: whole where it fits a line."""
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
