"""From a field of updates to receipts: who may be paid, what is payable, and how the round's emission is divided.

Pure functions of what a round came to, which its settlement and a later re-scoring share.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from dataclasses import field as dataclass_field
from typing import Any

import torch
from torch import Tensor

from subnet.assign import Deal, table
from subnet.receipts import Receipt
from subnet.scoring import outliers
from subnet.scoring.base import Appraisal, Credits, Field, Scorer, SliceFindings, z_scores
from subnet.scoring.course import Finding as Course
from subnet.scoring.history import History, past_round
from subnet.scoring.payable import Payable, payable
from subnet.scoring.probes import Finding
from subnet.scoring.strikes import is_strike, is_turn, own_norm_ratio
from subnet.spec import ScoringSection
from tokenomics.ledger import Genesis, RoundPlan, plan_round

_COUNTED = ("credit", "standard_error", "novel", "novel_standard_error")
"""What later rounds need of an update's credits."""
_PAYABLE = tuple(field.name for field in fields(Payable))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The field of good updates and the scorer's first look at it; `appraisal` is None when there is no update.

    `deal` is whose the round's probes were, `training` what they say of those who were tested; `course` is how each
    update stands to its sender's own before.
    """

    seed: str
    field: Field
    appraisal: Appraisal | None
    outliers: Mapping[str, Tensor]
    deal: Deal = dataclass_field(default_factory=dict)
    training: Mapping[str, Finding] = dataclass_field(default_factory=dict)
    course: Mapping[str, Course] = dataclass_field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregated:
    """The proposed model, each update's part in it, and what it was worth there.

    `credits` is None when there is no new model; `why` says so in words. `update` is what the model moved by: the
    difference of the two models has lost its last bits.
    """

    model: Tensor
    update: Tensor
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
class Judged:
    """What a judgement comes to beside the receipts.

    Attributes:
        history: with this round as the last.
        plan: how the emission is divided.
        unpaid_score: score above somebody's cap, whose part isn't minted.
        cosines: of the updates' novel parts, as a round's record holds them.
    """

    history: History
    plan: RoundPlan
    unpaid_score: int
    cosines: Mapping[str, Any]


def judge(
    receipts: dict[str, Receipt],
    *,
    round_number: int,
    scored: Scored,
    aggregated: Aggregated,
    verdict: Verdict,
    scorer: Scorer,
    rules: ScoringSection,
    history: History,
    genesis: Genesis,
    minted: int,
) -> Judged:
    """Judge a round and divide its emission.

    Args:
        receipts: one for every reply, before judgement; findings, score and reward are written on them.
        round_number: from 1.
        scored: the field and the first look at it.
        aggregated: what was made of it, and what each update was worth there.
        verdict: whether the model was taken.
        scorer: whose findings these are.
        rules: the spec's constants.
        history: all settled rounds before this one.
        genesis: schedule and shares.
        minted: base units minted by all rounds before.
    """
    eligible = _find(receipts, scored, aggregated, verdict, history, unit=scorer.unit, rules=rules)
    cosines = cosine_table(scored)
    seen = past_round({"cosines": cosines, "probes": table(scored.deal)}, receipts)
    grown = history.then(seen, rules)
    due = payable(grown, scored.field.hotkeys, eligible, rules) if verdict.accepted else {}
    unpaid_score = sum(pay.cut for pay in due.values())
    plan = plan_round(
        genesis,
        round=round_number,
        minted=minted,
        scores={hotkey: pay.score for hotkey, pay in due.items()},
        unpaid_score=unpaid_score,
        pays=verdict.accepted,
    )
    _pay(receipts, due, plan)
    return Judged(history=grown, plan=plan, unpaid_score=unpaid_score, cosines=cosines)


def cosine_table(scored: Scored) -> dict[str, Any]:
    """Return the cosines of the updates' novel parts as a round's record holds them."""
    cosines = scored.appraisal.geometry.cosines if scored.appraisal else torch.zeros(0, 0)
    return {
        "hotkeys": list(scored.field.hotkeys),
        "lower": [cosines[row, :row].tolist() for row in range(len(cosines))],
    }


def _find(
    receipts: dict[str, Receipt],
    scored: Scored,
    aggregated: Aggregated,
    verdict: Verdict,
    history: History,
    *,
    unit: str,
    rules: ScoringSection,
) -> set[str]:
    """Write the scorer's findings on the receipts; return who may be paid."""
    appraisal, credits = scored.appraisal, aggregated.credits
    if appraisal is None:
        return set()
    shared = {"unit": unit, "field": {"n": scored.field.n} | outliers.distribution(scored.outliers)}
    eligible: set[str] = set()
    columns = _columns(scored, appraisal, aggregated)
    for index, hotkey in enumerate(scored.field.hotkeys):
        receipt = receipts[hotkey]
        if receipt["status"] != "accepted":  # a re-scoring's own strike has suspended its sender
            continue
        numbers = receipt["numbers"] = _numbers(index, hotkey, columns, appraisal, aggregated) | shared
        training = scored.training.get(hotkey)
        receipt["probe"] = asdict(training) if training else None
        course = scored.course.get(hotkey)
        numbers["course"] = asdict(course) if course else None
        numbers["own_norm_ratio"] = own_norm_ratio(hotkey, numbers["norm"], history.last(rules.window))
        absurd = is_strike(
            norm_ratio=numbers["outliers"]["norm_ratio"],
            own_norm_ratio=numbers["own_norm_ratio"],
            z=numbers["z"],
            rules=rules,
        )
        receipt["strike"] = absurd or is_turn(course, z=numbers["z"])
        original = appraisal.copy_of.get(hotkey)
        if numbers["gated"] or original:
            receipt["status"] = "rejected"
            receipt["reason"] = "free_riding" if numbers["gated"] else "copy"
            receipt["detail"] = f"of {original[:12]}" if original else ""
        if not verdict.accepted:
            receipt["zero_because"] = "round_refused"
            continue
        harmful = numbers["slice"] is not None and numbers["slice"]["harmful"]
        counts = receipt["status"] == "accepted" and credits is not None and not harmful
        receipt["counted"] = _counted(index, columns if counts else None)
        if not counts:
            receipt["zero_because"] = "slice_harm" if harmful else ""
            continue
        because = "strike" if absurd else _unpaid(receipt, rules)
        if because:
            receipt["zero_because"] = because
        else:
            eligible.add(hotkey)
    return eligible


def _unpaid(receipt: Receipt, rules: ScoringSection) -> str:
    """Return why a contribution that counts isn't paid in this round, but for its size; `""` where it may be."""
    numbers, probe = receipt["numbers"], receipt["probe"]
    if receipt["strike"]:
        return "turned"
    if numbers["credit"] < 0 and numbers["z"] < rules.negative_z:
        return "negative"
    if probe and probe["not_training"]:
        return "not_training"
    return "no_course" if numbers["course"] and numbers["course"]["no_course"] else ""


@dataclass(frozen=True, slots=True)
class _Columns:
    """What was measured of all updates, as lists of plain numbers in the order of the field."""

    numbers: Mapping[str, Sequence[float]]
    outliers: Mapping[str, Sequence[float]]
    weighted: Sequence[float] | None
    counted: Mapping[str, Sequence[float]]


def _columns(scored: Scored, appraisal: Appraisal, aggregated: Aggregated) -> _Columns:
    credits = aggregated.credits
    final = credits or appraisal
    numbers = {
        "first_credit": appraisal.credit,
        "first_standard_error": appraisal.standard_error,
        "credit": final.credit,
        "standard_error": final.standard_error,
        "z": z_scores(final.credit, final.standard_error),
        "norm": appraisal.geometry.norms,
        "clip": appraisal.clip,
        "novelty": appraisal.geometry.novelty,
        "influence": aggregated.influence,
    }
    counted = {} if credits is None else {name: getattr(credits, name) for name in _COUNTED}
    return _Columns(
        numbers={name: values.tolist() for name, values in numbers.items()},
        outliers={name: values.tolist() for name, values in scored.outliers.items()},
        weighted=None if credits is None or credits.weighted is None else credits.weighted.tolist(),
        counted={name: values.tolist() for name, values in counted.items()},
    )


def _counted(index: int, columns: _Columns | None) -> dict[str, float]:
    """Return what later rounds will count; zeros for a contribution that was gated or copied."""
    return {name: columns.counted[name][index] if columns else 0.0 for name in _COUNTED}


def _numbers(
    index: int, hotkey: str, columns: _Columns, appraisal: Appraisal, aggregated: Aggregated
) -> dict[str, Any]:
    """Return everything that was measured of one update."""
    return {name: values[index] for name, values in columns.numbers.items()} | {
        "gate": appraisal.gate,
        "gated": bool(appraisal.gated[index]),
        "copy_of": appraisal.copy_of.get(hotkey),
        "influence_credit": None if columns.weighted is None else columns.weighted[index],
        "dropped": aggregated.dropped.get(hotkey, ""),
        "outliers": {name: values[index] for name, values in columns.outliers.items()},
        "slice": None if appraisal.slices is None else _slice(index, appraisal.slices),
    }


def _slice(index: int, found: SliceFindings) -> dict[str, Any]:
    """Return what was found of one update in the slices; `pairs` is what later rounds need."""
    harmed, taken_for = found.worst[index] or (None, None)
    return {
        "harmed": harmed,
        "taken_for": taken_for,
        "credit": float(found.credit[found.names.index(harmed), index]) if harmed in found.names else None,
        "ratio": float(found.ratio[index]),
        "limit": found.limit,
        "harmful": bool(found.harmful[index]),
        "pairs": [[*pair, ratio] for pair, ratio in found.pairs[index].items()],
    }


def _pay(receipts: dict[str, Receipt], due: Mapping[str, Payable], plan: RoundPlan) -> None:
    """Write on the receipts what the window made payable and what the round pays."""
    pool = sum(plan.split.participants.values())
    for hotkey, receipt in receipts.items():
        receipt["participants_pool"] = pool
        pay = due.get(hotkey)
        if pay is None:
            continue
        receipt["payable"] = {name: getattr(pay, name) for name in _PAYABLE}  # asdict copies every number
        receipt["score"] = pay.score
        receipt["reward"] = plan.split.participants.get(hotkey, 0)
        receipt["zero_because"] = receipt["zero_because"] or pay.zero_because
