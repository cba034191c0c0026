"""Free riders: each sends what its docstring says, out of what is public or leaked."""

from dataclasses import replace

import pytest
import torch

from clients.free_riders import (
    Copycat,
    Extrapolation,
    Lazy,
    Leak,
    Noise,
    OldMixture,
    ProbeOnly,
    Stale,
    StaleNoise,
    Zero,
)
from clients.task import Examples
from tests.clients.views import DELTAS, LAST, OWN, PEER, TEN, view


def rows(examples):
    """Inputs and targets, as something that can be counted."""
    return list(zip(examples.inputs.flatten().tolist(), examples.targets.tolist(), strict=True))


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_noise_has_the_last_deltas_norm_and_no_direction(strength):
    """Its norm is `strength` times the last global delta's; it differs from round to round."""
    first = Noise(strength).update(view(deltas=DELTAS))
    assert float(first.norm()) == pytest.approx(strength * float(LAST.norm()), rel=1e-5)
    assert torch.equal(first, Noise(strength).update(view(deltas=DELTAS)))
    later = Noise(strength).update(view(deltas=DELTAS, round_number=5))
    assert abs(float(torch.cosine_similarity(first, later, dim=0))) < 0.5


def test_noise_in_the_first_round_has_norm_strength():
    """With no public delta yet, the norm is `strength` itself."""
    assert float(Noise(2.0).update(view(deltas=[])).norm()) == pytest.approx(2.0, rel=1e-5)


def test_zero_sends_zeros():
    """All coordinates are 0, and it looks at nothing but the shape."""
    assert torch.equal(Zero().update(view()), torch.zeros(50))


@pytest.mark.parametrize("cheat", [Stale(), StaleNoise(), Extrapolation(), OldMixture()])
def test_in_the_first_round_there_is_nothing_to_replay(cheat):
    """Who lives on public deltas sends zeros while there are none."""
    assert torch.equal(cheat.update(view(deltas=[])), torch.zeros(50))


def test_stale_replays_the_last_global_delta():
    """It sends `strength` times the public delta."""
    assert torch.equal(Stale().update(view(deltas=DELTAS)), LAST)
    assert torch.equal(Stale(0.5).update(view(deltas=DELTAS)), LAST * 0.5)


@pytest.mark.parametrize("strength", [0.1, 1.0])
def test_stale_noise_disguises_the_replay(strength):
    """The difference to the last delta has `strength` times its norm; it repeats, and differs by round and client."""
    sent = StaleNoise(strength).update(view(deltas=DELTAS))
    assert float((sent - LAST).norm() / LAST.norm()) == pytest.approx(strength, rel=1e-4)
    assert torch.equal(StaleNoise(strength).update(view(deltas=DELTAS)), sent)
    assert not torch.equal(StaleNoise(strength).update(view(deltas=DELTAS, round_number=5)), sent)
    another = replace(view(deltas=DELTAS), identity="another")
    assert not torch.equal(StaleNoise(strength).update(another), sent)


def test_extrapolation_continues_the_last_two_deltas():
    """Twice the newest less the one before; with a single delta that one."""
    assert torch.equal(Extrapolation().update(view(deltas=DELTAS)), 2 * DELTAS[0] - DELTAS[1])
    assert torch.equal(Extrapolation().update(view(deltas=DELTAS[:1])), LAST)


def test_an_old_mixture_is_made_of_the_last_five_deltas():
    """Its weights on unit vectors are positive and sum to 1, none is on a sixth, and another round mixes anew."""
    unit = list(torch.eye(50)[:6])
    sent = OldMixture().update(view(deltas=unit))
    assert float(sent.sum()) == pytest.approx(1.0, rel=1e-5)
    assert bool((sent[:5] > 0).all())
    assert not bool(sent[5:].any())
    assert torch.equal(OldMixture().update(view(deltas=unit)), sent)
    assert not torch.equal(OldMixture().update(view(deltas=unit, round_number=5)), sent)


def test_the_lazy_train_on_a_tenth_and_replay():
    """A tenth of its examples, the same every time, and what came of it plus `strength` deltas."""
    examples = Examples(inputs=torch.arange(300)[:, None], targets=torch.arange(300) % 10)
    tenth = Lazy().data(examples)
    assert len(set(rows(tenth))) == len(tenth) == 30
    assert set(rows(tenth)) <= set(rows(examples))
    assert len(set(tenth.targets.tolist())) > 1
    assert rows(Lazy().data(examples)) == rows(tenth)
    assert len(Lazy().data(TEN.take(torch.arange(3)))) == 1
    assert torch.equal(Lazy(0.5).update(view(own=OWN, deltas=DELTAS)), OWN + 0.5 * LAST)
    assert torch.equal(Lazy().update(view(own=OWN, deltas=[])), OWN)


def test_an_exact_copycat_sends_its_victims_bits():
    """At strength 0 the copy is the victim's update itself."""
    assert torch.equal(Copycat().update(view(peer=PEER)), PEER)


@pytest.mark.parametrize("strength", [0.05, 1.0])
def test_a_noisy_copycat_adds_noise_of_relative_norm(strength):
    """The difference to the victim's update has `strength` times its norm, and the victim's isn't changed."""
    kept = PEER.clone()
    copied = Copycat(strength).update(view(peer=PEER))
    assert float((copied - PEER).norm() / PEER.norm()) == pytest.approx(strength, rel=1e-4)
    assert torch.equal(PEER, kept)


@pytest.mark.parametrize(("strength", "n_leaked"), [(0.0, 0), (0.1, 40), (1.0, 400), (3.0, 400)])
def test_a_leak_adds_its_share_of_the_pool_to_its_own_data(strength, n_leaked):
    """It trains on its own examples and on so many different ones of the pool."""
    pool = Examples(inputs=100 + torch.arange(400)[:, None], targets=torch.arange(400) % 10)
    cheat = Leak(strength).given(pool, torch.Generator().manual_seed(1))
    seen = cheat.data(TEN)
    assert rows(seen)[:10] == rows(TEN)
    assert len(seen) == 10 + n_leaked
    assert len(set(rows(seen)[10:])) == n_leaked
    assert set(rows(seen)[10:]) <= set(rows(pool))
    assert rows(Leak(strength).given(pool, torch.Generator().manual_seed(1)).data(TEN)) == rows(seen)
    assert Leak(strength).data(TEN) is TEN
    assert cheat.update(view(own=OWN)) is OWN


def test_probe_only_adds_the_replay_to_what_the_probes_gave():
    """Without probes it is a plain replay; in the first round it has its probes alone."""
    assert torch.equal(ProbeOnly().update(view(deltas=DELTAS, probe_update=lambda: OWN)), OWN + LAST)
    assert torch.equal(ProbeOnly(2.0).update(view(deltas=DELTAS, probe_update=lambda: OWN)), OWN + 2 * LAST)
    assert torch.equal(ProbeOnly().update(view(deltas=DELTAS, probe_update=lambda: None)), LAST)
    assert torch.equal(ProbeOnly().update(view(deltas=[], probe_update=lambda: OWN)), OWN)
