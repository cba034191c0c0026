"""Threat models: what each kind of client looks at, and that nothing else can be looked at."""

from contextlib import suppress
from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from clients import protocol_cheats
from clients.attacks import ATTACKS
from clients.behaviour import View
from clients.cast import KINDS, behaviour
from clients.contribution import sign_envelope
from clients.errors import CastError
from clients.weights import encode
from tests.clients.views import BASE, view

NOISY, STEADY = ("alie", "ipm", "mimic"), ("alie", "mimic")
OWN, HISTORY = {"own_update"}, {"last_global_delta"}
NOISE = {"collusion", "honest_updates", "global_deltas", "copy_floor"}
KNOWS = {
    "zero": set(),
    "nan": set(),
    "infinite": set(),
    "denormals": set(),
    "crash": set(),
    "late": set(),
    "noise": HISTORY,
    "stale": HISTORY,
    "stale_noise": HISTORY,
    "extrapolation": {"global_deltas"},
    "old_mixture": {"global_deltas"},
    "lazy": OWN | HISTORY,
    "probe_only": {"probe_update"} | HISTORY,
    "on_off": OWN | HISTORY,
    "coasting": OWN | HISTORY,
    "burst": OWN | {"past_update"},
    "copycat": {"peer_update"},
    "sybil_clone": {"leader_update"},
    "wrong_node": OWN | {"peer_hotkey"},
    **{name: {"collusion"} for name in ATTACKS},
    **dict.fromkeys(map("jittered_{}".format, NOISY), NOISE),
    **dict.fromkeys(map("steady_{}".format, STEADY), NOISE),
}
"""What a kind looks at over its first rounds; those that aren't named look at their own update alone."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_looks_at_no_more_than_its_threat_model_says(kind, base, layout, envelope, wallet, monkeypatch):
    """Over twelve rounds it looks at all that, and at nothing else."""
    monkeypatch.setattr(protocol_cheats, "time", SimpleNamespace(sleep=lambda _: None))
    seen = set()

    def shown(name, value):
        def look(*_):
            seen.add(name)
            return value

        return look

    values = {"global_deltas": [base, base], "peer_hotkey": "7" * 64, "honest_updates": base[None], "copy_floor": 0.65}
    names = [one.name for one in fields(View) if one.name not in {"round", "deadline_s", "base", "identity"}]
    known = {name: shown(name, values.get(name, base)) for name in names}
    found = behaviour(kind)
    for number in range(1, 13):
        look = View(round=number, deadline_s=1, base=base, **known)
        with suppress(protocol_cheats.SimulatedCrashError):
            update = found.update(look)
            data = encode(layout, update)
            found.send(look, envelope, data, sign=lambda document: sign_envelope(document, wallet.hotkey))
    assert seen == KNOWS.get(kind, OWN)


def test_what_isnt_shown_cant_be_looked_at():
    """Every kind of knowledge that wasn't given is refused in words."""
    nothing = view()
    for look in (nothing.own_update, nothing.last_global_delta, nothing.peer_update, nothing.leader_update):
        with pytest.raises(CastError, match="isn't shown"):
            look()
    with pytest.raises(CastError):
        nothing.collusion(ATTACKS["ipm"]())


def test_a_draw_is_fixed_by_purpose_round_and_client():
    """The same three give the same numbers, any other gives others."""

    def drawn(purpose="noise", identity="me", number=1):
        seen = View(round=number, deadline_s=1, base=BASE, identity=identity)
        return torch.randn(4, generator=seen.draw(purpose))

    assert torch.equal(drawn(), drawn())
    for other in (drawn(purpose="mixture"), drawn(identity="you"), drawn(number=2)):
        assert not torch.equal(other, drawn())
