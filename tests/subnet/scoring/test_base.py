"""Statistics that every scorer shares."""

import pytest
import torch

from subnet.scoring.base import mean_and_error, z_scores


def test_mean_and_standard_error_over_the_batches():
    """The error is the sample deviation over the root of the number of batches, by hand."""
    mean, error = mean_and_error(torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64))
    assert mean.tolist() == [2.0, 0.0]
    assert error.tolist() == pytest.approx([2**0.5 / 2**0.5, 0.0])


def test_what_isnt_finite_becomes_a_number():
    """NaN says nothing, infinity is a very large credit, and mean and error are finite."""
    bad = torch.tensor([[float("nan"), float("inf"), -float("inf")], [2.0, 1.0, 1.0]], dtype=torch.float64)
    mean, error = mean_and_error(bad)
    assert torch.isfinite(mean).all()
    assert torch.isfinite(error).all()
    assert float(mean[0]) == 1.0
    assert float(mean[1]) > 1e29
    assert float(mean[2]) < -1e29


def test_a_z_score_keeps_the_credits_sign_and_is_bounded():
    """0 over 0 is 0; without an error any credit is beyond noise in its own direction."""
    credit = torch.tensor([0.0, 1.0, -1.0, 3.0], dtype=torch.float64)
    error = torch.tensor([0.0, 0.0, 0.0, 2.0], dtype=torch.float64)
    assert z_scores(credit, error).tolist() == [0.0, 1e9, -1e9, 1.5]
