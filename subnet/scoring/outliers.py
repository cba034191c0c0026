"""Outlier checks: how each update stands in the field, as numbers on its receipt.

They inform; the payment follows the credit (a soft multiplier of such scores had no measurable effect, and honest
non-IID updates lie further out than many cheats': EVIDENCE, "Outlier checks"). A distance is given as a robust z:
(x - median) / (1.4826 MAD), which is a standard score where the field is Gaussian (Rousseeuw and Croux 1993).

- `norm_ratio`: norm over the median norm.
- `centre_distance_z`: distance to the coordinate-wise median of the field.
- `neighbour_distance_z`: sum of squared distances to the n - f - 2 nearest, f = floor(.3 n) (Krum, Blanchard et al.
  2017, arXiv:1703.02757, section 4).
- `spectral`: squared projection on the field's first principal direction, over the median one (DnC, Shejwalkar and
  Houmansadr 2021, algorithm 2); in [0, inf).
- `gradient_cosine`: cosine with the descent direction of the validation loss at the base, in [-1, 1] (FLTrust, Cao et
  al. 2021, arXiv:2012.13995, with the validation gradient for the root update).
"""

import torch
from torch import Tensor

from strategies import Updates
from strategies.kernels import median_of_columns, row_squares, squared_distances
from subnet.scoring import geometry
from subnet.scoring.base import Field
from subnet.scoring.geometry import Geometry

MAD_TO_SIGMA = 1.4826
_BYZANTINE_SHARE = 0.3
_FLOAT32_NORM = 1e34
"""Differences and sums of two values of rows of this norm stay inside float32."""


def check(field: Field, shape: Geometry) -> dict[str, Tensor]:
    """Return every check as finite `(n,)` float64, by name.

    Args:
        field: the round's updates, n at least 1.
        shape: their geometry; its inner products are in float64, so distances come out of them.
    """
    norms = shape.norms
    to_centre = _centre_distance(field.updates, narrow=bool(norms.max() <= _FLOAT32_NORM))
    distances = squared_distances(shape.gram)
    descent = torch.zeros_like(field.base, dtype=torch.float64)
    for batch in field.batches:
        descent -= field.objective.gradient(field.base, batch).double() / len(field.batches)
    scale = norms * descent.norm()
    along = geometry.dot_rows(field.updates, descent)
    checks = {
        "norm_ratio": _over_median(norms),
        "centre_distance_z": robust_z(to_centre),
        "neighbour_distance_z": robust_z(_neighbour_distance(distances)),
        "spectral": _over_median(_principal_energy(distances)),
        "gradient_cosine": torch.where(scale > 0, along / scale, torch.zeros_like(scale)),
    }
    return {name: values.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30) for name, values in checks.items()}


def robust_z(values: Tensor) -> Tensor:
    """Return (x - median) / (1.4826 MAD) of `values` `(n,)`; zeros where the MAD is 0.

    >>> robust_z(torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=torch.float64)).round(decimals=2).tolist()
    [-1.01, -0.34, 0.34, 5.06]
    """
    mad = geometry.median_absolute_deviation(values)
    if mad == 0:
        return torch.zeros_like(values)
    return (values - geometry.midpoint_median(values)) / (MAD_TO_SIGMA * mad)


def _over_median(values: Tensor) -> Tensor:
    positive = values[values > 0]
    return values / geometry.midpoint_median(positive) if len(positive) else torch.zeros_like(values)


def _centre_distance(updates: Tensor, *, narrow: bool) -> Tensor:
    """Return `(n,)` distances to the coordinate-wise median, block by block.

    Args:
        updates: `(n, n_params)` float32.
        narrow: whether differences can be formed in float32.
    """
    squares = torch.zeros(updates.shape[0], dtype=torch.float64)

    def apart(_: int, block: Tensor) -> Tensor:
        values = block if narrow else block.double()
        return row_squares(values - median_of_columns(values))

    Updates(updates).each_block(apart, squares.add_)
    return squares.sqrt()


def _neighbour_distance(distances: Tensor) -> Tensor:
    n = distances.shape[0]
    nearest = max(1, n - int(_BYZANTINE_SHARE * n) - 2)
    return distances.sort(dim=1).values[:, 1 : 1 + nearest].sum(1)


def _principal_energy(distances: Tensor) -> Tensor:
    n = distances.shape[0]
    centring = torch.eye(n, dtype=torch.float64) - 1.0 / n
    values, vectors = torch.linalg.eigh(-0.5 * centring @ distances @ centring)
    energy: Tensor = values[-1].clamp(min=0) * vectors[:, -1] ** 2
    return energy
