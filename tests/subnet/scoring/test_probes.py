"""Probes: who trained on its own improves them more than others', and nobody else does."""

from math import sqrt

import pytest
import torch

from clients.task import Examples
from clients.training import train
from subnet.assign import deal, hands
from subnet.scoring import geometry, probes
from subnet.scoring.history import History, PastRound
from subnet.scoring.probes import Measured, find, measure
from subnet.spec import ScoringSection
from tests.subnet.scoring.conftest import TRAINING

RULES = ScoringSection(probes=16)
NAMES = "abcde"


@pytest.fixture(scope="session")
def dealt(task):
    """Sixteen held-out samples each for five participants."""
    pool = task.validation_data()
    found = deal(round_number=1, nonce="ab" * 32, hotkeys=NAMES, pool=pool, history=History(), rules=RULES)
    return {name: hands(found, pool)[name] for name in NAMES}


@pytest.fixture(scope="session")
def with_probes(task, base, dealt):
    """`(5, n_params)` updates trained on two labels each and on one's own probes."""
    data = task.training_data()
    rows = []
    for index, name in enumerate(NAMES):
        shard = ((data.targets == 2 * index) | (data.targets == 2 * index + 1)).nonzero().flatten()
        draw = torch.Generator().manual_seed(index)
        rows.append(train(task, base, data.take(shard), TRAINING, draw=draw, probes=dealt[name]))
    return torch.stack(rows)


def measured(field, dealt):
    """As a round measures its field."""
    return measure(field, geometry.measure(field.updates, field.deltas), dealt)


def test_the_gain_is_the_loss_on_a_probe_to_first_order(make_field, with_probes, dealt, objective, base):
    """Own and others' improvement are those of a short step along the clipped update, measured by the loss itself."""
    clip = geometry.clip_factors(with_probes.double().norm(dim=1))
    found = measured(make_field(with_probes), dealt)
    step = 1e-3
    for row, name in enumerate(NAMES):
        moved = base + step * float(clip[row]) * with_probes[row]
        gains = objective.losses(base, list(dealt.values())) - objective.losses(moved, list(dealt.values()))
        gains = gains / step
        others = torch.cat([gains[:row], gains[row + 1 :]])
        assert found[name].own == pytest.approx(float(gains[row]), rel=0.02, abs=2e-3)
        assert found[name].others == pytest.approx(float(others.mean()), rel=0.02, abs=2e-3)


def test_z_is_the_prediction_interval_of_student():
    """Own 9 against 1, 2, 3, 6: mean 3, deviation sqrt(14 / 3), and one more observation of five."""
    found = probes._compare(torch.tensor([1.0, 2.0, 9.0, 3.0, 6.0]).double(), 2)
    assert (found.own, found.others) == (9.0, 3.0)
    assert found.z == pytest.approx(6 / sqrt(14 / 3 * 1.25))
    below = probes._compare(torch.tensor([1.0, 2.0, -3.0, 3.0, 6.0]).double(), 2)
    assert below.z == pytest.approx(-6 / sqrt(14 / 3 * 1.25))


def test_a_round_counts_for_at_most_its_limit():
    """However far the own probes are above or below the others'."""
    assert probes._compare(torch.tensor([1e6, 1.0, 2.0]).double(), 0).z == probes.ROUND_LIMIT
    assert probes._compare(torch.tensor([-1e6, 1.0, 2.0]).double(), 0).z == -probes.ROUND_LIMIT
    assert probes.ROUND_LIMIT / sqrt(RULES.probe_rounds) < RULES.probe_z < 2 * probes.ROUND_LIMIT / sqrt(5)


def test_no_spread_is_no_evidence():
    """Zeros improve nothing, and z is 0 rather than NaN."""
    assert probes._compare(torch.zeros(4).double(), 1).z == 0.0
    assert probes._compare(torch.tensor([5.0, 1.0, 1.0]).double(), 0).z == 0.0


def test_scaling_all_updates_changes_no_z(make_field, with_probes, dealt):
    """Nobody's size decides whether it trained: all eight times as long, or one of them."""
    first, longer = (measured(make_field(factor * with_probes), dealt) for factor in (1.0, 8.0))
    one = measured(make_field(torch.cat([8 * with_probes[:1], with_probes[1:]])), dealt)
    for name in NAMES:
        assert longer[name].z == pytest.approx(first[name].z, rel=1e-4)
        assert longer[name].own == pytest.approx(8 * first[name].own, rel=1e-4)
        assert one[name].z == pytest.approx(first[name].z, rel=1e-4)


def test_who_trained_on_its_probes_stands_out_and_who_didnt_doesnt(make_field, with_probes, trained, dealt):
    """Each improves its own further above others' than with the same data and without its probes."""
    of_trained, of_others = (measured(make_field(updates), dealt) for updates in (with_probes, trained))
    assert all(of_trained[name].z > of_others[name].z for name in NAMES)
    assert all(of_trained[name].own > of_others[name].own for name in NAMES)


def test_public_momentum_and_zeros_are_no_training(make_field, with_probes, dealt):
    """The last global delta again, however long, is 0 on all probes, and so is nothing at all."""
    momentum = with_probes.mean(0)
    updates = torch.stack([*with_probes[:3], 3 * momentum, torch.zeros_like(momentum)])
    found = measured(make_field(updates, deltas=momentum[None]), dealt)
    assert found["d"] == found["e"] == Measured(own=0.0, others=0.0, z=0.0)


def test_public_momentum_hides_no_training(make_field, with_probes, dealt):
    """Whoever adds the last global delta to its training keeps its z, as do all others."""
    momentum = with_probes.mean(0)
    riding = torch.cat([with_probes[:1] + 2 * momentum, with_probes[1:]])
    plain, rode = (measured(make_field(rows, deltas=momentum[None]), dealt) for rows in (with_probes, riding))
    for name in NAMES:
        assert rode[name].z == pytest.approx(plain[name].z, rel=1e-3)


def test_probes_of_those_who_sent_nothing_are_compared_with_too(make_field, with_probes, dealt):
    """Whose update is missing isn't measured, and its probes stay in everybody's comparison."""
    found = measured(make_field(with_probes[:3]), dealt)
    assert set(found) == set("abc")
    assert found["a"].z == pytest.approx(measured(make_field(with_probes), dealt)["a"].z, rel=1e-9)
    assert set(measured(make_field(with_probes), {name: dealt[name] for name in "abc"})) == set("abc")


def test_two_probe_sets_say_nothing(make_field, with_probes, dealt):
    """One other has no spread."""
    assert measured(make_field(with_probes), {name: dealt[name] for name in "ab"}) == {}
    assert measured(make_field(with_probes), {}) == {}


def test_a_gradient_that_explodes_says_nothing(make_field, with_probes, dealt):
    """Inputs of NaN make every comparison finite all the same."""
    broken = {name: Examples(inputs=hand.inputs * torch.nan, targets=hand.targets) for name, hand in dealt.items()}
    found = measured(make_field(with_probes), broken)
    assert all(one == Measured(own=0.0, others=0.0, z=0.0) for one in found.values())


def test_many_participants_are_measured_in_groups(make_field, with_probes, dealt, monkeypatch):
    """How many gradients are held at a time changes no number but its last bits."""
    first = measured(make_field(with_probes), dealt)
    monkeypatch.setattr(probes, "_GRADIENTS", 2)
    monkeypatch.setattr(probes, "_COLUMNS", 37)
    again = measured(make_field(with_probes), dealt)
    for name in NAMES:
        assert again[name].z == pytest.approx(first[name].z, rel=1e-9)


def past(*rounds):
    """A history of z's by hotkey."""
    return History(tuple(PastRound(credits={}, probe_z=one) for one in rounds))


def now(z):
    return {"a": Measured(own=0.0, others=0.0, z=z)}


def test_the_window_is_the_sum_over_the_root_of_the_number():
    """Four rounds of 1, .5, -1 and 2 and this one's 1.5: 4 over the root of 5."""
    found = find(now(1.5), past({"a": 1.0}, {"a": 0.5}, {"a": -1.0}, {"a": 2.0}), RULES)["a"]
    assert found.window == pytest.approx(4 / sqrt(5))
    assert (found.n_rounds, found.limit, found.not_training) == (5, 1.65, False)


def test_only_the_last_rounds_with_probes_count():
    """Rounds without a z are passed over, and those before the window forgotten."""
    history = past({"a": 3.0}, {"a": 0.0}, {}, {"b": 9.0}, {"a": 0.0}, {"a": 0.0}, {}, {"a": 0.0})
    found = find(now(1.0), history, RULES)["a"]
    assert found.window == pytest.approx(1 / sqrt(5))
    assert found.not_training


@pytest.mark.parametrize("n_before", [0, 1, 3])
def test_before_the_window_is_full_there_is_grace(n_before):
    """Whatever its z, a newcomer isn't said not to train."""
    found = find(now(-3.0), past(*[{"a": -3.0}] * n_before), RULES)["a"]
    assert not found.not_training
    assert found.n_rounds == n_before + 1


def test_the_limit_must_be_exceeded():
    """A window that is just at it isn't enough."""
    rules = RULES.model_copy(update={"probe_rounds": 4, "probe_z": 1.5})
    at = find(now(0.0), past({"a": 1.0}, {"a": 1.0}, {"a": 1.0}), rules)["a"]
    assert (at.window, at.not_training) == (1.5, True)
    above = find(now(0.01), past({"a": 1.0}, {"a": 1.0}, {"a": 1.0}), rules)["a"]
    assert not above.not_training
