"""The story of a round, top to bottom: open, collect, screen, score, aggregate, accept, settle.

Everything between `open_round` and `settle` is a function of its arguments; the ledger changes in `settle` alone, in
one transaction. Before that the round's model, receipts and record are in the store by hash, so a crash at any instant
leaves the whole round or none of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch
from flwr.app import Message, MessageType
from flwr.serverapp import Grid

from clients import probes, weights
from clients.wire import Instruction, instruction_record
from subnet import draw
from subnet.assign import deal
from subnet.assign import hands as hands_of
from subnet.collect import Asked, Reply, send
from subnet.collect import collect as collect_replies
from subnet.errors import RunError
from subnet.judge import Aggregated, Scored, Verdict
from subnet.run_files import NONCES_NAME
from subnet.scoring import course, outliers, slices, strikes
from subnet.scoring import probes as training
from subnet.scoring.base import Field
from subnet.screening import Expected, Screened, screen
from subnet.settle import Opened, Played, settle
from subnet.state import Fixture, State
from subnet.strategy import aggregate, drawn_batches

MESSAGE_SLACK_S = 60
"""Seconds that a message lives beyond the deadline, so that a late reply is late and not lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the round's messages: those that are out, by the Grid's id, and those that couldn't be sent."""

    asked: dict[str, Asked]
    undelivered: tuple[Asked, ...]


def play_round(
    fixture: Fixture,
    state: State,
    grid: Grid,
    participants: dict[str, int],
    *,
    on_reply: Callable[[int, int], None] = lambda _done, _total: None,
) -> State:
    """Play one round and settle it.

    Args:
        fixture: what stays the same over the run.
        state: what the last round left.
        grid: how participants are reached.
        participants: node id by hotkey, of those who take part.
        on_reply: told how many of how many replies have come.

    Returns:
        The state after the round; the round is in the ledger by then.
    """
    opened, sent = open_round(fixture, state, grid, participants)
    replies = collect(fixture, sent, grid, on_reply)
    return settle(fixture, state, work_out(fixture, state, opened, replies))


def work_out(fixture: Fixture, state: State, opened: Opened, replies: Sequence[Reply]) -> Played:
    """Screen, score, aggregate and accept: all between the replies and the settlement, which an audit does again.

    Raises:
        StoreError: an update that a reply names is missing or was altered.
    """
    screened = screen(replies, _expected(fixture, state), fixture.objective.layout, fixture.store)
    scored = score(fixture, state, opened, screened)
    aggregated = aggregate(fixture, state, scored)
    verdict = accept(fixture, state, aggregated)
    return Played(opened=opened, screened=screened, scored=scored, aggregated=aggregated, verdict=verdict)


def open_round(fixture: Fixture, state: State, grid: Grid, participants: dict[str, int]) -> tuple[Opened, Sent]:
    """Take the nonce that the ledger has committed to, deal the probes, and send everyone the base model.

    Raises:
        RunError: the nonce isn't that one.
    """
    number = state.round + 1
    nonce = _committed_nonce(fixture, state)
    base = fixture.store.get("models", state.models[0])
    deadline_s = fixture.spec.rounds.deadline_s
    dealt = deal(
        round_number=number,
        nonce=nonce,
        hotkeys=participants,
        pool=fixture.probes,
        history=state.history,
        rules=fixture.spec.scoring,
    )
    fixture.on_deal(number, dealt)
    hands = {hotkey: probes.encode(hand) for hotkey, hand in hands_of(dealt, fixture.probes).items()}
    asked: dict[str, Asked] = {}
    undelivered: list[Asked] = []
    for hotkey, node in participants.items():
        question = Asked(hotkey=hotkey, message_id=fixture.entropy.message_id(number, hotkey))
        instruction = Instruction(
            subnet=fixture.spec.hash,
            round=number,
            base_hash=state.models[0],
            validator=fixture.keypair.public,
            nonce_commitment=state.nonce_commitment,
            deadline_s=deadline_s,
            history=state.models[1 : 1 + fixture.spec.scoring.history],
            acknowledgement=state.acknowledgements.get(hotkey, ""),
        )
        message = Message(
            instruction_record(instruction, base, probes=hands.get(hotkey)),
            node,
            MessageType.TRAIN,
            group_id=question.message_id,
            ttl=deadline_s + MESSAGE_SLACK_S,
        )
        grid_id = send(grid, message)
        if grid_id is None:
            undelivered.append(question)
        else:
            asked[grid_id] = question
    next_commitment = draw.commitment(fixture.entropy.nonce(number + 1))
    opened = Opened(round=number, nonce=nonce, next_commitment=next_commitment, deal=dealt)
    return opened, Sent(asked=asked, undelivered=tuple(undelivered))


def collect(fixture: Fixture, sent: Sent, grid: Grid, on_reply: Callable[[int, int], None]) -> list[Reply]:
    """Stream the replies to the store until all are there or the deadline has passed."""
    replies = collect_replies(
        grid,
        sent.asked,
        fixture.store,
        undelivered=sent.undelivered,
        deadline_s=fixture.spec.rounds.deadline_s,
        limit_bytes=weights.size_limit_bytes(fixture.objective.layout),
        on_reply=on_reply,
        stopped=fixture.stopped,
    )
    return replies if fixture.order is None else _in_order(replies, fixture.order)


def score(fixture: Fixture, state: State, opened: Opened, screened: Screened) -> Scored:
    """Draw the validation batches, now that nobody can choose them, and look at every update."""
    contributions = {
        hotkey: reply.signed.hash for hotkey, reply in screened.replies.items() if reply.signed is not None
    }
    seed = draw.seed(round_number=opened.round, nonce=opened.nonce, contributions=contributions)
    field = Field(
        hotkeys=screened.hotkeys,
        arrivals=tuple(screened.replies[hotkey].arrival for hotkey in screened.hotkeys),
        n_examples=tuple(screened.envelopes[hotkey].n_examples for hotkey in screened.hotkeys),
        updates=screened.updates,
        base=state.base,
        deltas=state.deltas,
        batches=drawn_batches(fixture.validation, seed=seed, rules=fixture.spec.validation),
        objective=fixture.objective,
    )
    if not field.n:
        return Scored(seed=seed, field=field, appraisal=None, outliers={}, deal=opened.deal)
    appraisal = fixture.scorer.appraise(field, state.history)
    appraisal = slices.look(field, appraisal, state.history, fixture.spec.scoring)
    measured = training.measure(field, appraisal.geometry, hands_of(opened.deal, fixture.probes))
    rules = fixture.spec.scoring
    kept = course.cosines(
        field,
        appraisal.geometry,
        course.last_updates(state.history, rules),
        lambda digest: weights.decode(fixture.objective.layout, fixture.store.get("updates", digest)),
    )
    originals = set(field.hotkeys) - set(appraisal.copy_of)
    return Scored(
        seed=seed,
        field=field,
        appraisal=replace(appraisal, descent=None),  # as long as the model, and not needed any more
        outliers=outliers.check(
            field, appraisal.geometry, among=field.without(appraisal.copy_of), descent=appraisal.descent
        ),
        deal=opened.deal,
        training=training.find(measured, state.history, rules),
        course=course.find(kept, state.history, rules, among=originals),
    )


def accept(fixture: Fixture, state: State, aggregated: Aggregated) -> Verdict:
    """Take the proposed model unless it is worse on held-out data beyond the tolerance."""
    if aggregated.credits is None:
        return Verdict(accepted=False, loss=state.val_loss, accuracy=state.val_accuracy, why=aggregated.why)
    loss, accuracy = fixture.objective.evaluate(aggregated.model, fixture.validation)
    limit = state.val_loss + fixture.spec.validation.tolerance * abs(state.val_loss)
    if not isfinite(loss) or not bool(torch.isfinite(aggregated.model).all()):
        return Verdict(accepted=False, loss=None, accuracy=None, why="the new model isn't finite")
    if loss > limit:
        why = f"validation loss {loss:.4f} is above {limit:.4f}, the base's {state.val_loss:.4f} with tolerance"
        return Verdict(accepted=False, loss=loss, accuracy=accuracy, why=why)
    return Verdict(accepted=True, loss=loss, accuracy=accuracy, why="")


def _committed_nonce(fixture: Fixture, state: State) -> str:
    """Return the next round's nonce, after holding it to the commitment: nobody draws again, crash or not."""
    number = state.round + 1
    nonce = fixture.entropy.nonce(number)
    if draw.commitment(nonce) != state.nonce_commitment:
        raise RunError(
            f"the nonce of round {number} hashes to {draw.commitment(nonce)[:12]}, and the ledger has committed to "
            f"{state.nonce_commitment[:12]}",
            remedy=f"restore {NONCES_NAME} of this run from the validator's own backup",
        )
    return nonce


def _expected(fixture: Fixture, state: State) -> Expected:
    return Expected(
        subnet=fixture.ledger.genesis.spec_hash,
        round=state.round + 1,
        base_hash=state.models[0],
        validator=fixture.ledger.genesis.validator,
        suspended=strikes.suspended(state.history, fixture.spec.scoring),
    )


def _in_order(replies: list[Reply], order: Callable[[str], int]) -> list[Reply]:
    ordered = sorted(replies, key=lambda reply: order(reply.hotkey))
    return [replace(reply, arrival=place) for place, reply in enumerate(ordered)]
