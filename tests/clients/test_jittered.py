"""Colluders under noise of their own: as alike as they mean to be, to each other and to the honest, and no more."""

import doctest

import pytest
import torch

from clients import jittered
from clients.app import Simulation
from clients.attacks import ATTACKS
from clients.behaviour import View
from clients.cast import KINDS, behaviour
from clients.errors import CastError
from clients.jittered import MARGIN, Jittered
from clients.settings import TrainingSettings

N_PARAMS = 20_000
DRAW = torch.Generator().manual_seed(1)
COMMON = torch.randn(N_PARAMS, generator=DRAW)
HONEST = 0.5 * COMMON + torch.randn(9, N_PARAMS, generator=DRAW)
PUBLIC = [0.8 * COMMON + torch.randn(N_PARAMS, generator=DRAW), torch.randn(N_PARAMS, generator=DRAW)]
NAMES = ("jittered_alie", "jittered_ipm", "jittered_mimic")
STEADY = ("steady_alie", "steady_mimic")


def sent(role, identity, *, floor=0.65, public=PUBLIC, number=3):
    """What one colluder of a role sends."""
    seen = View(
        round=number,
        deadline_s=1,
        base=torch.zeros(N_PARAMS),
        identity=identity,
        global_deltas=lambda n: public[:n],
        collusion=lambda attack: attack.craft(HONEST, n_byzantine=4)[0],
        honest_updates=lambda: HONEST,
        copy_floor=lambda: floor,
    )
    return behaviour(role).update(seen)


def novel(updates, public=PUBLIC):
    """Off the span of the public deltas, by least squares."""
    span = torch.stack(public).double().T
    return updates.double() - (span @ torch.linalg.lstsq(span, updates.double().T).solution).T


def cosines(updates):
    unit = updates / updates.norm(dim=1, keepdim=True)
    return unit @ unit.T


def test_the_documented_values_hold():
    """The module's doctest runs and passes."""
    result = doctest.testmod(jittered)
    assert result.attempted == 1
    assert result.failed == 0


def test_each_is_a_kind_beside_the_attack_that_it_jitters():
    """All kinds, each of an attack that colluders without noise have too."""
    assert {kind for kind, cheat in KINDS.items() if issubclass(cheat, Jittered)} == {*NAMES, *STEADY}
    assert [type(behaviour(name).attack()) for name in STEADY] == [ATTACKS[name] for name in ("alie", "mimic")]
    assert [type(behaviour(name).attack()) for name in NAMES] == [ATTACKS[name] for name in ("alie", "ipm", "mimic")]


@pytest.mark.parametrize("name", [*NAMES, *STEADY])
@pytest.mark.parametrize("floor", [0.5, 0.65, 0.9])
def test_no_two_are_alike_beyond_the_floor(name, floor):
    """The novel parts of two colluders, and of one and an honest one, stay below it; the closest pair only just."""
    rows = novel(torch.cat([torch.stack([sent(name, str(one), floor=floor) for one in range(4)]), HONEST]))
    pairs = cosines(rows)
    own = pairs[:4, :4][torch.tril_indices(4, 4, -1).unbind()]
    closest = max(float(own.max()), float(pairs[:4, 4:].max()))
    assert closest < floor
    assert closest == pytest.approx(floor - MARGIN, abs=0.02)


def test_a_strength_is_the_cosine_of_two():
    """What the cast says goes before the spec; at 1 there is no noise, and 0 is bounded."""
    for wanted in (0.3, 0.8):
        pair = novel(torch.stack([sent(f"jittered_ipm:{wanted}", one) for one in "ab"]))
        assert float(cosines(pair)[0, 1]) == pytest.approx(wanted, abs=0.02)
    plain = ATTACKS["ipm"]().craft(HONEST, n_byzantine=4)[0]
    torch.testing.assert_close(sent("jittered_ipm:1", "a"), plain)
    assert torch.isfinite(sent("jittered_ipm:0", "a")).all()


def test_the_noise_is_ones_own_and_repeats():
    """Another identity or round is other noise; the same again is the same, on whichever engine."""
    one = sent("jittered_alie", "a")
    assert torch.equal(one, sent("jittered_alie", "a"))
    assert not torch.equal(one, sent("jittered_alie", "b"))
    assert not torch.equal(one, sent("jittered_alie", "a", number=4))


def test_steady_noise_is_ones_own_and_the_same_in_every_round():
    """Against the rule on a participant's course: one's updates of two rounds are alike, two colluders' are not."""
    one = sent("steady_mimic", "a")
    torch.testing.assert_close(one, sent("steady_mimic", "a", number=4))
    assert not torch.equal(one, sent("steady_mimic", "b"))


@pytest.mark.parametrize("name", NAMES)
def test_it_works_in_the_first_round_and_on_nothing(name):
    """Without a public delta everything is novel; what lies in the public span whole needs no noise."""
    pair = torch.stack([sent(name, one, public=[]) for one in "ab"])
    assert float(cosines(pair.double())[0, 1]) < 0.65
    assert jittered.noise_scale(PUBLIC[0], HONEST, PUBLIC, cosine=0.5) == pytest.approx(0.0, abs=1e-4)
    assert jittered.noise_scale(torch.zeros(N_PARAMS), HONEST, PUBLIC, cosine=0.5) == 0.0
    assert jittered.noise_scale(COMMON, HONEST[:0], [], cosine=0.5) == pytest.approx(float(COMMON.norm()), rel=1e-6)


def test_without_a_rule_it_says_so(app_dir, tmp_path):
    """A field that was made without its subnet's rules names the remedy."""
    field = Simulation(
        app_dir=app_dir,
        task="toy_task:Toy",
        subnet="5" * 64,
        settings=TrainingSettings(),
        roles=("honest", "jittered_alie"),
        partition="iid",
        n_small=0,
        small_share=0.1,
        seed=3,
        models=tmp_path,
    )
    with pytest.raises(CastError, match="copy rule"):
        field.participant(1).leaks.copy_floor()
