"""Outlier checks: how each update stands in the field, as numbers on its receipt.

They inform; the payment follows the credit (a soft multiplier of such scores had no measurable effect, and honest
non-IID updates lie further out than many cheats': EVIDENCE, "Outlier checks", where the norm ratio flags 0 to 1.5 % of
honest clients and the spectral score 7 to 20 %). A distance is given as a robust z: (x - median) / (1.4826 MAD), which
is a standard score where the field is Gaussian (the factor is 1 over the upper quartile of the normal distribution;
Rousseeuw and Croux 1993, "Alternatives to the Median Absolute Deviation").

- `norm_ratio`: norm over the median norm.
- `centre_distance_z`: distance to the coordinate-wise median of the field.
- `neighbour_distance_z`: sum of squared distances to the n - f - 2 nearest (Krum, Blanchard et al. 2017,
  arXiv:1703.02757).
- `spectral`: squared projection on the field's first principal direction, over the median one (DnC, Shejwalkar and
  Houmansadr 2021, "Manipulating the Byzantine"); in [0, inf).
- `gradient_cosine`: cosine with the descent direction of the validation loss, in [-1, 1] (FLTrust, Cao et al. 2021,
  arXiv:2012.13995, with the validation gradient for the root update): at the middle of the first look's path where the
  scorer has taken that gradient, at the base where it hasn't.

Thresholds: none of these has one of its own. f = floor(.3 n) is the share that the default strategy gives up too
(DESIGN section 6). The norm ratio decides with the credit in `strikes`, which has the limits and their source.
"""

from collections.abc import Mapping

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


def check(
    field: Field, shape: Geometry, *, among: Tensor | None = None, descent: Tensor | None = None
) -> dict[str, Tensor]:
    """Return every check as finite `(n,)` float64, by name.

    Args:
        field: the round's updates, n at least 1.
        shape: their geometry; its inner products are in float64, so distances come out of them.
        among: `(n,)` bool: whose norms the median is taken of, which decides strikes: those that copy nobody. All
            where None.
        descent: `(n_params,)` float64 where the validation loss falls, if that is known already; that at the base where
            None.
    """
    norms = shape.norms
    to_centre = _centre_distance(field.updates, narrow=bool(norms.max() <= _FLOAT32_NORM))
    distances = squared_distances(shape.gram)
    if descent is None:
        descent = _descent_at_base(field)
    scale = norms * descent.norm()
    along = geometry.dot_rows(field.updates, descent)
    checks = {
        "norm_ratio": _over_median(norms, among),
        "centre_distance_z": robust_z(to_centre),
        "neighbour_distance_z": robust_z(_neighbour_distance(distances)),
        "spectral": _over_median(_principal_energy(distances)),
        "gradient_cosine": torch.where(scale > 0, along / scale, torch.zeros_like(scale)),
    }
    return {name: values.nan_to_num(nan=0.0, posinf=1e30, neginf=-1e30) for name, values in checks.items()}


def distribution(checks: Mapping[str, Tensor]) -> dict[str, list[float]]:
    """Return how each check is distributed over the field, so that whoever reads its own number sees where it stands.

    Args:
        checks: `(n,)` float64 by name, as `check` returns them; n at least 1.

    Returns:
        Minimum, lower quartile, median, upper quartile and maximum by name, to four digits: they inform and decide
        nothing. Between two updates a quartile is interpolated linearly (type 7 of Hyndman and Fan 1996, "Sample
        Quantiles in Statistical Packages").

    >>> distribution({"norm_ratio": torch.tensor([1.0, 0.5, 9.0, 1.5], dtype=torch.float64)})
    {'norm_ratio': [0.5, 0.875, 1.25, 3.375, 9.0]}
    """
    if not checks:
        return {}
    at = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0], dtype=torch.float64)
    columns = torch.stack(list(checks.values())).quantile(at, dim=1).T.tolist()
    return {name: [float(f"{value:.4g}") for value in column] for name, column in zip(checks, columns, strict=True)}


def robust_z(values: Tensor) -> Tensor:
    """Return (x - median) / (1.4826 MAD) of `values` `(n,)`; zeros where the MAD is 0.

    >>> robust_z(torch.tensor([1.0, 2.0, 3.0, 10.0], dtype=torch.float64)).round(decimals=2).tolist()
    [-1.01, -0.34, 0.34, 5.06]
    """
    mad = geometry.median_absolute_deviation(values)
    if mad == 0:
        return torch.zeros_like(values)
    return (values - geometry.midpoint_median(values)) / (MAD_TO_SIGMA * mad)


def _descent_at_base(field: Field) -> Tensor:
    descent = torch.zeros_like(field.base, dtype=torch.float64)
    for batch in field.batches:
        descent -= field.objective.gradient(field.base, batch).double() / len(field.batches)
    return descent


def _over_median(values: Tensor, among: Tensor | None = None) -> Tensor:
    positive = values[values > 0] if among is None else values[(values > 0) & among]
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
