"""The rule that colluders search against is the subnet's, but for what they can't know."""

import pytest
import torch

import strategies
from clients.seeds import generator
from clients.task import Examples
from clients.training import train
from strategies import Evidence
from subnet.engine.collusion import SubnetRule
from subnet.engine.simulate import Scenario


@pytest.fixture
def own(task):
    """The colluders' own data."""
    return task.training_data().take(torch.arange(200))


@pytest.fixture
def updates(task, base, own, make_spec):
    """Six honest updates `(6, n_params)`."""
    settings = make_spec().training.settings()
    shards = [own.take(torch.arange(index, 200, 6)) for index in range(6)]
    return torch.stack(
        [train(task, base, shard, settings, draw=generator("test", index)) for index, shard in enumerate(shards)]
    )


@pytest.fixture
def rule_of(make_spec, app_dir, base, own):
    """Makes the rule of a strategy as colluders know it."""

    def made(strategy, deltas=(), examples=own, number=3):
        spec = make_spec(strategy={"name": strategy})
        return SubnetRule(app_dir=app_dir, spec=spec)(round_number=number, base=base, deltas=list(deltas), own=examples)

    return made


def clipped_mean(updates):
    """What the rule `norm_clipping` makes of updates that nobody has gated."""
    return strategies.create("norm_clipping").aggregate(updates).update


@pytest.mark.parametrize("name", ["median", "norm_clipping", "krum"])
def test_it_is_the_subnets_rule(rule_of, updates, name):
    """A rule that reads no evidence gives what it gives anywhere, to float64 updates too, and changes none."""
    kept = updates.clone()
    found = rule_of(name)(updates.double())
    assert torch.equal(found, strategies.create(name).aggregate(updates).update)
    assert torch.equal(updates, kept)


def test_colluders_know_that_equal_updates_count_once(rule_of, updates):
    """The copy rule takes their many identical rows for one."""
    many = torch.cat([updates, -updates[:1].expand(3, -1)])
    assert torch.equal(rule_of("norm_clipping")(many), clipped_mean(many[:7]))


def test_colluders_know_the_gate(rule_of, updates):
    """A replay of public deltas is out."""
    old = torch.linspace(-1, 1, updates.shape[1])
    found = rule_of("norm_clipping", [old])(torch.cat([updates, old[None]]))
    assert torch.equal(found, clipped_mean(updates))


def test_credit_is_taken_on_their_own_data(rule_of, updates, own):
    """The credit-gated default drops what does harm there; with labels turned round it drops others."""
    everything = torch.cat([updates, -5 * updates[:2].mean(0, keepdim=True)])
    turned = Examples(inputs=own.inputs, targets=9 - own.targets)
    plain, misled = (rule_of("credit_gated", examples=data)(everything) for data in (own, turned))
    assert float(torch.cosine_similarity(plain, updates.mean(0), dim=0)) > 0.8
    assert not torch.equal(plain, misled)
    assert torch.equal(rule_of("credit_gated")(everything), plain)


def test_a_rule_with_a_trusted_update_gets_one_of_their_own(rule_of, updates, base, task, own, make_spec):
    """Trained on their own examples, in an order that the round fixes."""
    order = torch.randperm(len(own), generator=generator("collusion", 3))
    settings = make_spec().training.settings()
    root = train(task, base, own.take(order), settings, draw=generator("collusion-root", 3))
    expected = strategies.create("fltrust").aggregate(updates, evidence=Evidence(root=root)).update
    torch.testing.assert_close(rule_of("fltrust")(updates), expected)


def test_a_field_that_is_all_gated_moves_nothing(rule_of, updates):
    """The base model stays, so the update is zeros."""
    assert not bool(rule_of("norm_clipping")(torch.zeros_like(updates)).any())


def test_few_examples_are_enough(rule_of, updates, own):
    """With fewer examples than batches each batch has one."""
    found = rule_of("credit_gated", examples=own.take(torch.arange(3)))(updates)
    assert bool(found.isfinite().all())


def test_a_simulation_hands_it_to_its_colluders(make_spec, app_dir, tmp_path):
    """With the scenario's own spec."""
    spec = make_spec()
    scenario = Scenario(spec=spec, app_dir=app_dir, cast="honest=2", partition="iid", seed=0, n_rounds=1)
    assert scenario.participants(tmp_path).rule_of == SubnetRule(app_dir=app_dir, spec=spec)
