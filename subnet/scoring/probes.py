"""Probes: whether a participant trains at all, told by samples that it alone was given to train on.

Each participant has a few labelled samples of its own every round, drawn from the held-out data and apart from those
that score (`subnet.assign`). Whoever trains on them improves the model on them more than on the probes of others, which
are of the same distribution; whoever replays the last global delta, copies, sends noise or nothing doesn't, however
useful its update is. To first order at the base model w, with c r_i the clipped update less its part in the span of the
last global deltas and P_j the probes of j:

    m_ij = -<c r_i, grad L(w; P_j)>
    z_i  = (m_ii - mean over j of m_ij) / (s sqrt(1 + 1 / k)),   j over the k others, s their standard deviation

What is public knowledge is taken off because it improves all probes alike but for chance, which hides training: a
replayed delta has a z of 0, noise and copies have one of 0 on average. Over the last `probe_rounds` rounds in which a
participant had probes and its update could be used, the z's are summed and divided by the root of their number:
independent standard scores stay one (Stouffer et al. 1949, "The American Soldier"). A round counts for at most
`ROUND_LIMIT`, so that one honest round doesn't carry the others. No more than `probe_z`, once there are so many rounds,
and a participant isn't training and earns nothing this round; before that it has grace, and is judged and paid by
everything else. Its update stays in the aggregate if nothing else keeps it out: leaving it out changed neither pay nor
accuracy by a measurable amount, and where a trained model leaves probes nothing to improve it would leave out everyone.

The cost is one gradient of so many samples a participant and round, and n x n dot products.

Source: DESIGN section 5, rule 7; the test of an observation against a sample's prediction interval is Student's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clients.task import Examples
from subnet.scoring.base import Field
from subnet.scoring.geometry import Geometry
from subnet.scoring.history import History
from subnet.spec import ScoringSection

NOTHING = 1e-6
"""An update less novel than this is public knowledge but for rounding."""

ROUND_LIMIT = 3.0
"""The most that a round's z counts for, either way: with five rounds to a window and a limit of 1.65 two are needed."""

_COLUMNS = 1 << 16
_GRADIENTS = 8
"""Gradients that are multiplied with the updates at a time, of so many columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One update in one round, to first order and in units of the loss.

    Attributes:
        own: improvement on its sender's own probes by what isn't public knowledge.
        others: mean improvement on the others' probes.
        z: how far the first is above the second, in [-ROUND_LIMIT, ROUND_LIMIT].
    """

    own: float
    others: float
    z: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the probes say of one participant.

    Attributes:
        own: as `Measured`.
        others: as `Measured`.
        z: as `Measured`.
        window: the z's of the window, summed and divided by the root of their number.
        n_rounds: how many those are.
        limit: what the window's must be above.
        not_training: whether it isn't, after so many rounds that it can be told.
    """

    own: float
    others: float
    z: float
    window: float
    n_rounds: int
    limit: float
    not_training: bool


def measure(field: Field, shape: Geometry, hands: Mapping[str, Examples]) -> dict[str, Measured]:
    """Measure every update of a field on all probes of the round.

    Args:
        field: the round's updates.
        shape: their geometry.
        hands: the probes by hotkey, of those too whose update isn't in the field.

    Returns:
        By hotkey, for those of the field that have probes; nobody where fewer than three participants have.
    """
    if len(hands) < 3:
        return {}
    gains = _gains(field, shape, list(hands.values()))
    place = {hotkey: column for column, hotkey in enumerate(hands)}
    return {hotkey: _compare(gains[row], place[hotkey]) for row, hotkey in enumerate(field.hotkeys) if hotkey in place}


def find(measured: Mapping[str, Measured], history: History, rules: ScoringSection) -> dict[str, Finding]:
    """Put a round beside those before it.

    Args:
        measured: this round's, by hotkey.
        history: all settled rounds before this one.
        rules: the spec's constants.
    """
    found = {}
    for hotkey, now in measured.items():
        window = [now.z, *_past(history, hotkey, rules.probe_rounds - 1)]
        combined = sum(window) / len(window) ** 0.5
        found[hotkey] = Finding(
            own=now.own,
            others=now.others,
            z=now.z,
            window=combined,
            n_rounds=len(window),
            limit=rules.probe_z,
            not_training=len(window) == rules.probe_rounds and combined <= rules.probe_z,
        )
    return found


def _past(history: History, hotkey: str, n_rounds: int) -> list[float]:
    """Return a participant's last z's, at most so many, newest first, of the rounds that scoring remembers."""
    found: list[float] = []
    for settled in reversed(history.recent):
        if len(found) == n_rounds:
            break
        if hotkey in settled.probe_z:
            found.append(settled.probe_z[hotkey])
    return found


def _gains(field: Field, shape: Geometry, hands: Sequence[Examples]) -> Tensor:
    """Return m `(n, n_hands)`: every update's improvement on every hand, finite."""
    scale = torch.where(shape.novelty > NOTHING, shape.clip, torch.zeros_like(shape.clip))
    parts = []
    for start in range(0, len(hands), _GRADIENTS):
        gradients = torch.stack(
            [field.objective.gradient(field.base, hand) for hand in hands[start : start + _GRADIENTS]]
        )
        products = torch.zeros(field.n, len(gradients), dtype=torch.float64)
        for column in range(0, gradients.shape[1], _COLUMNS):
            block = slice(column, column + _COLUMNS)
            part = gradients[:, block].double().T
            products += field.updates[:, block].double() @ part - shape.shadow @ (shape.public[:, block] @ part)
        parts.append(-scale[:, None] * products)
    return torch.cat(parts, dim=1).nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30)


def _compare(gains: Tensor, place: int) -> Measured:
    """Compare a row of m at its own place with the rest.

    >>> _compare(torch.tensor([4.0, 1.0, 3.0]).double(), 0)
    Measured(own=4.0, others=2.0, z=1.1547005383792517)
    """
    own = float(gains[place])
    others = torch.cat([gains[:place], gains[place + 1 :]])
    mean, spread = float(others.mean()), float(others.std(correction=1))
    scale = spread * (1 + 1 / len(others)) ** 0.5
    z = (own - mean) / scale if scale > 0 else 0.0
    return Measured(own=own, others=mean, z=min(ROUND_LIMIT, max(-ROUND_LIMIT, z)))
