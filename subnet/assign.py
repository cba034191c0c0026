"""Probes: which held-out samples are set apart for them, and whose they are in a round.

The held-out data is divided once, by its Merkle root in the ledger's first row, which covers all of it: one part scores
contributions and models, the other gives probes. Round by round, samples of the probe part are dealt to the
participants, nobody's twice in a round. The deal follows from the nonce to which the validator committed at the round's
opening, from who takes part, and from what earlier rounds dealt, so an audit deals again.

Samples never dealt come first and then those dealt longest ago, so that one comes again only when the part is used up
(or has rested for longer than scoring remembers, 20 rounds by default);
whose it is then is drawn anew. Where labels are classes everyone gets as many of each, give or take one: a participant
whose own data has few classes would otherwise improve one hand or another by what happens to lie in it. Where there are
more participants than the probe part can serve in a round, the nonce also draws who goes without: for those the round
says nothing about their training.
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
    *, round_number: int, nonce: str, hotkeys: Collection[str], pool: Examples, history: History, rules: ScoringSection
) -> Deal:
    """Deal a round's probes.

    Args:
        round_number: from 1.
        nonce: the round's, 64 hex digits; secret while the round is open.
        hotkeys: who takes part.
        pool: the probe part of the held-out data.
        history: all settled rounds before this one.
        rules: how many samples each participant gets.

    Returns:
        `rules.probes` samples each, to as many participants as the pool can serve.
    """
    if not rules.probes:
        return {}
    document = canonical_json([round_number, nonce])
    secret = hashlib.sha256(b"flower-subnet/probes/v1\x00" + document).hexdigest()
    order = sorted(hotkeys, key=lambda hotkey: hashlib.sha256(f"{secret}{hotkey}".encode()).digest())
    served = order[: len(pool) // rules.probes]
    ranked = draw.sample(seed=secret, pool_size=len(pool), n_samples=len(pool))
    last_dealt = _last_dealt(history, len(pool))
    ranked.sort(key=lambda sample: last_dealt.get(sample, 0))  # these sorts are stable: the drawn order breaks ties
    chosen = ranked[: len(served) * rules.probes]
    classes = _classes(pool)
    chosen.sort(key=classes.__getitem__)
    return {hotkey: tuple(chosen[place :: len(served)]) for place, hotkey in enumerate(served)}


def table(deal: Deal) -> dict[str, list[object]] | None:
    """Return a deal as a round's record holds it; None where nothing was dealt."""
    if not deal:
        return None
    return {"hotkeys": list(deal), "samples": [list(hand) for hand in deal.values()]}


def _pool_size(rules: ScoringSection, n_held_out: int) -> int:
    """Return how many held-out samples are for probes."""
    return int(rules.probe_share * n_held_out) if rules.probes else 0


def _last_dealt(history: History, pool_size: int) -> dict[int, int]:
    """Return the number of the round in which each sample was dealt last.

    Missing are those that never were, or longer ago than scoring remembers (`ScoringSection.memory` rounds).
    """
    found: dict[int, int] = {}
    for number, settled in reversed(list(enumerate(history.recent, start=history.n_earlier + 1))):
        if len(found) == pool_size:
            break
        for sample in settled.probed:
            found.setdefault(sample, number)
    return found


def _classes(pool: Examples) -> list[int]:
    """Return every sample's class; one for all where targets aren't classes."""
    if pool.targets.dim() != 1 or pool.targets.is_floating_point():
        return [0] * len(pool)
    found: list[int] = pool.targets.tolist()
    return found


def hands(deal: Deal, pool: Examples) -> dict[str, Examples]:
    """Return the samples of a deal by hotkey."""
    return {hotkey: pool.take(torch.tensor(hand)) for hotkey, hand in deal.items()}
