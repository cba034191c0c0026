"""The geometry of a field of updates: clipping, what is public knowledge, and cosines. Blocked, in float64."""

from dataclasses import dataclass

import torch
from torch import Tensor

from strategies import clipping

_COLUMNS = 1 << 16
"""Parameters a block: (n, 65,536) float64 stays a few MB for any sensible n."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Numbers about `n` updates; tensors are float64.

    Attributes:
        norms: `(n,)`.
        clip: `(n,)` in (0, 1]: brings each norm down to the median of the non-zero ones, never up.
        public: `(k, n_params)` an orthonormal basis of what is public knowledge.
        shadow: `(n, k)` coordinates of the updates in that basis.
        novelty: `(n,)` in [0, 1]: norm of the rest over the norm of the update; 0 for a zero update.
        cosines: `(n, n)` between the rests; 0 where one is zero.
    """

    norms: Tensor
    clip: Tensor
    public: Tensor
    shadow: Tensor
    novelty: Tensor
    cosines: Tensor


def measure(updates: Tensor, deltas: Tensor) -> Geometry:
    """Measure a field of updates.

    Args:
        updates: `(n, n_params)` float32, finite, n at least 1.
        deltas: `(k, n_params)` the last global deltas; k may be 0.
    """
    public = orthonormal(deltas)
    n = updates.shape[0]
    gram = torch.zeros(n, n, dtype=torch.float64)
    shadow = torch.zeros(n, public.shape[0], dtype=torch.float64)
    for start in range(0, updates.shape[1], _COLUMNS):
        block = updates[:, start : start + _COLUMNS].double()
        gram += block @ block.T
        shadow += block @ public[:, start : start + _COLUMNS].T
    norms = gram.diagonal().clamp(min=0).sqrt()
    rest = gram - shadow @ shadow.T
    rest_norms = rest.diagonal().clamp(min=0).sqrt()
    novelty = torch.where(norms > 0, rest_norms / norms, torch.zeros_like(norms)).clamp(max=1.0)
    scale = rest_norms[:, None] * rest_norms[None, :]
    cosines = torch.where(scale > 0, rest / scale, torch.zeros_like(rest)).clamp(-1.0, 1.0)
    return Geometry(
        norms=norms, clip=clip_factors(norms), public=public, shadow=shadow, novelty=novelty, cosines=cosines
    )


def clip_factors(norms: Tensor) -> Tensor:
    """Return `(n,)` factors that bring norms down to the median of the non-zero ones, never up.

    >>> clip_factors(torch.tensor([1.0, 2.0, 8.0], dtype=torch.float64)).tolist()
    [1.0, 1.0, 0.25]
    """
    return clipping.clip_factors(norms, clipping.median_norm(norms))


def midpoint_median(values: Tensor) -> Tensor:
    """Return the median of `values` `(n,)`, n at least 1: the mean of the middle two for even n."""
    return torch.quantile(values, 0.5, interpolation="midpoint")


def median_absolute_deviation(values: Tensor) -> Tensor:
    """Return the median distance of `values` `(n,)` to their median."""
    return midpoint_median((values - midpoint_median(values)).abs())


def orthonormal(deltas: Tensor) -> Tensor:
    """Return an orthonormal float64 basis `(k', n_params)` of the span of `deltas` `(k, n_params)`, k' at most k.

    Modified Gram-Schmidt, twice (Björck 1994, "Numerics of Gram-Schmidt orthogonalization"); directions that hold
    less than 1e-6 of their delta after projection are dropped.
    """
    basis: list[Tensor] = []
    for delta in deltas.double():
        norm = delta.norm()
        rest = delta
        for _ in range(2):
            for direction in basis:
                rest = rest - (rest @ direction) * direction
        if norm > 0 and rest.norm() > 1e-6 * norm:
            basis.append(rest / rest.norm())
    return torch.stack(basis) if basis else torch.zeros(0, deltas.shape[1], dtype=torch.float64)


def dot_rows(updates: Tensor, direction: Tensor) -> Tensor:
    """Return `(n,)` float64: the dot products of `updates` `(n, n_params)` with `direction` `(n_params,)`."""
    result = torch.zeros(updates.shape[0], dtype=torch.float64)
    for start in range(0, updates.shape[1], _COLUMNS):
        block = updates[:, start : start + _COLUMNS].double()
        result += block @ direction[start : start + _COLUMNS].double()
    return result


def weighted_sum(updates: Tensor, weights: Tensor) -> Tensor:
    """Return `(n_params,)` float32: the rows of `updates` summed with `weights` `(n,)` float64."""
    total = torch.zeros(updates.shape[1], dtype=torch.float64)
    for row, weight in zip(updates, weights.tolist(), strict=True):
        if weight:
            total += weight * row.double()
    return total.float()
