"""What a participant can change, one plain sentence for each reason for earning nothing or little."""

from collections.abc import Mapping
from typing import Any

IF_REJECTED: Mapping[str, str] = {
    "late": "send sooner: train fewer epochs or on less data, or use a faster machine or line",
    "unreachable": "keep the node running and connected; look at its log and at the address it connects to",
    "failed": "look at your node's log: your app stopped with an error before it could answer",
    "malformed": "answer with the app that the subnet publishes; what came couldn't be read as a reply",
    "oversized": "send the update of this model only, in float32, and nothing beside it",
    "unsigned": "give your node its wallet: every contribution must carry a signature",
    "bad_signature": "sign with the app that the subnet publishes, and change nothing after signing",
    "wrong_signer": "sign with the hotkey that your node enrolled with, or restart the node with the other wallet",
    "wrong_subnet": "get the subnet's current app and rules, and restart your node",
    "wrong_base": "train from the model that came with this round's message, not from an earlier one",
    "wrong_validator": "answer the validator that asked you, and no other",
    "replayed": "train anew for every message: an answer that was given once isn't taken again",
    "hash_mismatch": "send the very bytes that you signed; look for something on the way that changes them",
    "wrong_names": "get the subnet's current app: its model has other parameters than yours",
    "wrong_shapes": "get the subnet's current app: its model has other sizes than yours",
    "wrong_dtype": "send the update in float32",
    "non_finite": "lower your learning rate, or clip your gradients: the training ran away to infinity",
    "suspended": "wait until the suspension is over, and find out what made the update so large and so harmful",
    "free_riding": "train on data of your own from this round's model: updates made of earlier models earn nothing",
    "copy": "train on data of your own, and send early: of two that are alike the first to arrive is paid",
}
"""By the reason on the receipt of a contribution that didn't count."""

IF_UNPAID: Mapping[str, str] = {
    "round_refused": "nothing that is in your hands alone: all updates together made the model worse; take part again",
    "strike": "lower your learning rate or clip your gradients: the update was many times too large and did harm",
    "turned": "send what training on your data gives, and nothing that takes back your last update",
    "negative": "check your labels and lower your learning rate: your update made the model worse",
    "slice_harm": "check your labels for the two slices that are named above: it teaches that one is the other",
    "not_training": "train every round, from its model, on your own data and on the probes that come with the message",
    "no_course": "train every round on the same data of your own: one update and the next had too little in common",
    "noise": "train on more data, or take part for more rounds: what you improved can't be told from chance yet",
    "no_credit": "check your labels and your learning rate: over all rounds you improved nothing",
    "free_riding": "rely on data of your own: too much of your credit so far repeats what is public already",
    "coasting": "go on training in earnest: what you earned in earlier rounds isn't paid out while you add little now",
    "ineligible": "see to it that your contribution counts; the lines above say why this one didn't",
}
"""By what made an accepted contribution worth nothing."""

IF_CAPPED = "nothing: you earned as much as one participant can, and what lay above that wasn't minted"
IF_WITHIN_NOISE = (
    "train on more data or check your labels: you were paid for earlier rounds, and this one's update didn't help"
)
IF_LEFT_OUT = "nothing: you were paid by your credit, though the new model was made without your update as a precaution"
IF_CLIPPED = "nothing about your data; a smaller learning rate would do, since a longer update earns nothing more"
IF_PAID = "nothing: the update counted in full, and more or rarer data is what earns more"
IF_NOTHING_TO_PAY = "nothing that is in your hands: this round had nothing to pay"

CLIPPED_BELOW = 0.5
"""Who is scaled to less than this sends updates much longer than the field's."""


def what_to_change(receipt: Mapping[str, Any]) -> str:
    """Return the sentence for whoever holds a receipt."""
    if receipt["status"] != "accepted":
        return IF_REJECTED[receipt["reason"]]
    if not receipt["reward"]:
        why = receipt["zero_because"]
        return IF_UNPAID[why] if why else IF_NOTHING_TO_PAY
    numbers, payable = receipt["numbers"], receipt["payable"]
    if payable["cut"]:
        return IF_CAPPED
    if numbers["credit"] <= 0:
        return IF_WITHIN_NOISE
    if numbers["dropped"]:
        return IF_LEFT_OUT
    return IF_CLIPPED if numbers["clip"] < CLIPPED_BELOW else IF_PAID
