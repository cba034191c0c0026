"""Cheats on the update: each sends what its docstring says, and looks at no more than it says."""

import pytest
import torch

from clients.adversaries import Copycat, LabelFlip, Noise, NotANumber, Scaling, SignFlip, Stale, Zero
from clients.behaviour import Behaviour, View
from clients.task import Examples

BASE = torch.linspace(-1, 1, 50)
OWN = torch.linspace(0, 2, 50)
PEER = torch.linspace(3, 1, 50)
LAST = torch.linspace(-2, 5, 50)


def forbidden():
    raise AssertionError("this cheat doesn't know that")


def view(*, own=forbidden, peer=forbidden, last=forbidden, round_number=4):
    """What a cheat sees; what isn't given mustn't be looked at."""
    return View(round=round_number, deadline_s=1, base=BASE, own_update=own, peer_update=peer, last_global_delta=last)


def own():
    return view(own=lambda: OWN)


def last(delta=LAST, round_number=4):
    return view(last=lambda: delta, round_number=round_number)


def test_the_honest_participant_sends_its_own_update():
    """Its update is what it trained, on its data as they are."""
    examples = Examples(inputs=BASE[:, None], targets=torch.arange(50))
    assert Behaviour().update(own()) is OWN
    assert Behaviour().data(examples) is examples


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_sign_flip_reverses_and_magnifies(strength):
    """The update is minus `strength` times the honest one."""
    assert torch.equal(SignFlip(strength).update(own()), OWN * -strength)


@pytest.mark.parametrize("strength", [0.5, 10.0])
def test_scaling_magnifies(strength):
    """The update is `strength` times the honest one."""
    assert torch.equal(Scaling(strength).update(own()), OWN * strength)


@pytest.mark.parametrize("strength", [1.0, 3.0])
def test_noise_has_the_last_deltas_norm_and_no_direction(strength):
    """Its norm is `strength` times the last global delta's; it differs from round to round."""
    first = Noise(strength).update(last())
    assert float(first.norm()) == pytest.approx(strength * float(LAST.norm()), rel=1e-5)
    assert torch.equal(first, Noise(strength).update(last()))
    assert abs(float(torch.cosine_similarity(first, Noise(strength).update(last(round_number=5)), dim=0))) < 0.5


def test_noise_in_the_first_round_has_norm_strength():
    """With no public delta yet, the norm is `strength` itself."""
    assert float(Noise(2.0).update(last(None)).norm()) == pytest.approx(2.0, rel=1e-5)


def test_zero_sends_zeros():
    """All coordinates are 0, and it looks at nothing but the shape."""
    assert torch.equal(Zero().update(view()), torch.zeros(50))


def test_stale_replays_the_last_global_delta():
    """It sends `strength` times the public delta, and zeros while there is none."""
    assert torch.equal(Stale().update(last()), LAST)
    assert torch.equal(Stale(0.5).update(last()), LAST * 0.5)
    assert torch.equal(Stale().update(last(None)), torch.zeros(50))


def test_an_exact_copycat_sends_its_victims_bits():
    """At strength 0 the copy is the victim's update itself."""
    assert torch.equal(Copycat().update(view(peer=lambda: PEER)), PEER)


@pytest.mark.parametrize("strength", [0.05, 1.0])
def test_a_noisy_copycat_adds_noise_of_relative_norm(strength):
    """The difference to the victim's update has `strength` times its norm, and the victim's isn't changed."""
    kept = PEER.clone()
    copied = Copycat(strength).update(view(peer=lambda: PEER))
    assert float((copied - PEER).norm() / PEER.norm()) == pytest.approx(strength, rel=1e-4)
    assert torch.equal(PEER, kept)


def test_label_flip_turns_the_labels_round():
    """Label c of C becomes C - 1 - c, inputs stay, and turning twice gives the labels back."""
    examples = Examples(inputs=BASE[:10, None], targets=torch.arange(10))
    turned = LabelFlip().data(examples)
    assert turned.targets.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert turned.inputs is examples.inputs
    assert torch.equal(LabelFlip().data(turned).targets, examples.targets)
    assert LabelFlip(n_labels=4).data(examples).targets[:4].tolist() == [3, 2, 1, 0]
    assert LabelFlip().update(own()) is OWN


def test_nan_sends_nan_everywhere():
    """No coordinate is a number."""
    assert torch.isnan(NotANumber().update(view())).all()
