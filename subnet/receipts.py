"""Receipts: what each participant did in a round, what it was worth, what it earned, and why.

A receipt is a plain JSON document, stored under its hash, and the hash is in the ledger. `explain` puts it in words.
"""

from collections.abc import Mapping
from typing import Any

from clients.acknowledgements import DOMAIN
from subnet.advice import what_to_change
from subnet.scoring.payable import SCORE_UNIT
from tokenomics import Amount, Token
from tokenomics.canonical import canonical_json
from tokenomics.keys import Keypair
from tokenomics.ledger import Payout

Receipt = dict[str, Any]

REASONS: Mapping[str, str] = {
    "late": "the reply didn't come in time",
    "unreachable": "the participant's node couldn't be reached",
    "failed": "the participant's app failed",
    "malformed": "the reply couldn't be read",
    "oversized": "the reply was larger than the model needs",
    "unsigned": "the contribution carried no signature",
    "bad_signature": "the signature doesn't hold",
    "wrong_signer": "another hotkey than the enrolled one signed",
    "wrong_subnet": "it was signed for another subnet or other rules",
    "wrong_base": "it was trained from another base model",
    "wrong_validator": "it was meant for another validator",
    "replayed": "it answers another message: a contribution counts once",
    "hash_mismatch": "the update isn't the one that was signed",
    "wrong_names": "the update has other parameters than the model",
    "wrong_shapes": "the update's parameters have other shapes than the model's",
    "wrong_dtype": "the update isn't in float32",
    "non_finite": "the update holds NaN or infinite numbers",
    "suspended": "a strike has suspended this hotkey",
    "free_riding": "nearly all of the update was public knowledge already",
    "copy": "the update copies one that was committed earlier",
}
"""Every reason a receipt can carry, in words."""

ZERO_BECAUSE: Mapping[str, str] = {
    "round_refused": "the round's model was refused, so the round paid nobody",
    "strike": "harm by an update of absurd size: a strike; it suspends the hotkey and voids its credit and pending pay",
    "turned": "it undid its sender's last update: a strike; it suspends the hotkey, voids its credit and pending pay",
    "negative": "the update made the model worse, beyond noise, which counts several times against earlier credit",
    "slice_harm": "the update taught the model to take one part of the data for another",
    "not_training": "over the last rounds its updates did no more for its own probes than for those of others",
    "no_course": "over the last rounds its updates had too little in common with each other",
    "noise": "the credit of the window lies inside its own noise band",
    "no_credit": "over all rounds its credit isn't above 0",
    "free_riding": "over all rounds too little of the credit came from anything that wasn't public knowledge",
    "coasting": "too little credit in the last few rounds",
    "ineligible": "this round's contribution didn't count",
}
"""Why an accepted contribution can earn nothing, in words."""


PAYOUT: Mapping[str, str] = {
    "paid": "paid at once",
    "pending": "pending until round {round}, which releases it, unless a strike in that round or before voids it",
    "released": "released in round {round}",
    "voided": "voided in round {round}: a strike forfeits all pay that is pending",
}
"""What can come of a reward, in words."""


def acknowledge(validator: Keypair, receipt: Receipt, *, log: str, log_root: str) -> str:
    """Return the validator's signed word on what it received from a participant and what became of it.

    Args:
        validator: its key.
        receipt: of the participant.
        log: the name of the ledger's log.
        log_root: root of the log that ends with the receipt's round, so that the word is one on all that happened.

    Returns:
        JSON of `document` (itself JSON) and `signature`, as `clients.acknowledgements` reads it.
    """
    told = ("subnet", "round", "hotkey", "contribution", "status", "reason", "zero_because", "reward")
    document = canonical_json({name: receipt[name] for name in told} | {"log": log, "log_root": log_root})
    signed = {"document": document.decode(), "signature": validator.sign(DOMAIN, document)}
    return canonical_json(signed).decode()


def explain(receipt: Receipt, token: Token, payout: Payout | None = None) -> list[tuple[str, str]]:
    """Put a receipt in words.

    Args:
        receipt: as it is stored.
        token: what is paid.
        payout: what came of the reward, by the ledger; where it isn't given, nothing is said of that.

    Returns:
        Pairs of a heading and a sentence, in reading order.
    """
    lines = [("contribution", _what_came(receipt))]
    if receipt["numbers"] is not None:
        lines += _numbers(receipt["numbers"], receipt["status"])
    if receipt.get("probe"):  # receipts of earlier versions don't have it
        lines.append(("probes", _probes(receipt["probe"])))
    if receipt["payable"] is not None:
        lines += _window(receipt["payable"])
    lines.append(("reward", _reward(receipt, token)))
    if receipt["reward"] and payout is not None:
        lines.append(("payout", PAYOUT[payout.state].format(round=payout.round)))
    return [*lines, ("what to change", what_to_change(receipt))]


def _what_came(receipt: Receipt) -> str:
    if receipt["status"] == "accepted":
        gpu_ms = receipt.get("gpu_ms")
        claimed = f"{receipt['n_examples']:,} examples" + (f" and {gpu_ms / 1000:,.1f} s of a GPU" if gpu_ms else "")
        return f"accepted: well signed, well formed, {claimed} claimed (information, not weight)"
    words = REASONS[receipt["reason"]]
    detail = f" ({receipt['detail']})" if receipt["detail"] else ""
    return f"{receipt['status']}: {words}{detail}"


def _numbers(numbers: Mapping[str, Any], status: str) -> list[tuple[str, str]]:
    credit, error = numbers["credit"], numbers["standard_error"]
    band = f"{abs(credit):.2g} is {abs(credit) / error:.1f} standard errors from 0" if error else "no spread at all"
    unit = numbers.get("unit", "of validation loss")  # receipts of earlier versions don't say it
    verb = "it improved" if credit > 0 else "it did not improve"
    gate = "stopped" if numbers["gated"] else "passed"
    lines = [
        (
            "credit",
            f"{credit:+.5f} {unit}, +- {error:.5f} over the batches: {verb} the model; {band}",
        ),
        (
            "clip",
            "not clipped: its norm is at or below the field's median"
            if numbers["clip"] >= 1
            else f"scaled to {numbers['clip']:.1%} of its size, down to the field's median norm",
        ),
        (
            "free-ride gate",
            f"{numbers['novelty']:.1%} of it wasn't public knowledge; the gate stands at {numbers['gate']:.1%}: {gate}",
        ),
        (
            "copy rule",
            f"counts as a copy of {numbers['copy_of'][:12]}, which committed earlier"
            if numbers["copy_of"]
            else "no earlier contribution like it",
        ),
        ("outlier checks", _outliers(numbers["outliers"], numbers.get("field"))),
    ]
    if numbers.get("course") is not None:
        lines.append(("course", _course(numbers["course"])))
    if numbers.get("slice") is not None:
        lines.append(("slices", _slices(numbers["slice"])))
    if status == "accepted":
        lines.append(
            (
                "aggregate",
                f"left out of the new model: {numbers['dropped']}"
                if numbers["dropped"]
                else f"weighed {numbers['influence']:.4f} in the new model",
            )
        )
    through = numbers.get("influence_credit")  # nor have they this
    if through is not None and numbers["influence"]:
        lines.append(
            (
                "influence credit",
                f"{through:+.5f} of the model's improvement came through that weight; not what is paid",
            )
        )
    return lines


def _outliers(checks: Mapping[str, float], field: Mapping[str, Any] | None) -> str:
    """Put the checks in words, each with the field's distribution; receipts of earlier versions don't have that."""
    if field is None:
        return "; ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in checks.items())
    lines = [f"among {field['n']} updates:"]
    for name, value in checks.items():
        low, lower, median, upper, high = field[name]
        lines.append(
            f"{name.replace('_', ' ')} {value:.2f} (the field: {low:.2f} to {high:.2f}, "
            f"half of it {lower:.2f} to {upper:.2f}, median {median:.2f})"
        )
    return "\n".join(lines)


def _course(found: Mapping[str, Any]) -> str:
    limit = found["limit"]
    judged = "not judged yet" if limit is None else f"{limit:.2f} is needed"
    verdict = "it turned against it" if found["turned"] else "no course" if found["no_course"] else "passed"
    return (
        f"cosine {found['cosine']:.2f} with its own last update, {found['mean']:.2f} on average over "
        f"{found['n_rounds']} round{'s' if found['n_rounds'] > 1 else ''}; {judged}: {verdict}"
    )


def _slices(found: Mapping[str, Any]) -> str:
    if found["harmed"] is None:
        return "it takes no part of the data for another"
    credit = "" if found["credit"] is None else f" (credit there {found['credit']:+.5f})"
    return (
        f"it teaches that {found['harmed']} is {found['taken_for']}{credit}, {found['ratio']:.1f} times as much as the "
        f"field's median; the limit is {found['limit']:.1f}: {'stopped' if found['harmful'] else 'passed'}"
    )


def _probes(probe: Mapping[str, Any]) -> str:
    verdict = "it isn't training" if probe["not_training"] else "passed"
    if not probe["not_training"] and probe["window"] <= probe["limit"]:
        verdict = "too few rounds to tell yet"
    return (
        f"{probe['own']:+.5f} of loss on its own, {probe['others']:+.5f} on those of others: z {probe['z']:.2f}; "
        f"{probe['window']:.2f} over {probe['n_rounds']} rounds, more than {probe['limit']:.2f} is needed: {verdict}"
    )


def _window(payable: Mapping[str, Any]) -> list[tuple[str, str]]:
    band = payable["credit"] - payable["score"] * SCORE_UNIT - payable["cut"] * SCORE_UNIT
    paid = payable["score"] * SCORE_UNIT
    lines = [
        (
            "window",
            f"{payable['credit']:.5f} of credit over {payable['n_rounds']} rounds, +- {payable['standard_error']:.5f}; "
            + (f"{paid:.5f} payable after {max(band, 0.0):.5f} for noise" if paid else "nothing payable"),
        )
    ]
    if payable["novel_ratio"] is not None:
        lines.append(
            (
                "free riding so far",
                f"{payable['novel_ratio']:.2f} of all its credit was novel; {payable['novel_limit']:.2f} is needed",
            )
        )
    lines.append(
        (
            "recent credit",
            f"{payable['recent']:.5f} at best in the last rounds; {payable['recent_limit']:.5f} is needed",
        )
    )
    if payable["cut"]:
        lines.append(("cap", f"{payable['cut'] * SCORE_UNIT:.5f} lay above the cap on a share and wasn't minted"))
    return lines


def _reward(receipt: Receipt, token: Token) -> str:
    reward = Amount(receipt["reward"], token)
    if receipt["reward"]:
        share = receipt["reward"] / receipt["participants_pool"]
        return f"{reward}: {share:.2%} of the round's {Amount(receipt['participants_pool'], token)} for participants"
    if receipt["zero_because"]:
        return f"{reward}: {ZERO_BECAUSE[receipt['zero_because']]}"
    return f"{reward}"
