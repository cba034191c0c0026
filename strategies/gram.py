"""What the rules that weight whole rows decide by: norms, inner products and squared distances."""

from functools import cached_property, partial
from typing import Protocol

import torch
from torch import Tensor

from strategies.aggregation import Call, Evidence
from strategies.kernels import products, squared_distances
from strategies.updates import Updates


class _Products(Protocol):
    """Gives inner products of differences from a common centre and, with it, of the centre itself, last."""

    def __call__(self, *, with_centre: bool) -> Tensor: ...


class Gram:
    """Norms, inner products and squared distances of one call's rows; the products are formed when first asked for.

    Args:
        norms: (n,) float64, of the deltas themselves.
        call: Number of clients, of Byzantine ones, and the evidence.
        products: Gives the (n, n) float64 inner products of the rows' differences from a common centre; or those and,
            last, of the centre itself, (n + 1, n + 1).
    """

    def __init__(self, *, norms: Tensor, call: Call, products: _Products) -> None:
        self._norms = norms
        self.call = call
        self._form = products

    @classmethod
    def of(cls, updates: Updates, call: Call) -> "Gram":
        """The Gram matrix of updates; see `matrix` for its centre.

        Args:
            updates: Finite rows.
            call: What the call is about.

        Returns:
            A Gram that reads the updates once, when its matrix is first used.
        """
        centre = _middle(updates.norms())
        return cls.about(updates, call, centre=centre)

    @classmethod
    def about(cls, updates: Updates, call: Call, *, centre: int, wide: bool = False) -> "Gram":
        """The Gram matrix of updates' differences from one of them.

        Args:
            updates: Finite rows.
            call: What the call is about.
            centre: Index of the row that the differences are taken from.
            wide: Multiply in float64 whatever the values.

        Returns:
            A Gram that reads the updates once, when it is first asked for products.
        """
        return cls(norms=updates.norms(), call=call, products=partial(_products_about, updates, centre, wide))

    def mixed(self, weights: Tensor, call: Call) -> "Gram":
        """The Gram of weighted sums of these rows, without forming any of them.

        Args:
            weights: (m, n) float64, finite: row i of the result is the sum of these rows times `weights[i]`.
            call: What is known of the m rows.

        Returns:
            A Gram whose numbers come out of these rows' norms and products, when first used: W G W^T.
        """
        return _MixedGram(self, weights, call)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self._norms)

    @property
    def norms(self) -> Tensor:
        """(n,) float64 Euclidean norms of the rows themselves."""
        return self._norms

    @property
    def evidence(self) -> Evidence:
        """Evidence on the rows."""
        return self.call.evidence

    @property
    def n_byzantine(self) -> int:
        """How many of the rows may be malicious."""
        return self.call.n_byzantine

    @cached_property
    def matrix(self) -> Tensor:
        """(n, n) float64 inner products of the rows' differences from the row of median norm.

        The centre takes away what all rows share, whose size would drown their differences. It is a row and not the
        mean since one huge update moves the mean, and with it every difference; the row of (lower) median norm is
        honest-sized as long as most rows are.
        """
        return self._with_centre[:-1, :-1] if "_with_centre" in vars(self) else self._form(with_centre=False)

    @cached_property
    def distances(self) -> Tensor:
        """(n, n) float64 squared distances between the rows."""
        return squared_distances(self.matrix)

    @cached_property
    def shared(self) -> Tensor:
        """(n,) float64 inner products of the rows' differences from the centre with the centre.

        Weighted sums whose weights don't add up to 1 (clipped rows) need them to be measured: out of norms and
        distances they would drown beside a huge row. Asked for before `matrix`, they bring it along in one pass.
        """
        return self._with_centre[:-1, -1]

    @cached_property
    def _with_centre(self) -> Tensor:
        return self._form(with_centre=True)


class _MixedGram(Gram):
    """Norms and products of weighted sums of another Gram's rows.

    With c the root's centre and e_j = x_j - c its rows, a mixed row is y_i = sum_j w_ij e_j + s_i c, s_i the sum of its
    weights; so all products are of the coefficients (w_i, s_i) about the (n + 1, n + 1) products of e_1..e_n and c.
    """

    def __init__(self, base: Gram, weights: Tensor, call: Call) -> None:
        self.call = call
        self._root: Gram = base._root if isinstance(base, _MixedGram) else base  # noqa: SLF001 -- its own class
        self._weights: Tensor = weights @ base._weights if isinstance(base, _MixedGram) else weights  # noqa: SLF001

    @property
    def n(self) -> int:
        """Number of mixed rows."""
        return len(self._weights)

    @cached_property
    def norms(self) -> Tensor:
        """(n,) float64; a multiple of one row has exactly that multiple of its norm."""
        most = self._weights.abs() @ self._root.norms  # the triangle inequality: zero rows stay zero
        alone = (self._weights != 0).sum(dim=1) <= 1
        if bool(alone.all()):
            return most
        sums = self._weights.sum(dim=1)
        return torch.where(alone, most, self._squares(self._weights, sums).sqrt().minimum(most))

    @cached_property
    def matrix(self) -> Tensor:
        """(n, n) float64 inner products about the mixed row of median norm (see `Gram.matrix`)."""
        centre = _middle(self.norms)
        differences = self._weights - self._weights[centre]
        sums = differences.sum(dim=1)
        of_centre = torch.zeros(self.n, self.n, dtype=torch.float64)
        if float(sums.abs().max()) > _SAME_SUM:
            cross = torch.outer(differences @ self._root.shared, sums)
            of_centre = cross + cross.T + torch.outer(sums, sums) * self._centre_square
        products = differences @ self._root.matrix @ differences.T + of_centre
        return (products + products.T) / 2

    def _squares(self, weights: Tensor, sums: Tensor) -> Tensor:
        """(m,) squared norms of sum_j w_ij e_j + s_i c."""
        of_centre = 2 * sums * (weights @ self._root.shared) + sums.square() * self._centre_square
        own = ((weights @ self._root.matrix) * weights).sum(dim=1)
        return (own + of_centre).clamp_min(0.0)

    @property
    def _centre_square(self) -> Tensor:
        return self._root.norms[_middle(self._root.norms)].square()


# weights that add up to the same but for rounding: means of rows are measured about the centre alone
_SAME_SUM = 1e-12


def _middle(norms: Tensor) -> int:
    """The row of (lower) median norm, the earlier of equal ones."""
    return int(norms.argsort(stable=True)[(len(norms) - 1) // 2])


def _products_about(updates: Updates, centre: int, wide: bool, *, with_centre: bool) -> Tensor:
    """Inner products of the rows' differences from one of them and, if asked for, last, of that one.

    The difference of two nearby floats is exact (Sterbenz), so what the rows have in common costs no precision; the
    float32 products of few columns are added to the others' in float64. Values whose squares leave float32 are
    multiplied in float64.
    """
    dtype = torch.float64 if wide or not updates.within_float32() else updates.dtype

    def of_span(start: int, stop: int) -> Tensor:
        return products(updates.parts(start, stop), centre=centre, dtype=dtype, with_centre=with_centre)

    n_others = updates.n - (not with_centre)
    half = torch.zeros(n_others, n_others, dtype=torch.float64)
    updates.each_span(of_span, half.add_)
    total = torch.zeros(updates.n + with_centre, updates.n + with_centre, dtype=torch.float64)
    others = torch.tensor([row for row in range(len(total)) if row != centre], dtype=torch.int64)
    total[others[:, None], others] = half.triu() + half.triu(1).T
    return total
