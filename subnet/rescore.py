"""Re-score a run that has been played: who would have been paid what under another scorer.

Every settled round is scored again from what is stored of it: base models, signed updates, seed and receipts. The
batches are drawn again from the seed, and gates, windows, caps and the split are the run's own. The models are those
that were trained, whatever the scorer says: another scorer changes who is paid, not what was learnt, nor what
participants would have done had they known.

The run's own scorer gives the recorded scores and rewards again, to the last base unit. For that its aggregate is
computed again too; where another kind of processor makes another last bit of it, the stored models' difference is
taken, and `Outcome.exact` says so.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clients import weights
from clients.errors import ContributionError
from subnet import assign
from subnet.errors import RunError
from subnet.judge import Aggregated, Scored, Verdict, judge
from subnet.receipts import Receipt
from subnet.report import RoundReport, read_round
from subnet.scoring import course, probes, slices
from subnet.scoring.base import Appraisal, Field, Scorer
from subnet.scoring.history import History, check_earlier, past_round
from subnet.scoring.probes import Finding
from subnet.scoring.strikes import suspended
from subnet.state import Fixture, State
from subnet.strategy import aggregate, drawn_batches
from tokenomics.canonical import sha256_hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One settled round under several scorers.

    Attributes:
        played: the round as it was settled.
        receipts: by scorer and hotkey, as they would have been.
        n_losses: losses of one batch that each scorer computed.
        n_gradients: gradients of one batch likewise.
        seconds: how long each took.
        exact: whether the aggregate came out as it did then, bit for bit.
    """

    played: RoundReport
    receipts: Mapping[str, Mapping[str, Receipt]]
    n_losses: Mapping[str, int]
    n_gradients: Mapping[str, int]
    seconds: Mapping[str, float]
    exact: bool


@dataclass(slots=True, kw_only=True)
class _Books:
    """What one scorer's rounds have come to so far."""

    scorer: Scorer
    history: History
    minted: int = 0


def rescore(
    fixture: Fixture, scorers: Sequence[Scorer], *, on_round: Callable[[int, int], None] = lambda _done, _total: None
) -> list[Outcome]:
    """Score all settled rounds of a run again.

    Args:
        fixture: the run, with its ledger open; nothing is written to it.
        scorers: any number, each once; the run's own among them or not.
        on_round: told how many of how many rounds are done; the first time before any is.

    Raises:
        RunError: an update that was scored isn't there any more, or a record's running totals aren't those of the
            receipts.
        StoreError: a stored object is missing or was altered.
    """
    own = fixture.scorer.name
    books = {scorer.name: _Books(scorer=scorer, history=History()) for scorer in scorers}
    books.setdefault(own, _Books(scorer=fixture.scorer, history=History()))  # the strategy had its appraisal
    shown = [scorer.name for scorer in scorers]
    state = first_state(fixture)
    rows = list(fixture.ledger.rounds())
    outcomes: list[Outcome] = []
    recorded = History()
    on_round(0, len(rows))
    for row in rows:
        played = read_round(fixture.ledger, fixture.store, row)
        recorded = recorded.then(past_round(played.record, played.receipts), fixture.spec.scoring)
        check_earlier(played.record, recorded)
        outcome = _Round(fixture, replace(state, history=books[own].history), played).play(books)
        outcomes.append(replace(outcome, receipts={name: outcome.receipts[name] for name in shown}))
        state = state_after(fixture, state, played)
        on_round(len(outcomes), len(rows))
    return outcomes


class _Round:
    """A settled round, laid out again.

    Args:
        fixture: the run.
        state: what the round started from, with the history of the run's own scorer.
        played: what is stored of it.
    """

    def __init__(self, fixture: Fixture, state: State, played: RoundReport) -> None:
        self._fixture = fixture
        self._played = played
        self._state = state
        self._field = _field(fixture, state, played)
        self._verdict = Verdict(**played.record["proposed"])
        self._exact = True
        self._deal = _deal(fixture, state, played)
        self._training: dict[str, Finding] = {}

    def play(self, books: Mapping[str, _Books]) -> Outcome:
        """Score the round under every scorer, and enter it in each one's books."""
        objective = self._fixture.objective
        receipts, losses, gradients, seconds = {}, {}, {}, {}
        made: Aggregated | None = None
        for name in sorted(books, key=lambda one: one != self._fixture.scorer.name):  # the run's own first
            before = objective.n_losses, objective.n_gradients
            began = time.perf_counter()
            kept, appraisal = books[name], None
            if self._field.n:
                appraisal = kept.scorer.appraise(self._field, kept.history)
                appraisal = slices.look(self._field, appraisal, kept.history, self._fixture.spec.scoring)
                self._training = self._training or self._tested(appraisal)
            if made is None:
                made = self._made(appraisal)
            aggregated = self._credited(made, kept.scorer, appraisal)
            seconds[name] = time.perf_counter() - began
            losses[name] = objective.n_losses - before[0]
            gradients[name] = objective.n_gradients - before[1]
            receipts[name] = self._judged(kept, appraisal, aggregated)
        return Outcome(
            played=self._played,
            receipts=receipts,
            n_losses=losses,
            n_gradients=gradients,
            seconds=seconds,
            exact=self._exact,
        )

    def _tested(self, appraisal: Appraisal) -> dict[str, Finding]:
        """Return what the probes say of everyone, which is the same under every scorer."""
        hands = assign.hands(self._deal, self._fixture.probes)
        measured = probes.measure(self._field, appraisal.geometry, hands)
        return probes.find(measured, self._state.history, self._fixture.spec.scoring)

    def _made(self, appraisal: Appraisal | None) -> Aggregated:
        """Return the aggregate as it was then, or the stored models' difference where it comes out otherwise."""
        made = aggregate(self._fixture, self._state, self._scored(appraisal))
        model_hash = self._played.row.model_hash
        layout = self._fixture.objective.layout
        if not self._verdict.accepted or sha256_hex(weights.encode(layout, made.model)) == model_hash:
            return made
        self._exact = False
        model = _model(self._fixture, model_hash)
        numbers = [self._played.receipts[hotkey]["numbers"] for hotkey in self._field.hotkeys]
        return Aggregated(
            model=model,
            update=model - self._field.base,
            influence=torch.tensor([one["influence"] for one in numbers], dtype=torch.float64),
            dropped={hotkey: one["dropped"] for hotkey, one in zip(self._field.hotkeys, numbers, strict=True)},
            credits=None,
            why="",
        )

    def _credited(self, made: Aggregated, scorer: Scorer, appraisal: Appraisal | None) -> Aggregated:
        """Return the aggregate with a scorer's credits of it; a refused round pays nobody, so it needs none."""
        if appraisal is None or not self._verdict.accepted:
            return replace(made, credits=None)
        if scorer.name == self._fixture.scorer.name and made.credits is not None:
            return made
        return replace(made, credits=scorer.credit(self._field, appraisal, made.update, influence=made.influence))

    def _judged(self, kept: _Books, appraisal: Appraisal | None, aggregated: Aggregated) -> dict[str, Receipt]:
        out = suspended(kept.history, self._fixture.spec.scoring)
        receipts = {hotkey: _unjudged(receipt, out.get(hotkey)) for hotkey, receipt in self._played.receipts.items()}
        judged = judge(
            receipts,
            round_number=self._played.row.round,
            scored=self._scored(appraisal),
            aggregated=aggregated,
            verdict=self._verdict,
            scorer=kept.scorer,
            rules=self._fixture.spec.scoring,
            history=kept.history,
            genesis=self._fixture.ledger.genesis,
            minted=kept.minted,
        )
        kept.history = judged.history
        kept.minted += judged.plan.split.minted
        return receipts

    def _scored(self, appraisal: Appraisal | None) -> Scored:
        """Return the field under a scorer's first look; the outlier checks are those on the receipts."""
        seen = [self._played.receipts[hotkey]["numbers"]["outliers"] for hotkey in self._field.hotkeys]
        kept = {
            hotkey: found["cosine"]
            for hotkey in self._field.hotkeys
            if (found := self._played.receipts[hotkey]["numbers"].get("course"))
        }
        originals = set(self._field.hotkeys) - set(appraisal.copy_of if appraisal else ())
        outliers = {name: torch.tensor([one[name] for one in seen], dtype=torch.float64) for name in (seen or [{}])[0]}
        return Scored(
            seed=self._played.record["seed"],
            field=self._field,
            appraisal=appraisal,
            outliers=outliers,
            deal=self._deal,
            training=self._training,
            course=course.find(kept, self._state.history, self._fixture.spec.scoring, among=originals),
        )


def _unjudged(receipt: Receipt, suspended_until: int | None) -> Receipt:
    """Return a receipt as it was before it was judged; of one that a scorer has suspended, as it would have come."""
    plain = receipt | {"numbers": None, "counted": None, "payable": None, "zero_because": "", "strike": False}
    plain |= {"probe": None, "score": 0, "reward": 0, "participants_pool": 0}
    if receipt["numbers"] is not None:
        plain |= {"status": "accepted", "reason": "", "detail": ""}
        if suspended_until is not None:
            detail = f"until the end of round {suspended_until}"
            plain |= {"status": "rejected", "reason": "suspended", "detail": detail}
    return plain


def first_state(fixture: Fixture) -> State:
    """Return the state before round 1, as far as scoring looks at it."""
    first = fixture.ledger.genesis.model_hash
    return State(
        round=0,
        models=(first,),
        points=(_model(fixture, first),),
        history=History(),
        val_loss=0.0,
        val_accuracy=None,
        nonce_commitment=fixture.ledger.genesis.nonce_commitment,
        acknowledgements={},
    )


def state_after(fixture: Fixture, state: State, played: RoundReport) -> State:
    """Return the state after a settled round, likewise."""
    digest = played.row.model_hash
    if digest == state.models[0]:
        return replace(state, round=played.row.round)
    n_points = fixture.spec.scoring.history + 1
    points = (_model(fixture, digest), *state.points)[:n_points]
    return replace(state, round=played.row.round, models=(digest, *state.models), points=points)


def _field(fixture: Fixture, state: State, played: RoundReport) -> Field:
    """Lay out a round's field again."""
    hotkeys = tuple(played.record["cosines"]["hotkeys"])
    receipts = [played.receipts[hotkey] for hotkey in hotkeys]
    rows = [_update(fixture, receipt) for receipt in receipts]
    return Field(
        hotkeys=hotkeys,
        arrivals=tuple(receipt["arrival"] for receipt in receipts),
        n_examples=tuple(receipt["n_examples"] for receipt in receipts),
        updates=torch.stack(rows) if rows else torch.zeros(0, len(state.base)),
        base=state.base,
        deltas=state.deltas,
        batches=drawn_batches(fixture.validation, seed=played.record["seed"], rules=fixture.spec.validation),
        objective=fixture.objective,
    )


def _deal(fixture: Fixture, state: State, played: RoundReport) -> assign.Deal:
    """Deal a round's probes again.

    Raises:
        RunError: the round's nonce deals others than the record says were dealt.
    """
    dealt = assign.deal(
        round_number=played.row.round,
        nonce=played.record["nonce"],
        hotkeys=played.receipts.keys(),
        pool=fixture.probes,
        history=state.history,
        rules=fixture.spec.scoring,
    )
    if assign.table(dealt) != played.record.get("probes"):
        raise RunError(
            f"round {played.row.round} gave its participants other probes than its nonce deals",
            remedy="ask the validator: the draw was tampered with, or the run was played by another version",
        )
    return dealt


def _update(fixture: Fixture, receipt: Receipt) -> Tensor:
    digest = receipt["update_hash"]
    path = fixture.store.folder("updates") / f"{digest}.safetensors"
    if not path.exists():
        raise RunError(
            f"the update that {receipt['hotkey'][:12]} sent in round {receipt['round']} isn't there: no {path}",
            remedy="a run is scored again from its updates: restore the folder updates/ from a copy",
        )
    return weights.decode(fixture.objective.layout, fixture.store.get("updates", digest))


def _model(fixture: Fixture, digest: str) -> Tensor:
    try:
        return weights.decode(fixture.objective.layout, fixture.store.get("models", digest))
    except ContributionError as error:
        raise RunError(
            f"the run's model isn't that of {fixture.spec.subnet.task}: {error.message}",
            remedy="name the folder of the subnet as it was when the run was played with --subnet",
        ) from error
