"""Outlier checks against slow versions of the papers' definitions."""

import doctest

import numpy as np
import pytest
import torch

from subnet.scoring import geometry, outliers
from subnet.scoring.history import History
from subnet.scoring.path_credit import PathCredit
from subnet.spec import ScoringSection


@pytest.fixture
def field(make_field, trained):
    """Five honest updates, one reversed and large, and zeros."""
    return make_field(torch.cat([trained, -5 * trained[:1], torch.zeros(1, trained.shape[1])]))


@pytest.fixture
def found(field):
    return {name: values.tolist() for name, values in outliers.check(field, shape(field)).items()}


def shape(field):
    return geometry.measure(field.updates, field.deltas)


def rows(field):
    return field.updates.double().numpy()


def robust_z(values):
    deviation = np.median(np.abs(values - np.median(values)))
    return (values - np.median(values)) / (1.4826 * deviation)


def test_the_documented_values_hold():
    """The module's doctests run and pass."""
    result = doctest.testmod(outliers)
    assert result.attempted >= 1
    assert result.failed == 0


def test_the_distribution_is_numpys_over_the_whole_field(field):
    """Extremes, quartiles and median of every check are those of an independent implementation, to four digits."""
    checks = outliers.check(field, shape(field))
    told = outliers.distribution(checks)
    assert list(told) == list(checks)
    for name, values in checks.items():
        expected = np.percentile(values.numpy(), [0, 25, 50, 75, 100])
        assert told[name] == pytest.approx(list(expected), rel=1e-3, abs=1e-12)
        assert told[name] == sorted(told[name])
        assert all(number == float(f"{number:.4g}") for number in told[name])


def test_a_field_of_one_is_its_own_distribution(make_field, trained):
    """All five numbers are the one update's."""
    field = make_field(trained[:1])
    assert outliers.distribution(outliers.check(field, shape(field)))["norm_ratio"] == [1.0] * 5


def test_there_are_five_checks(found):
    """Each of the documented checks has a number for everyone."""
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(
        ["norm_ratio", "centre_distance_z", "neighbour_distance_z", "spectral", "gradient_cosine"], 7
    )


def test_the_norm_ratio_is_over_the_median_of_those_who_moved(field, found):
    """Zeros don't lower the median, and have ratio 0."""
    sizes = np.linalg.norm(rows(field), axis=1)
    assert found["norm_ratio"] == pytest.approx(list(sizes / np.median(sizes[sizes > 0])), rel=1e-9)


def test_the_centre_is_the_coordinatewise_median(field, found):
    """Distance to numpy's median of each coordinate, as a robust z."""
    distance = np.linalg.norm(rows(field) - np.median(rows(field), axis=0), axis=1)
    assert found["centre_distance_z"] == pytest.approx(list(robust_z(distance)), rel=1e-5, abs=1e-5)


def test_the_neighbour_distance_is_krums_score(field, found):
    """Sum of squared distances to the n - f - 2 nearest others, f = floor(.3 n), as a robust z."""
    n, table = 7, rows(field)
    nearest = n - 2 - 2
    scores = np.array(
        [sum(sorted(((table[i] - table[j]) ** 2).sum() for j in range(n) if j != i)[:nearest]) for i in range(n)]
    )
    assert found["neighbour_distance_z"] == pytest.approx(list(robust_z(scores)), rel=1e-6, abs=1e-6)


def test_the_spectral_score_is_the_energy_in_the_first_principal_direction(field, found):
    """Squared projection of the centred update on the first right singular vector, over the median one."""
    centred = rows(field) - rows(field).mean(axis=0)
    energy = (centred @ np.linalg.svd(centred)[2][0]) ** 2
    assert found["spectral"] == pytest.approx(list(energy / np.median(energy)), rel=1e-5, abs=1e-8)
    assert np.argmax(found["spectral"]) == 5


def test_the_gradient_cosine_is_that_with_the_descent_direction(field, found, task, layout):
    """Cosine with minus the mean gradient of the batches at the base; 0 for zeros, opposite for opposites."""
    model = task.model()
    layout.write(model, field.base)
    descent = -sum(layout.gradient(model, task.loss(model, batch)) for batch in field.batches) / len(field.batches)
    expected = [float(torch.cosine_similarity(row, descent, dim=0)) for row in field.updates]
    assert found["gradient_cosine"] == pytest.approx(expected, abs=1e-5)
    assert found["gradient_cosine"][5] == pytest.approx(-found["gradient_cosine"][0], abs=1e-7)
    assert found["gradient_cosine"][6] == 0.0


def test_the_gradient_cosine_takes_the_descent_that_the_first_look_found(field, objective):
    """It is that at the middle of the path of the clipped mean, and costs no gradient again."""
    appraisal = PathCredit(ScoringSection()).appraise(field, History())
    kept = field.without(appraisal.copy_of) & ~appraisal.gated
    middle = field.base + (appraisal.clip * kept / int(kept.sum())).float() @ field.updates / 2
    descent = -sum(objective.gradient(middle, batch) for batch in field.batches) / len(field.batches)
    n_gradients = objective.n_gradients
    found = outliers.check(field, appraisal.geometry, descent=appraisal.descent)["gradient_cosine"]
    assert objective.n_gradients == n_gradients
    expected = torch.cosine_similarity(field.updates, descent[None], dim=1).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_small_and_equal_fields_have_finite_numbers(make_field, trained, n):
    """One update, or several equal ones, have no spread: every number is finite."""
    for updates in (trained[:n], trained[:1].expand(n, -1), torch.zeros(n, trained.shape[1])):
        field = make_field(updates)
        for values in outliers.check(field, shape(field)).values():
            assert values.shape == (n,)
            assert torch.isfinite(values).all()


def test_huge_updates_have_finite_numbers_and_the_same_honest_order(make_field, trained):
    """Differences of values near float32's end are formed in float64."""
    field = make_field(torch.cat([trained, torch.full_like(trained[:1], 3e38)]))
    found = outliers.check(field, shape(field))
    assert all(torch.isfinite(values).all() for values in found.values())
    assert int(found["centre_distance_z"].argmax()) == int(found["neighbour_distance_z"].argmax()) == 5
