"""The end of a round: judge, pay, store, and enter it in the ledger in one transaction."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clients import weights
from clients.contribution import Envelope
from subnet import draw
from subnet.collect import Reply
from subnet.receipts import Receipt, acknowledge
from subnet.scoring.base import Appraisal, Credits, Field, z_scores
from subnet.scoring.history import past_round
from subnet.scoring.payable import Payable, payable
from subnet.scoring.strikes import is_strike
from subnet.screening import Screened
from subnet.spec import ScoringSection
from subnet.state import Fixture, State
from tokenomics.ledger import ReceiptEntry, RoundPlan, Settlement, plan_round


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What the validator began the round with."""

    round: int
    nonce: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The field of good updates and the scorer's first look at it; `appraisal` is None when there is no update."""

    seed: str
    field: Field
    appraisal: Appraisal | None
    outliers: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregated:
    """The proposed model, each update's part in it, and what it was worth there.

    `credits` is None when there is no new model; `why` says so in words.
    """

    model: Tensor
    influence: Tensor
    dropped: Mapping[str, str]
    credits: Credits | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether the proposed model becomes the new base.

    Attributes:
        accepted: if not, the base stays and the round pays nobody.
        loss: of the proposed model on the whole pool; None when it isn't a finite number.
        accuracy: of the proposed model; None where the task has none.
        why: in words, when refused.
    """

    accepted: bool
    loss: float | None
    accuracy: float | None
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """Everything a round has come to before it is settled."""

    opened: Opened
    screened: Screened
    scored: Scored
    aggregated: Aggregated
    verdict: Verdict


def settle(fixture: Fixture, state: State, played: Played) -> State:
    """Store model, receipts and record by hash, then enter the round in the ledger in one transaction.

    Returns:
        The state after the round.
    """
    ledger, rules, verdict = fixture.ledger, fixture.spec.scoring, played.verdict
    receipts = _receipts(fixture.spec.hash, played)
    eligible = _judge(receipts, played, rules)
    record = _record(fixture, state, played)
    history = state.history.then(past_round(record, receipts))
    due = payable(history, played.scored.field.hotkeys, eligible, rules) if verdict.accepted else {}
    unpaid_score = sum(pay.cut for pay in due.values())
    plan = plan_round(
        ledger.genesis,
        round=played.opened.round,
        minted=ledger.minted,
        scores={hotkey: pay.score for hotkey, pay in due.items()},
        unpaid_score=unpaid_score,
        pays=verdict.accepted,
    )
    _pay(receipts, due, plan)
    model_hash = _store_model(fixture, state, played)
    hashes = {hotkey: fixture.store.put_json("receipts", receipt) for hotkey, receipt in receipts.items()}
    record_hash = fixture.store.put_json("rounds", record | {"model_hash": model_hash, "receipts": hashes})
    settlement = Settlement(
        round=played.opened.round,
        base_hash=state.models[0],
        model_hash=model_hash,
        record_hash=record_hash,
        settled_at=fixture.clock(played.opened.round),
        entries=tuple(
            ReceiptEntry(hotkey=hotkey, receipt_hash=hashes[hotkey], status=receipt["status"], score=receipt["score"])
            for hotkey, receipt in receipts.items()
        ),
        unpaid_score=unpaid_score,
        pays=verdict.accepted,
    )
    fixture.store.sync()
    ledger.settle(settlement, fixture.keypair)
    moved = model_hash != state.models[0]
    return State(
        round=played.opened.round,
        models=(model_hash, *state.models) if moved else state.models,
        points=(played.aggregated.model, *state.points)[: rules.history + 1] if moved else state.points,
        history=history,
        val_loss=record["val_loss_after"],
        val_accuracy=record["val_accuracy_after"],
        acknowledgements={hotkey: acknowledge(fixture.keypair, receipt) for hotkey, receipt in receipts.items()},
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
        "counted": None,
        "payable": None,
        "zero_because": "",
        "strike": False,
        "score": 0,
        "reward": 0,
        "participants_pool": 0,
    }


def _judge(receipts: dict[str, Receipt], played: Played, rules: ScoringSection) -> set[str]:
    """Write the scorer's findings on the receipts; return who may be paid."""
    appraisal, credits = played.scored.appraisal, played.aggregated.credits
    if appraisal is None:
        return set()
    eligible: set[str] = set()
    for index, hotkey in enumerate(played.scored.field.hotkeys):
        receipt = receipts[hotkey]
        numbers = receipt["numbers"] = _numbers(index, hotkey, played.scored, appraisal, played.aggregated)
        norm_ratio = numbers["outliers"]["norm_ratio"]
        receipt["strike"] = is_strike(norm_ratio=norm_ratio, z=numbers["z"], rules=rules)
        original = appraisal.copy_of.get(hotkey)
        if numbers["gated"] or original:
            receipt["status"] = "rejected"
            receipt["reason"] = "free_riding" if numbers["gated"] else "copy"
            receipt["detail"] = f"of {original[:12]}" if original else ""
        if not played.verdict.accepted:
            receipt["zero_because"] = "round_refused"
            continue
        counts = receipt["status"] == "accepted" and credits is not None
        receipt["counted"] = _counted(index, credits if counts else None)
        if not counts:
            continue
        if receipt["strike"]:
            receipt["zero_because"] = "strike"
        elif numbers["credit"] < 0 and numbers["z"] < rules.negative_z:
            receipt["zero_because"] = "negative"
        else:
            eligible.add(hotkey)
    return eligible


def _counted(index: int, credits: Credits | None) -> dict[str, float]:
    """Return what later rounds will count; zeros for a contribution that was gated or copied."""
    if credits is None:
        return dict.fromkeys(("credit", "standard_error", "novel", "novel_standard_error"), 0.0)
    return {
        "credit": float(credits.credit[index]),
        "standard_error": float(credits.standard_error[index]),
        "novel": float(credits.novel[index]),
        "novel_standard_error": float(credits.novel_standard_error[index]),
    }


def _numbers(index: int, hotkey: str, scored: Scored, appraisal: Appraisal, aggregated: Aggregated) -> dict[str, Any]:
    """Return everything that was measured of one update."""
    final = aggregated.credits or appraisal
    credit, error = float(final.credit[index]), float(final.standard_error[index])
    return {
        "first_credit": float(appraisal.credit[index]),
        "first_standard_error": float(appraisal.standard_error[index]),
        "credit": credit,
        "standard_error": error,
        "z": float(z_scores(final.credit, final.standard_error)[index]),
        "norm": float(appraisal.geometry.norms[index]),
        "clip": float(appraisal.clip[index]),
        "novelty": float(appraisal.geometry.novelty[index]),
        "gate": appraisal.gate,
        "gated": bool(appraisal.gated[index]),
        "copy_of": appraisal.copy_of.get(hotkey),
        "influence": float(aggregated.influence[index]),
        "dropped": aggregated.dropped.get(hotkey, ""),
        "outliers": {name: float(values[index]) for name, values in scored.outliers.items()},
    }


def _pay(receipts: dict[str, Receipt], due: Mapping[str, Payable], plan: RoundPlan) -> None:
    """Write on the receipts what the window made payable and what the round pays."""
    pool = sum(plan.split.participants.values())
    for hotkey, receipt in receipts.items():
        receipt["participants_pool"] = pool
        pay = due.get(hotkey)
        if pay is None:
            continue
        receipt["payable"] = asdict(pay)
        receipt["score"] = pay.score
        receipt["reward"] = plan.split.participants.get(hotkey, 0)
        receipt["zero_because"] = receipt["zero_because"] or pay.zero_because


def _record(fixture: Fixture, state: State, played: Played) -> dict[str, Any]:
    """Return what the round's numbers were computed from."""
    opened, scored, verdict = played.opened, played.scored, played.verdict
    cosines = scored.appraisal.geometry.cosines if scored.appraisal else torch.zeros(0, 0)
    return {
        "version": 1,
        "subnet": fixture.spec.hash,
        "round": opened.round,
        "base_hash": state.models[0],
        "nonce": opened.nonce,
        "nonce_commitment": draw.commitment(opened.nonce),
        "seed": scored.seed,
        "strategy": fixture.strategy.name,
        "scorer": fixture.scorer.name,
        "val_loss_before": state.val_loss,
        "val_accuracy_before": state.val_accuracy,
        "proposed": asdict(verdict),
        "val_loss_after": verdict.loss if verdict.accepted else state.val_loss,
        "val_accuracy_after": verdict.accuracy if verdict.accepted else state.val_accuracy,
        "cosines": {
            "hotkeys": list(scored.field.hotkeys),
            "lower": [cosines[row, :row].tolist() for row in range(len(cosines))],
        },
    }


def _store_model(fixture: Fixture, state: State, played: Played) -> str:
    """Store the new model and return its hash; the base's where the round was refused."""
    if not played.verdict.accepted:
        return state.models[0]
    return fixture.store.put("models", weights.encode(fixture.objective.layout, played.aggregated.model))
