"""Colluding kinds of a cast: each is one of the collusive attacks, of the strength that the cast says."""

import pytest
import torch

from clients import colluders
from clients.attacks import ATTACKS, InnerProduct, LittleIsEnough, MeanFlip
from clients.cast import KINDS, behaviour
from tests.clients.views import OWN, view


def test_every_collusive_attack_is_a_kind_of_client():
    """Under its own name, and there are no others."""
    kinds = {kind for kind, cheat in KINDS.items() if issubclass(cheat, colluders.Colluder)}
    assert kinds == set(ATTACKS)


@pytest.mark.parametrize("name", ATTACKS)
def test_a_colluder_sends_what_its_attack_sends(name):
    """It asks for its attack, with the attack's defaults, and sends what comes back."""
    asked = []

    def collusion(attack):
        asked.append(attack)
        return OWN

    assert behaviour(name).update(view(collusion=collusion)) is OWN
    assert asked == [ATTACKS[name]()]


@pytest.mark.parametrize(
    ("role", "attack"),
    [
        ("mean_flip:3", MeanFlip(3.0)),
        ("ipm:100", InnerProduct(100.0)),
        ("alie:1.5", LittleIsEnough(1.5)),
        ("alie:0", LittleIsEnough(0.0)),
    ],
)
def test_a_strength_is_the_attacks(role, attack):
    """It is handed to the attack."""
    assert behaviour(role).attack() == attack


def test_the_collusion_is_deterministic_and_the_same_for_all():
    """Two colluders of a role ask for equal attacks."""
    one, two = behaviour("alie:1.5"), behaviour("alie:1.5")
    assert one.attack() == two.attack()
    honest = torch.stack([OWN, OWN * 2])
    assert torch.equal(*(found.attack().craft(honest, n_byzantine=2) for found in (one, two)))
