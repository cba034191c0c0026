"""Probes: which held-out samples are set apart for them, and whose they are in a round.

The held-out data is divided once, by its Merkle root in the ledger's first row, which covers all of it: one part scores
contributions and models, the other gives probes. Round by round, samples of the probe part are dealt to the
participants, nobody's twice in a round. The deal follows from the nonce to which the validator committed at the round's
opening, from who takes part, and from what earlier rounds dealt, so an audit deals again.

A sample comes again only after every other one was dealt as often; whose it is then is drawn anew. Where there are more
participants than the probe part can serve in a round, the nonce also draws who goes without: for those the round says
nothing about their training.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import torch

from clients.task import Examples
from subnet import draw
from subnet.errors import SpecError
from subnet.scoring.history import History
from subnet.spec import ScoringSection
from tokenomics.canonical import canonical_json

Deal = Mapping[str, tuple[int, ...]]
"""Indices of probe samples by hotkey, in the order in which they were dealt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The held-out data in its two parts; `probes` is empty where the subnet has none."""

    validation: Examples
    probes: Examples


def divide(held_out: Examples, *, root: str, rules: ScoringSection) -> HeldOut:
    """Divide the held-out data.

    Args:
        held_out: all of it, in the task's order.
        root: its Merkle root, 64 hex digits, as in the ledger's first row.
        rules: whether there are probes, and which part of the data is theirs.
    """
    n_probes = _pool_size(rules, len(held_out))
    if not n_probes:
        return HeldOut(validation=held_out, probes=held_out.take(torch.arange(0)))
    seed = hashlib.sha256(b"flower-subnet/held-out/v1\x00" + root.encode()).hexdigest()
    apart = set(draw.sample(seed=seed, pool_size=len(held_out), n_samples=n_probes))
    kept = [index for index in range(len(held_out)) if index not in apart]
    return HeldOut(
        validation=held_out.take(torch.tensor(kept, dtype=torch.int64)),
        probes=held_out.take(torch.tensor(sorted(apart))),
    )


def check(rules: ScoringSection, *, n_held_out: int, n_participants: int) -> None:
    """Check that there are probes enough for one round.

    Args:
        rules: the spec's constants.
        n_held_out: samples of held-out data in all.
        n_participants: how many take part at least.

    Raises:
        SpecError: there aren't; says how many are wanted and how many there are.
    """
    wanted, available = n_participants * rules.probes, _pool_size(rules, n_held_out)
    if wanted > available:
        raise SpecError(
            f"{n_participants} participants x {rules.probes} probes need {wanted:,} samples a round; "
            f"scoring.probe_share = {rules.probe_share:g} of {n_held_out:,} held-out samples sets apart {available:,}",
            remedy="lower scoring.probes, raise scoring.probe_share, or give the task more validation data",
        )


def deal(
    *,
    round_number: int,
    nonce: str,
    hotkeys: Collection[str],
    pool_size: int,
    history: History,
    rules: ScoringSection,
) -> Deal:
    """Deal a round's probes.

    Args:
        round_number: from 1.
        nonce: the round's, 64 hex digits; secret while the round is open.
        hotkeys: who takes part.
        pool_size: samples in the probe part.
        history: all settled rounds before this one.
        rules: how many samples each participant gets.

    Returns:
        `rules.probes` samples each, to as many participants as the pool can serve.
    """
    if not rules.probes:
        return {}
    document = canonical_json([round_number, nonce])
    secret = hashlib.sha256(b"flower-subnet/probes/v1\x00" + document).hexdigest()
    served = sorted(hotkeys, key=lambda hotkey: hashlib.sha256(f"{secret}{hotkey}".encode()).digest())
    recent = _dealt_in_this_pass(history, pool_size)
    ranked = draw.sample(seed=secret, pool_size=pool_size, n_samples=pool_size)
    ranked.sort(key=recent.__contains__)  # a stable sort: those that this pass hasn't dealt yet come first
    hands = [tuple(ranked[start : start + rules.probes]) for start in range(0, pool_size, rules.probes)]
    return {hotkey: hand for hotkey, hand in zip(served, hands, strict=False) if len(hand) == rules.probes}


def table(deal: Deal) -> dict[str, list[object]] | None:
    """Return a deal as a round's record holds it; None where nothing was dealt."""
    if not deal:
        return None
    return {"hotkeys": list(deal), "samples": [list(hand) for hand in deal.values()]}


def _pool_size(rules: ScoringSection, n_held_out: int) -> int:
    """Return how many held-out samples are for probes."""
    return int(rules.probe_share * n_held_out) if rules.probes else 0


def _dealt_in_this_pass(history: History, pool_size: int) -> set[int]:
    """Return the samples that were dealt since all were last dealt equally often.

    Every pass over the pool deals each sample once, so these are the last samples that were dealt, as many as the
    number of all that were leaves when it is divided by the size of the pool.
    """
    n_left = sum(len(settled.probed) for settled in history.rounds) % pool_size if pool_size else 0
    found: list[int] = []
    for settled in reversed(history.rounds):
        if len(found) >= n_left:
            break
        found[:0] = settled.probed
    return set(found[len(found) - n_left :])


def hands(deal: Deal, pool: Examples) -> dict[str, Examples]:
    """Return the samples of a deal by hotkey."""
    return {hotkey: pool.take(torch.tensor(hand)) for hotkey, hand in deal.items()}
