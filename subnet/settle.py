"""The end of a round: have it judged, store everything, and enter it in the ledger in one transaction.

Orders that wait in the run's inbox are settled with it; what a round pays doesn't depend on them.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from clients import weights
from clients.contribution import Envelope
from subnet import draw
from subnet.assign import Deal, table
from subnet.collect import Reply
from subnet.judge import Aggregated, Judged, Scored, Verdict, judge
from subnet.orders import taken
from subnet.receipts import Receipt
from subnet.screening import Screened
from subnet.state import Fixture, State, acknowledged
from tokenomics.ledger import ReceiptEntry, Settlement


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the validator began the round with."""

    round: int
    nonce: str
    next_commitment: str
    """To the next round's nonce."""
    deal: Deal


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Everything a round has come to before it is settled."""

    opened: Opened
    screened: Screened
    scored: Scored
    aggregated: Aggregated
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Concluded:
    """What a round comes to, before any of it is stored.

    Attributes:
        receipts: by hotkey, judged and paid.
        judged: history, plan and unpaid score.
        record: the round's record, but for the hashes of new model and receipts.
        model: the new model in safetensors form; None where the round was refused and keeps its base.
    """

    receipts: dict[str, Receipt]
    judged: Judged
    record: dict[str, Any]
    model: bytes | None


def conclude(fixture: Fixture, state: State, played: Played, *, minted: int) -> Concluded:
    """Judge a round and write its receipts and record; nothing is stored, so that an audit does the same.

    Args:
        fixture: the run; its ledger is asked for the genesis alone.
        state: what the round started from.
        played: what it has come to.
        minted: base units minted by all rounds before.
    """
    receipts = _receipts(fixture.ledger.genesis.spec_hash, played)
    judged = judge(
        receipts,
        round_number=played.opened.round,
        scored=played.scored,
        aggregated=played.aggregated,
        verdict=played.verdict,
        scorer=fixture.scorer,
        rules=fixture.spec.scoring,
        history=state.history,
        genesis=fixture.ledger.genesis,
        minted=minted,
    )
    record = _record(fixture, state, played)
    record |= {"cosines": judged.cosines, "earlier": judged.history.earlier()}
    layout = fixture.objective.layout
    model = weights.encode(layout, played.aggregated.model) if played.verdict.accepted else None
    return Concluded(receipts=receipts, judged=judged, record=record, model=model)


def settle(fixture: Fixture, state: State, played: Played) -> State:
    """Store model, receipts and record by hash, then enter the round in the ledger in one transaction.

    Returns:
        The state after the round.
    """
    ledger, rules = fixture.ledger, fixture.spec.scoring
    ended = conclude(fixture, state, played, minted=ledger.minted)
    receipts, judged, record = ended.receipts, ended.judged, ended.record
    model_hash = state.models[0] if ended.model is None else fixture.store.put("models", ended.model)
    hashes = {hotkey: fixture.store.put_json("receipts", receipt) for hotkey, receipt in receipts.items()}
    record_hash = fixture.store.put_json("rounds", record | {"model_hash": model_hash, "receipts": hashes})
    settlement = Settlement(
        round=played.opened.round,
        base_hash=state.models[0],
        model_hash=model_hash,
        record_hash=record_hash,
        settled_at=fixture.clock(played.opened.round),
        entries=tuple(
            ReceiptEntry(
                hotkey=hotkey,
                receipt_hash=hashes[hotkey],
                status=receipt["status"],
                score=receipt["score"],
                struck=receipt["strike"],
            )
            for hotkey, receipt in receipts.items()
        ),
        unpaid_score=judged.unpaid_score,
        pays=played.verdict.accepted,
    )
    fixture.store.sync()
    with taken(fixture.store.root, ledger) as inbox:
        ordered = replace(settlement, orders=inbox.orders)
        checkpoint = ledger.settle(ordered, fixture.keypair, on_refused=inbox.refuse)
        inbox.close(settlement.round)
    moved = model_hash != state.models[0]
    return State(
        round=played.opened.round,
        models=(model_hash, *state.models) if moved else state.models,
        points=(played.aggregated.model, *state.points)[: rules.history + 1] if moved else state.points,
        history=judged.history,
        val_loss=record["val_loss_after"],
        val_accuracy=record["val_accuracy_after"],
        nonce_commitment=record["next_nonce_commitment"],
        acknowledgements=acknowledged(fixture, receipts, checkpoint),
    )


def _receipts(subnet: str, played: Played) -> dict[str, Receipt]:
    """Return every reply's receipt before judgement: what came, and whether it could be used."""
    return {
        hotkey: _receipt(subnet, played.opened.round, reply, played.screened.envelopes.get(hotkey))
        for hotkey, reply in played.screened.replies.items()
    }


def _receipt(subnet: str, round_number: int, reply: Reply, envelope: Envelope | None) -> Receipt:
    missing = reply.reason in {"late", "unreachable", "failed"}
    return {
        "version": 1,
        "subnet": subnet,
        "round": round_number,
        "hotkey": reply.hotkey,
        "status": "missing" if missing else "rejected" if reply.reason else "accepted",
        "reason": reply.reason,
        "detail": reply.detail,
        "arrival": reply.arrival,
        "message_id": reply.message_id,
        "contribution": reply.signed.hash if reply.signed else None,
        "update_hash": reply.update_hash,
        "n_examples": envelope.n_examples if envelope else None,
        "numbers": None,
        "probe": None,
        "counted": None,
        "payable": None,
        "zero_because": "",
        "strike": False,
        "score": 0,
        "reward": 0,
        "participants_pool": 0,
        **({"gpu_ms": envelope.gpu_ms} if envelope and envelope.gpu_ms is not None else {}),
    }


def _record(fixture: Fixture, state: State, played: Played) -> dict[str, Any]:
    """Return what the round's numbers were computed from."""
    opened, scored, verdict = played.opened, played.scored, played.verdict
    return {
        "version": 1,
        "subnet": fixture.ledger.genesis.spec_hash,
        "round": opened.round,
        "base_hash": state.models[0],
        "nonce": opened.nonce,
        "nonce_commitment": draw.commitment(opened.nonce),
        "next_nonce_commitment": opened.next_commitment,
        "seed": scored.seed,
        "strategy": fixture.strategy.name,
        "scorer": fixture.scorer.name,
        "val_loss_before": state.val_loss,
        "val_accuracy_before": state.val_accuracy,
        "proposed": asdict(verdict),
        "val_loss_after": verdict.loss if verdict.accepted else state.val_loss,
        "val_accuracy_after": verdict.accuracy if verdict.accepted else state.val_accuracy,
        "probes": table(scored.deal),
    }
