"""A round's receipts and record against the recomputed ones, layer by layer."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import torch

from clients import weights
from subnet.audit.compare import TOLERANCE, Agreement, differences, worst
from subnet.audit.findings import Report
from subnet.audit.replay import NOTHING_KEPT, Replayed
from subnet.receipts import Receipt
from subnet.report import RoundReport
from subnet.state import Fixture
from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.ledger import plan_round

_RECEIPT_LAYERS: Mapping[str, str] = {
    "numbers.copy_of": "copies",
    "numbers.influence": "aggregate",
    "numbers.influence_credit": "aggregate",
    "numbers.dropped": "aggregate",
    "numbers": "scores",
    "probe": "scores",
    "counted": "scores",
    "strike": "scores",
    "payable": "split",
    "zero_because": "split",
    "score": "split",
}
"""Which layer a receipt's values belong to; what isn't named here is screening's."""
_PAID = frozenset({"reward", "participants_pool"})
"""What follows from all scores of a round together: checked against the recorded ones, so that one false score isn't
found again in what everyone is paid."""
_RECORD_LAYERS: Mapping[str, str] = {
    "scorer": "scores",
    "cosines": "copies",
    "base_hash": "aggregate",
    "strategy": "aggregate",
    "proposed": "acceptance",
    "val_loss_before": "acceptance",
    "val_accuracy_before": "acceptance",
    "val_loss_after": "acceptance",
    "val_accuracy_after": "acceptance",
    "earlier": "split",
}
"""Likewise of a record; what isn't named here is the draw's."""
_PROMISED = "nonce_commitment in the round before"
"""The commitment to a round's nonce that the record before it holds, or the genesis."""
_SEALED_LATER = frozenset({"model_hash", "receipts"})
"""What a record gets when it is stored; checked with the model and the ledger's entries."""


def compare_round(fixture: Fixture, report: Report, settled: RoundReport, again: Replayed, *, minted: int) -> None:
    """Enter all checks of one round but those of its signatures.

    Args:
        fixture: the run.
        report: takes the checks.
        settled: what is stored of the round.
        again: the round worked out again.
        minted: base units minted by all rounds before.
    """
    number = settled.row.round
    for hotkey, receipt in settled.receipts.items():
        _compare_receipt(report, number, hotkey, receipt, again.concluded.receipts[hotkey])
    ends = {key: settled.record.get(key) for key in _SEALED_LATER}
    promised = {_PROMISED: again.state.nonce_commitment}
    recorded = {**settled.record, _PROMISED: settled.record.get("nonce_commitment")}
    _compare(
        report,
        _Pair(number, "", recorded, again.concluded.record | ends | promised),
        layers=("draw", "copies", "acceptance"),
        layer_of=lambda key: _RECORD_LAYERS.get(key, "draw"),
    )
    compare_model(fixture, report, settled, again)
    compare_entries(report, settled)
    compare_rewards(fixture, report, settled, minted=minted)


def check_signatures(
    fixture: Fixture, report: Report, settled: RoundReport, again: Replayed, enrolled: Mapping[str, str]
) -> None:
    """Check the stored contribution behind every receipt that says that it could be used."""
    for hotkey, receipt in settled.receipts.items():
        if receipt["contribution"] is None:
            continue
        envelope = again.played.screened.envelopes.get(hotkey)
        usable = receipt["status"] == "accepted" or receipt["numbers"] is not None
        what: str = ""
        recorded: Any = None
        recomputed: Any = None
        if usable and envelope is None:
            what, recorded, recomputed = "signature", "holds", "doesn't hold"
        elif usable and envelope is not None:
            said = (
                ("hotkey", hotkey, envelope.hotkey),
                ("update_hash", receipt["update_hash"], envelope.update_hash),
                ("round", settled.row.round, envelope.round),
                ("base_hash", settled.row.base_hash, envelope.base_hash),
                ("message_id", receipt["message_id"], envelope.message_id),
                ("validator", fixture.ledger.genesis.validator, envelope.validator),
                ("subnet", fixture.ledger.genesis.spec_hash, envelope.subnet),
                ("enrolment", "needed", "needed" if hotkey in enrolled else "none by a coldkey"),
            )
            differing = [one for one in said if one[1] != one[2]]
            if differing:
                what, recorded, recomputed = differing[0]
        report.check("signatures", settled.row.round, hotkey, what=what, recorded=recorded, recomputed=recomputed)


def compare_model(fixture: Fixture, report: Report, settled: RoundReport, again: Replayed) -> None:
    """Check that the round's new model is what the strategy makes of the stored updates."""
    base, recorded = again.state.models[0], settled.row.model_hash
    made = again.concluded.model
    recomputed = base if made is None else sha256_hex(made)
    agreement = Agreement.EXACT if recorded == recomputed else Agreement.FAR
    if made is not None and recorded != base:
        report.n_models += 1
        report.n_models_exact += recorded == recomputed
        if recorded != recomputed:
            layout = fixture.objective.layout
            stored = weights.decode(layout, fixture.store.get("models", recorded))
            moved = again.played.aggregated.update.abs().max()
            off = (stored - again.played.aggregated.model).abs().max()
            agreement = Agreement.NEAR if bool(torch.le(off, TOLERANCE * moved)) else Agreement.FAR
    report.check(
        "aggregate",
        settled.row.round,
        what="model",
        recorded=recorded,
        recomputed=recomputed,
        agreement=agreement,
    )


def compare_entries(report: Report, settled: RoundReport) -> None:
    """Check that the ledger's row and entries say what the receipts and the record say."""
    row, record = settled.row, settled.record
    for entry in settled.entries:
        receipt = settled.receipts[entry.hotkey]
        said = {"status": entry.status, "score": entry.score, "struck": entry.struck, "hash": entry.receipt_hash}
        told = {
            "status": receipt["status"],
            "score": receipt["score"],
            "struck": receipt["strike"],
            "hash": record["receipts"].get(entry.hotkey),
        }
        _enter(report, "postings", row.round, entry.hotkey, said, told)
    cut = sum(receipt["payable"]["cut"] for receipt in settled.receipts.values() if receipt["payable"])
    said = {"unpaid_score": row.unpaid_score, "pays": row.pays, "model_hash": row.model_hash}
    told = {"unpaid_score": cut, "pays": record["proposed"]["accepted"], "model_hash": record["model_hash"]}
    _enter(report, "postings", row.round, "", said, told)


def compare_rewards(fixture: Fixture, report: Report, settled: RoundReport, *, minted: int) -> None:
    """Check that rewards follow from the recorded scores: whole numbers, which are exact on any machine."""
    row = settled.row
    plan = plan_round(
        fixture.ledger.genesis,
        round=row.round,
        minted=minted,
        scores={hotkey: receipt["score"] for hotkey, receipt in settled.receipts.items()},
        unpaid_score=row.unpaid_score,
        pays=row.pays,
    )
    pool = sum(plan.split.participants.values())
    for hotkey, receipt in settled.receipts.items():
        due = {"reward": plan.split.participants.get(hotkey, 0), "participants_pool": pool}
        said = {key: receipt[key] for key in due}
        if said != due:  # its other values were counted as one check already
            _enter(report, "split", row.round, hotkey, said, due)


class _Pair:
    """A document as it was recorded and as it comes out again; what differs only in JSON's eyes is made the same.

    Args:
        number: its round.
        hotkey: whose it is; `""` for a record.
        recorded: as it is stored.
        fresh: as it comes out again.
    """

    def __init__(self, number: int, hotkey: str, recorded: Mapping[str, Any], fresh: Mapping[str, Any]) -> None:
        self.number = number
        self.hotkey = hotkey
        self.recorded = recorded
        self.equal = recorded == fresh
        self.fresh: Mapping[str, Any] = recorded if self.equal else json.loads(canonical_json(fresh))


def _compare_receipt(report: Report, number: int, hotkey: str, recorded: Receipt, fresh: Receipt) -> None:
    paid = {key: recorded[key] for key in _PAID}
    pair = _Pair(number, hotkey, recorded, fresh | paid)
    outcome = _outcome_layer(recorded, fresh)

    def layer_of(path: str) -> str:
        if path in {"status", "reason", "detail"}:
            return outcome
        return _RECEIPT_LAYERS.get(path, _RECEIPT_LAYERS.get(path.partition(".")[0], "screening"))

    layers = {"screening", "split"}
    if recorded["contribution"] is None and recorded["reason"] in NOTHING_KEPT:
        report.not_kept[recorded["reason"]] += 1
        layers.remove("screening")  # that its values agree proves nothing: they are the validator's word
    if recorded["numbers"] is not None:
        layers |= {"scores", "copies", "aggregate"}
    _compare(report, pair, layers=sorted(layers), layer_of=layer_of)


def _without(document: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def _outcome_layer(recorded: Receipt, fresh: Receipt) -> str:
    """Return whose finding status and reason are: the copy rule's, the gate's, or screening's."""
    reasons = {recorded["reason"], fresh["reason"]} - {""}
    if "copy" in reasons and reasons <= {"copy", "free_riding"}:
        return "copies"
    return "scores" if reasons == {"free_riding"} else "screening"


def _compare(report: Report, pair: _Pair, *, layers: Iterable[str], layer_of: Callable[[str], str]) -> None:
    """Enter one check in each of `layers`, and in every other one in which the documents differ."""
    if pair.equal:
        for layer in layers:
            report.check(layer, pair.number, pair.hotkey)
        return
    recorded, fresh = _opened(pair.recorded), _opened(pair.fresh)
    keys = sorted({*fresh, *recorded}, key=lambda key: (key != "status", key))
    for layer in dict.fromkeys([*layers, *map(layer_of, keys)]):
        said, due = (
            {key: document.get(key) for key in keys if layer_of(key) == layer} for document in (recorded, fresh)
        )
        if layer in layers or said != due:
            _enter(report, layer, pair.number, pair.hotkey, said, due)


def _opened(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document with the parts of `numbers` beside its other values, since they belong to several layers."""
    numbers = document.get("numbers") or {}
    return _without(document, {"numbers"}) | {f"numbers.{key}": value for key, value in numbers.items()}


def _enter(
    report: Report, layer: str, number: int, hotkey: str, recorded: Mapping[str, Any], fresh: Mapping[str, Any]
) -> None:
    found = None if recorded == fresh else worst(differences(recorded, fresh))
    if found is None:
        report.check(layer, number, hotkey)
        return
    what, said, due, agreement = found
    report.check(layer, number, hotkey, what=what, recorded=said, recomputed=due, agreement=agreement)


def named_contributions(receipts: Iterable[Receipt]) -> set[str]:
    """Return the hashes of all contributions that receipts name."""
    return {receipt["contribution"] for receipt in receipts if receipt["contribution"] is not None}
