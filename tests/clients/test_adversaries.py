"""Poisoning by single clients: each sends what its docstring says."""

import pytest
import torch

from clients.adversaries import (
    Backdoor,
    Denormals,
    Infinite,
    LabelFlip,
    NoisyLabels,
    NotANumber,
    Scaling,
    SignFlip,
    TargetedFlip,
    informed,
)
from clients.behaviour import Behaviour
from clients.task import Examples
from tests.clients.views import BASE, OWN, TEN, view


def labelled(n, n_labels=10):
    """`n` examples, their labels in turn."""
    return Examples(inputs=torch.arange(n)[:, None], targets=torch.arange(n) % n_labels)


def test_the_honest_participant_sends_its_own_update():
    """Its update is what it trained, on its data as they are."""
    assert Behaviour().update(view(own=OWN)) is OWN
    assert Behaviour().data(TEN) is TEN
    assert Behaviour().holding(TEN, place=1, size=3) is TEN


@pytest.mark.parametrize("strength", [1.0, 10.0])
def test_sign_flip_reverses_and_magnifies(strength):
    """The update is minus `strength` times the honest one."""
    assert torch.equal(SignFlip(strength).update(view(own=OWN)), OWN * -strength)


@pytest.mark.parametrize("strength", [0.5, 10.0])
def test_scaling_magnifies(strength):
    """The update is `strength` times the honest one."""
    assert torch.equal(Scaling(strength).update(view(own=OWN)), OWN * strength)


def test_label_flip_turns_the_labels_round():
    """Label c of C becomes C - 1 - c, inputs stay, and turning twice gives the labels back."""
    turned = LabelFlip().data(TEN)
    assert turned.targets.tolist() == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert turned.inputs is TEN.inputs
    assert torch.equal(LabelFlip().data(turned).targets, TEN.targets)
    assert LabelFlip(n_labels=4).data(TEN).targets[:4].tolist() == [3, 2, 1, 0]
    assert LabelFlip().update(view(own=OWN)) is OWN


@pytest.mark.parametrize(
    ("n_labels", "flipped"),
    [
        (10, [0, 1, 2, 8, 4, 5, 6, 7, 8, 9]),
        (9, [0, 1, 2, 8, 4, 5, 6, 7, 8, 9]),
        (8, [7, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (2, [1, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
def test_targeted_flip_changes_one_label_only(n_labels, flipped):
    """3 becomes 8 where there is an 8, else 0 becomes the last label; all others stay, and so do the inputs."""
    kept = TEN.targets.clone()
    poisoned = TargetedFlip(n_labels=n_labels).data(TEN)
    assert poisoned.targets.tolist() == flipped
    assert poisoned.inputs is TEN.inputs
    assert torch.equal(TEN.targets, kept)


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0, 7.0])
def test_noisy_labels_draws_a_share_of_them_from_all_labels(strength):
    """So many labels are drawn anew, of which a tenth come out as they were; the same ones every time."""
    examples = labelled(5000)
    noisy = NoisyLabels(strength, n_labels=10).data(examples)
    changed = float((noisy.targets != examples.targets).double().mean())
    assert changed == pytest.approx(0.9 * min(1.0, strength), abs=0.02)
    assert set(noisy.targets.tolist()) == set(range(10))
    assert noisy.targets.dtype == examples.targets.dtype
    assert noisy.inputs is examples.inputs
    assert torch.equal(NoisyLabels(strength, n_labels=10).data(examples).targets, noisy.targets)


def test_two_clients_have_different_noise():
    """The noise depends on the labels that a client has."""
    one, two = labelled(500), labelled(500, n_labels=9)
    where = [NoisyLabels().data(examples).targets != examples.targets for examples in (one, two)]
    assert not torch.equal(*where)


def test_cheats_on_labels_learn_how_many_there_are():
    """A client may lack the last label; the task's data tell it, unless it was told already."""
    for cheat in (LabelFlip, NoisyLabels, TargetedFlip):
        assert informed(cheat(), TEN).n_labels == 10
        assert informed(cheat(n_labels=3), TEN).n_labels == 3
    assert informed(NoisyLabels(0.2), TEN).strength == 0.2
    assert informed(SignFlip(), TEN) == SignFlip()


def test_the_backdoor_magnifies_what_it_learned():
    """Its update is `strength` times the one trained on marked data."""
    assert torch.equal(Backdoor(3.0).update(view(own=OWN)), OWN * 3)


def test_nan_sends_nan_everywhere():
    """No coordinate is a number."""
    assert torch.isnan(NotANumber().update(view())).all()


def test_infinite_sends_infinity_everywhere():
    """Every coordinate is infinite."""
    assert torch.isposinf(Infinite().update(view())).all()


def test_denormals_are_positive_and_below_every_normal_number():
    """Each is above 0 and finite, and its square is 0 in float32."""
    sent = Denormals().update(view())
    assert sent.dtype == BASE.dtype
    assert bool(((sent > 0) & (sent < torch.finfo(torch.float32).tiny)).all())
    assert float((sent * sent).sum()) == 0
