"""The geometry of a field of updates: clipping, the free-ride gate, what is public, and cosines. Blocked, in float64.

Thresholds:

- Clip to the median norm of the non-zero updates, never up: EVIDENCE, "Scoring" (normalising up lets replayed deltas
  earn more than honest work). Norm thresholding is Sun et al.'s (2019, "Can You Really Backdoor Federated Learning?"),
  there with a fixed limit.
- Gate at max(`gate_floor`, `gate_share` x the median novelty), .1 and .8 by default: DESIGN section 5, rule 3. It
  gated no honest client on IID data, at most 1 % at Dirichlet .5 and 2 to 5 % at .1; with .85 it was 7 % at .1
  (EVIDENCE, "The rule of DESIGN.md section 5 on a CNN"). The riders it is against are those of Fraboni, Vidal and
  Lorenzi 2021, "Free-rider Attacks on Model Aggregation in Federated Learning".
- A direction counts as public when at least 1e-6 of its delta is left after projection: this project's own, well above
  what float64 loses in a Gram-Schmidt of five and well below a real step's share.

Every sum over the parameters is formed in blocks of the same columns, each by one thread, and added up in their order:
the same updates give the same bits on any number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from strategies import clipping
from strategies.threads import in_order, one_thread

_COLUMNS = 1 << 12
"""Parameters a block: 100 updates of 4,096 in float64 are 3 MB and stay in the cache, where 65,536 took 3 times as long
for dot products and twice as long for the Gram matrix."""

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Numbers about `n` updates; tensors are float64.

    Attributes:
        norms: `(n,)`.
        gram: `(n, n)` inner products.
        clip: `(n,)` in (0, 1]: brings each norm down to the median of the non-zero ones, never up.
        public: `(k, n_params)` an orthonormal basis of what is public knowledge.
        shadow: `(n, k)` coordinates of the updates in that basis.
        novelty: `(n,)` in [0, 1]: norm of the rest over the norm of the update; 0 for a zero update.
        cosines: `(n, n)` between the rests; 0 where one is zero.
    """

    norms: Tensor
    gram: Tensor
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

    def products(start: int, stop: int) -> tuple[Tensor, Tensor]:
        block = updates[:, start:stop].double()
        return block @ block.T, block @ public[:, start:stop].T

    def add(found: tuple[Tensor, Tensor]) -> None:
        gram.add_(found[0])
        shadow.add_(found[1])

    _in_blocks(products, add, updates.shape[1])
    norms = gram.diagonal().clamp(min=0).sqrt()
    rest = gram - shadow @ shadow.T
    rest_norms = rest.diagonal().clamp(min=0).sqrt()
    novelty = torch.where(norms > 0, rest_norms / norms, torch.zeros_like(norms)).clamp(max=1.0)
    scale = rest_norms[:, None] * rest_norms[None, :]
    cosines = torch.where(scale > 0, rest / scale, torch.zeros_like(rest)).clamp(-1.0, 1.0)
    return Geometry(
        norms=norms,
        gram=gram,
        clip=clip_factors(norms),
        public=public,
        shadow=shadow,
        novelty=novelty,
        cosines=cosines,
    )


def clip_factors(norms: Tensor, *, among: Tensor | None = None) -> Tensor:
    """Return `(n,)` factors that bring norms down to the median of the non-zero ones, never up.

    Args:
        norms: `(n,)`.
        among: `(n,)` bool: whose norms the median is taken of; all where None.

    >>> clip_factors(torch.tensor([1.0, 2.0, 8.0], dtype=torch.float64)).tolist()
    [1.0, 1.0, 0.25]
    """
    return clipping.clip_factors(norms, clipping.median_norm(norms if among is None else norms[among]))


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
    with one_thread():
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
    return dot_products(updates, direction[None])[:, 0]


def dot_products(rows: Tensor, directions: Tensor) -> Tensor:
    """Return `(n, k)` float64: the dot products of `rows` `(n, n_params)` with `directions` `(k, n_params)`.

    All in one pass, since most of the time goes into reading the rows and widening them.
    """
    result = torch.zeros(rows.shape[0], directions.shape[0], dtype=torch.float64)

    def products(start: int, stop: int) -> Tensor:
        return rows[:, start:stop].double() @ directions[:, start:stop].double().T

    _in_blocks(products, result.add_, rows.shape[1])
    return result


def pair_products(rows: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return two `(n,)` float64: each of `rows` `(n, n_params)` times its own of `others`, and times itself."""
    products = torch.zeros(rows.shape[0], dtype=torch.float64)
    squares = torch.zeros_like(products)

    def both(start: int, stop: int) -> tuple[Tensor, Tensor]:
        block = rows[:, start:stop].double()
        return (block * others[:, start:stop]).sum(1), block.square().sum(1)

    def add(found: tuple[Tensor, Tensor]) -> None:
        products.add_(found[0])
        squares.add_(found[1])

    _in_blocks(both, add, rows.shape[1])
    return products, squares


def _in_blocks(work: Callable[[int, int], _Result], take: Callable[[_Result], object], n_params: int) -> None:
    """Work on blocks of columns, as many at a time as torch has threads, and take the results in the columns' order."""
    spans = [(start, min(start + _COLUMNS, n_params)) for start in range(0, n_params, _COLUMNS)]
    with one_thread() as n_threads:
        in_order(lambda span: work(*span), spans, take, n_threads=n_threads)
