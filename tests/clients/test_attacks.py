"""Collusive attacks: published libraries' values, slow oracles, and what each attack promises."""

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import strategies
from clients.attacks import (
    ATTACKS,
    STRENGTHS,
    InnerProduct,
    LittleIsEnough,
    MeanFlip,
    Mimic,
    MinMax,
    MinSum,
    Optimised,
    largest_z,
)
from clients.errors import CastError

OTHER_FILE = os.environ.get("SUBNET_AGGREGATION_VECTORS")
PATH = Path(OTHER_FILE or Path(__file__).parents[1] / "vectors" / "aggregation.json")
VECTORS = json.loads(PATH.read_text())
CASES = [case for case in VECTORS["cases"] if case["kind"] == "attack"]


def attack_of(case):
    """The case's attack in its peer's convention, and how many colluders there are."""
    params, n_byzantine = case["params"], case["params"].get("f", 1)
    if case["rule"] == "sign_flip":
        return MeanFlip(params.get("scale", 1.0)), n_byzantine
    if case["rule"] == "ipm":
        return InnerProduct(params["tau"] if "tau" in params else -params["scale"]), n_byzantine
    if case["rule"] == "mimic":
        return Mimic(params["epsilon"]), n_byzantine
    assert case["rule"] == "alie"
    z = params.get("tau", params.get("z"))
    chosen = None if z in {None, "max"} else z
    return LittleIsEnough(chosen, params["ddof"], {"+": 1, "-": -1}[params["sign"]]), n_byzantine


@pytest.mark.parametrize("case", CASES, ids=[f"{case['rule']}-{case['id']}" for case in CASES])
def test_published_case(case):
    """What is sent lies within the case's tolerance of what the library sends."""
    honest = torch.tensor(VECTORS["inputs"][case["input"]], dtype=torch.float64)
    attack, n_byzantine = attack_of(case)
    sent = attack.craft(honest, n_byzantine=n_byzantine)
    assert sent.shape == (n_byzantine, honest.shape[1])
    expected = torch.tensor(case["expected"], dtype=torch.float64)
    torch.testing.assert_close(sent[0], expected, rtol=0, atol=case["tol"])


def test_every_attack_has_cases():
    """No attack passes for want of published cases, of those that are published with the project."""
    assert OTHER_FILE or {case["rule"] for case in CASES} == {"sign_flip", "ipm", "alie", "mimic"}


def field(n_honest=9, n_params=30, seed=0):
    """Honest updates around a common direction."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(n_params, generator=draw, dtype=torch.float64)
    return common + 0.5 * torch.randn(n_honest, n_params, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
@given(seed=st.integers(0, 50), n_honest=st.integers(2, 9))
def test_min_max_goes_exactly_as_far_as_two_honest_are_apart(direction, seed, n_honest):
    """Its largest distance to an honest update is the largest between two honest ones, and not short of it."""
    honest = field(n_honest, seed=seed)
    [sent] = MinMax(direction).craft(honest, n_byzantine=1)
    apart = torch.cdist(honest, honest).max()
    reached = (honest - sent).norm(dim=1).max()
    assert float(reached) == pytest.approx(float(apart), rel=1e-9)


@pytest.mark.parametrize("direction", ["std", "unit", "sign"])
@given(seed=st.integers(0, 50), n_honest=st.integers(2, 9))
def test_min_sum_goes_exactly_as_far_as_the_worst_honest_sum(direction, seed, n_honest):
    """Its squared distances sum to the largest sum that an honest update has, and not short of it."""
    honest = field(n_honest, seed=seed)
    [sent] = MinSum(direction).craft(honest, n_byzantine=1)
    worst = (torch.cdist(honest, honest) ** 2).sum(1).max()
    assert float(((honest - sent) ** 2).sum()) == pytest.approx(float(worst), rel=1e-9)


@pytest.mark.parametrize("name", [name for name, attack in ATTACKS.items() if issubclass(attack, Optimised)])
@pytest.mark.parametrize("rule_name", ["mean", "median", "trimmed_mean", "krum"])
def test_the_optimised_form_is_the_worst_of_all_its_strengths(name, rule_name):
    """No strength on its list moves the validator's rule farther than what it sends."""
    honest, attack = field(), ATTACKS[name]()
    rule = strategies.create(rule_name)

    def harm(sent):
        everything = torch.cat([honest, sent.expand(3, -1)])
        return float((rule.aggregate(everything).update - honest.mean(0)).norm())

    sent = attack.craft(honest, n_byzantine=3, rule=lambda updates: rule.aggregate(updates).update)
    assert harm(sent[0]) == pytest.approx(max(harm(attack.at(honest, strength)) for strength in STRENGTHS))


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_is_finite_repeatable_and_leaves_its_input_alone(name):
    """Float32 in, float32 out, the same twice, for one honest client as for many, identical ones included."""
    rule = strategies.create("median")
    for honest in (field().float(), field(1).float(), torch.ones(4, 5), torch.zeros(3, 5)):
        before = honest.clone()
        options = {"n_byzantine": 2, "rule": lambda updates: rule.aggregate(updates).update}
        sent, again = (ATTACKS[name]().craft(honest, **options) for _ in range(2))
        assert sent.dtype == torch.float32
        assert sent.shape == (2, honest.shape[1])
        assert bool(torch.isfinite(sent).all())
        assert torch.equal(sent, again)
        assert torch.equal(honest, before)


@given(n_honest=st.integers(1, 60), n_byzantine=st.integers(1, 60))
def test_alie_shifts_less_the_more_supporters_it_needs(n_honest, n_byzantine):
    """The shift is 0 where colluders are a majority, never negative below half, and grows with the colluders."""
    z = largest_z(n_honest, n_byzantine)
    if n_byzantine >= (n_honest + n_byzantine) // 2 + 1:
        assert z == 0.0
    elif n_byzantine > 1:
        smaller = largest_z(n_honest + 1, n_byzantine - 1)
        assert z >= smaller


@pytest.mark.parametrize(
    ("attack", "honest", "n_byzantine", "said"),
    [
        (MeanFlip(), torch.zeros(0, 3), 1, "can't attack"),
        (MeanFlip(), torch.zeros(3), 1, "can't attack"),
        (MeanFlip(), torch.zeros(2, 3), 0, "0 colluders"),
        (Mimic(5), torch.zeros(2, 3), 1, "victim 5 isn't one of 2"),
        (ATTACKS["optimised_ipm"](), torch.zeros(2, 3), 1, "none was given"),
    ],
)
def test_what_cant_be_attacked_is_said_in_words(attack, honest, n_byzantine, said):
    """An impossible field is a CastError that names it."""
    with pytest.raises(CastError, match=said):
        attack.craft(honest, n_byzantine=n_byzantine)
