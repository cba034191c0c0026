"""The contract: what every rule gets from the base classes, and what a new rule has to bring."""

import itertools
from typing import ClassVar

import pytest
import torch

import strategies
from strategies import Evidence, Updates
from strategies.aggregation import Call, Combined
from strategies.base import Aggregator, Gram
from strategies.errors import EvidenceError, SettingsError, UpdatesError
from strategies.networks import selection_network


def gram_of(updates, n_byzantine=0):
    rows = Updates.of(updates)
    return Gram.of(rows, Call(n_clients=rows.n, n_byzantine=n_byzantine, evidence=Evidence()))


@pytest.fixture
def weights_not_deltas():
    """Whole weights of std .05 with updates of std 1e-4 on them: what drowns an uncentred Gram matrix."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(200_000, generator=generator) * 0.05
    scales = 1 + torch.arange(12)[:, None] / 50
    return base + torch.randn(12, 200_000, generator=generator) * 1e-4 * scales.roll(5, 0)


def test_squared_distances_of_weights_are_precise(weights_not_deltas):
    """Relative error under 1e-6 where uncentred float32 is off by a third."""
    wide = weights_not_deltas.double()
    exact = torch.stack([(wide - row).square().sum(dim=1) for row in wide])
    found = gram_of(weights_not_deltas).distances
    apart = ~torch.eye(12, dtype=torch.bool)
    assert float((found - exact)[apart].abs().div(exact[apart]).max()) < 1e-6
    assert torch.equal(found, found.T)
    assert found.diagonal().abs().max() == 0


def test_krum_picks_the_right_client_among_weights(weights_not_deltas):
    """The choice is the float64 oracle's."""
    wide = weights_not_deltas.double()
    exact = torch.stack([(wide - row).square().sum(dim=1) for row in wide])
    best = int(exact.sort(dim=1).values[:, 1:9].sum(dim=1).argmin())
    result = strategies.create("krum", n_byzantine=2).aggregate(weights_not_deltas)
    assert result.influence.argmax() == best
    assert torch.equal(result.update, weights_not_deltas[best])


@pytest.mark.parametrize("huge", [1e30, 1e-20])
def test_distances_beyond_float32(huge):
    """Rows whose squares don't fit float32 are measured in float64."""
    updates = torch.tensor([[3.0, 0.0], [0.0, 4.0], [0.0, 0.0]]) * huge
    expected = torch.tensor([[0.0, 25.0, 9.0], [25.0, 0.0, 16.0], [9.0, 16.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(gram_of(updates).distances / huge**2, expected, rtol=1e-5, atol=0)


def test_ties_go_to_the_smaller_hotkey_or_else_the_earlier_row():
    """Three equally good clients: who is Krum's doesn't depend on who answered first."""
    updates = torch.tensor([[1.0], [2.0], [3.0]])
    rule = strategies.create("krum", n_byzantine=1, neighbours="n-f-1")
    assert rule.aggregate(updates).influence.argmax() == 0
    assert rule.aggregate(updates, evidence=Evidence(hotkeys=("c", "b", "a"))).influence.argmax() == 2


@pytest.mark.parametrize("n", range(1, 8))
def test_selection_network_by_the_zero_one_principle(n):
    """Every input of zeros and ones comes out split at every pair of ranks, so every input does (Knuth, 5.3.4 Z)."""
    for low in range(n):
        for high in range(n - low):
            for bits in itertools.product((0, 1), repeat=n):
                wires = list(bits)
                for i, j, smaller, larger in selection_network(n, low, high):
                    pair = min(wires[i], wires[j]), max(wires[i], wires[j])
                    wires[i] = pair[0] if smaller else None
                    wires[j] = pair[1] if larger else None
                assert sorted(wires[low : n - high]) == sorted(bits)[low : n - high]


def test_a_rule_of_its_own():
    """What fits neither kind implements `combine`; quarantine and numbering are the base class's."""

    class First(Aggregator):
        name: ClassVar[str] = "first"
        summary: ClassVar[str] = "the first usable update"
        source: ClassVar[str] = "here"

        def combine(self, updates, call):
            assert call.n_clients == 3
            influence = torch.zeros(updates.n, dtype=torch.float64)
            influence[0] = 1
            return Combined(update=updates.row(0), influence=influence, rejected={1: "not the first"})

    result = First().aggregate(torch.tensor([[torch.nan], [2.0], [3.0]]))
    assert result.update.tolist() == [2]
    assert result.influence.tolist() == [0, 1, 0]
    assert result.rejected == {0: "non-finite update", 2: "not the first"}
    assert result.diagnostics["norm"].isnan().tolist() == [True, False, False]


@pytest.mark.parametrize("name", strategies.names())
def test_gated_updates_are_out_of_every_rule(name):
    """Whatever the rule, a gated update has no influence, says so, and the rest give what they give alone."""
    updates = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    gated = torch.tensor([False, True, False, False, False, True])
    credit, z = torch.arange(6.0), torch.ones(6)
    evidence = Evidence(credit=credit, z=z, gated=gated, root=torch.ones(5))
    result = strategies.create(name).aggregate(updates, evidence=evidence)
    assert result.influence[gated].tolist() == [0.0, 0.0]
    assert {row for row, reason in result.rejected.items() if reason.startswith("gated")} == {1, 5}
    moved = updates.clone()
    moved[gated] = 1e6
    again = strategies.create(name).aggregate(moved, evidence=evidence)
    assert torch.equal(result.update, again.update)


@pytest.mark.parametrize("claims", [[1, -1], [0, 0], [float("inf"), 1.0], [float("nan"), 1.0]])
def test_fedavg_refuses_impossible_claims(claims):
    """A negative, infinite or empty claim is an error, never a captured or inverted model."""
    evidence = Evidence(n_examples=torch.tensor(claims))
    with pytest.raises(EvidenceError, match="numbers of examples"):
        strategies.create("fedavg").aggregate(torch.ones(2, 3), evidence=evidence)


def test_no_finite_update():
    """Nothing to aggregate is an error, never a NaN model."""
    with pytest.raises(UpdatesError, match="none of the 2 updates can be used: 2 aren't finite"):
        strategies.create("mean").aggregate(torch.full((2, 3), torch.nan))


def test_evidence_has_to_fit():
    """Lengths and hotkeys are checked before anything is computed."""
    with pytest.raises(EvidenceError, match="3 clients for 2 updates"):
        strategies.create("mean").aggregate(torch.ones(2, 1), evidence=Evidence(credit=torch.ones(3)))
    with pytest.raises(EvidenceError, match="different lengths"):
        Evidence(credit=torch.ones(3), z=torch.ones(2))
    with pytest.raises(EvidenceError, match="'a' is there twice"):
        Evidence(hotkeys=("a", "b", "a"))


def test_settings_of_another_rule_are_refused():
    """A rule takes its own settings class only."""
    with pytest.raises(SettingsError, match="krum got settings"):
        type(strategies.create("krum"))(strategies.create("median").settings)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", strategies.names())
@pytest.mark.parametrize("n", [5, 40])
def test_output_dtype(name, dtype, n):
    """float64 for float64, float32 for all others."""
    updates = torch.linspace(-1, 1, 3 * n).view(n, 3).to(dtype)
    evidence = Evidence(credit=torch.ones(n), z=torch.ones(n), root=torch.ones(3, dtype=dtype))
    found = strategies.create(name).aggregate(updates, evidence=evidence).update.dtype
    assert found == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_dont_depend_on_the_threads(dtype):
    """Krum's scores have the same bits on one thread and two, at a size where BLAS splits the product."""
    updates = torch.randn(20, 6_528, generator=torch.Generator().manual_seed(0)).to(dtype)
    before, scores = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            scores.append(strategies.create("krum").aggregate(updates).diagnostics["krum_score"])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(scores[0], scores[1])
