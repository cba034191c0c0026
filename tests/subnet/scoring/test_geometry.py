"""Norms, public knowledge and cosines, against slow and obvious versions."""

import doctest

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from subnet.scoring import geometry
from subnet.scoring.geometry import (
    clip_factors,
    dot_products,
    dot_rows,
    measure,
    median_absolute_deviation,
    midpoint_median,
    orthonormal,
)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def wide(values):
    return torch.tensor(values, dtype=torch.float64)


NORMS = st.lists(st.one_of(st.just(0.0), st.floats(1e-6, 1e6)), min_size=1, max_size=12)


def test_the_documented_values_hold():
    """The module's doctests run and pass."""
    result = doctest.testmod(geometry)
    assert result.attempted >= 1
    assert result.failed == 0


@given(norms=NORMS)
def test_clipping_goes_down_to_the_median_and_never_up(norms):
    """Factors are in (0, 1], clipped norms never exceed the median of the non-zero ones, and smaller ones stay."""
    values = wide(norms)
    factors = clip_factors(values)
    positive = sorted(norm for norm in norms if norm > 0)
    assert ((factors > 0) & (factors <= 1)).all()
    if positive:
        middle = (positive[(len(positive) - 1) // 2] + positive[len(positive) // 2]) / 2
        assert float((factors * values).max()) <= middle * (1 + 1e-12)
        assert torch.equal(
            factors[values <= middle * (1 - 1e-12)], torch.ones(int((values <= middle * (1 - 1e-12)).sum())).double()
        )
    else:
        assert torch.equal(factors, torch.ones_like(values))


def test_zero_updates_dont_lower_the_median():
    """Half the field sending zeros doesn't clip the other half to nothing."""
    assert clip_factors(wide([0, 0, 0, 2, 4])).tolist() == pytest.approx([1, 1, 1, 1, 0.75])


@pytest.mark.parametrize(("values", "middle"), [([5], 5), ([1, 9], 5), ([3, 1, 2], 2), ([1, 2, 3, 10], 2.5)])
def test_the_median_of_an_even_number_is_the_midpoint(values, middle):
    """As statistics.median has it."""
    assert float(midpoint_median(wide(values))) == middle


def test_the_median_absolute_deviation():
    """The median distance to the median, by hand."""
    assert float(median_absolute_deviation(wide([1, 2, 3, 10]))) == 1.0


@pytest.mark.parametrize("k", [0, 1, 3])
def test_the_basis_is_orthonormal_and_spans_the_deltas(k):
    """Directions have length 1 and are perpendicular; every delta is their combination."""
    deltas = randn(k, 200)
    basis = orthonormal(deltas)
    assert basis.shape == (k, 200)
    torch.testing.assert_close(basis @ basis.T, torch.eye(k, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close((deltas.double() @ basis.T) @ basis, deltas.double(), atol=1e-10, rtol=0)


def test_directions_that_add_nothing_are_dropped():
    """Zeros, multiples and combinations of earlier deltas give no direction of their own."""
    first, second = randn(2, 100)
    basis = orthonormal(torch.stack([first, torch.zeros(100), 3 * first, second, first - 2 * second]))
    assert basis.shape == (2, 100)


def test_nearly_parallel_deltas_still_give_an_orthonormal_basis():
    """One pass of Gram-Schmidt loses orthogonality here; two don't."""
    first = randn(1000)
    basis = orthonormal(torch.stack([first, first + 1e-4 * randn(1000, seed=1), first + 1e-4 * randn(1000, seed=2)]))
    torch.testing.assert_close(basis @ basis.T, torch.eye(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_novelty_is_what_public_knowledge_doesnt_explain():
    """0 for a replay or a mix of replays, 1 for something perpendicular, 0 for nothing at all, sin(angle) between."""
    deltas = randn(2, 300)
    basis = orthonormal(deltas)
    fresh = randn(300, seed=1).double()
    fresh -= (fresh @ basis.T) @ basis
    fresh /= fresh.norm()
    updates = torch.stack(
        [deltas[0].double(), 3 * deltas[0] - 2 * deltas[1], fresh, torch.zeros(300), 3 * basis[0] + 4 * fresh]
    ).float()
    novelty = measure(updates, deltas).novelty
    # the square root of float64's rounding, where everything cancels
    torch.testing.assert_close(novelty, wide([0, 0, 1, 0, 0.8]), atol=1e-6, rtol=0)
    assert ((novelty >= 0) & (novelty <= 1)).all()


def test_everything_is_novel_in_the_first_round():
    """With no public delta every update but zero is its own."""
    assert measure(torch.stack([randn(50), torch.zeros(50)]), torch.zeros(0, 50)).novelty.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("columns", [7, 64, 1 << 16])
def test_measures_are_those_of_a_slow_oracle_in_blocks_of_any_size(monkeypatch, columns):
    """Norms, novelty and cosines of the novel parts, computed vector by vector from explicit projections."""
    monkeypatch.setattr(geometry, "_COLUMNS", columns)
    updates, deltas = randn(6, 150) * torch.tensor([0.01, 1, 1, 5, 100, 1])[:, None], randn(3, 150, seed=1)
    updates[5] = 0
    shape = measure(updates, deltas)
    projector = torch.linalg.pinv(deltas.double()) @ deltas.double()
    rests = [row.double() - row.double() @ projector for row in updates]
    for i in range(6):
        norm = float(updates[i].double().norm())
        assert float(shape.norms[i]) == pytest.approx(norm, rel=1e-12)
        assert float(shape.novelty[i]) == pytest.approx(float(rests[i].norm()) / norm if norm else 0.0, abs=1e-9)
        for j in range(6):
            scale = float(rests[i].norm() * rests[j].norm())
            expected = float(rests[i] @ rests[j]) / scale if scale else 0.0
            assert float(shape.cosines[i, j]) == pytest.approx(expected, abs=1e-9)
    torch.testing.assert_close(shape.shadow @ shape.public, updates.double() @ projector, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("columns", [7, 1 << 16])
def test_dot_products_are_exact_to_float64(monkeypatch, columns):
    """Blocks of any size give the plain dot products."""
    monkeypatch.setattr(geometry, "_COLUMNS", columns)
    updates, direction = randn(4, 100), randn(100, seed=1)
    expected = [sum(float(a) * float(b) for a, b in zip(row, direction, strict=True)) for row in updates]
    assert dot_rows(updates, direction).tolist() == pytest.approx(expected, rel=1e-12)


def test_dot_products_with_many_directions_are_those_with_each(monkeypatch):
    """In blocks, and none for no row or no direction."""
    monkeypatch.setattr(geometry, "_COLUMNS", 7)
    updates, directions = randn(4, 100), randn(3, 100, seed=1).double()
    expected = torch.stack([dot_rows(updates, direction) for direction in directions], dim=1)
    torch.testing.assert_close(dot_products(updates, directions), expected, rtol=1e-12, atol=1e-12)
    assert dot_products(updates[:0], directions).shape == (0, 3)
    assert dot_products(updates, directions[:0]).shape == (4, 0)


def test_the_bits_are_the_same_on_any_number_of_threads():
    """Money follows from these numbers: sums may not depend on how many processors a validator has."""
    updates, deltas = randn(30, 50_000), randn(3, 50_000, seed=1)
    found = []
    before = torch.get_num_threads()
    try:
        for n_threads in (1, 2, 3):
            torch.set_num_threads(n_threads)
            shape = measure(updates, deltas)
            found.append([shape.gram, shape.public, shape.shadow, shape.cosines, dot_products(updates, shape.public)])
    finally:
        torch.set_num_threads(before)
    for others in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], others, strict=True))
