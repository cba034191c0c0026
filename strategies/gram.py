"""What the rules that weight whole rows decide by: norms, inner products and squared distances."""

from collections.abc import Callable
from functools import cached_property

from torch import Tensor

from strategies.aggregation import Call, Evidence
from strategies.kernels import gram_about, squared_distances
from strategies.updates import Updates

# float32 products are used between these norms, where no square leaves float32's range on the way
_FLOAT32_NORMS = (1e-6, 1e15)


class Gram:
    """Norms, inner products and squared distances of one call's rows; the products are formed when first asked for.

    Args:
        norms: (n,) float64, of the deltas themselves.
        call: Number of clients, of Byzantine ones, and the evidence.
        products: Gives the (n, n) float64 inner products about a common centre.
    """

    def __init__(self, *, norms: Tensor, call: Call, products: Callable[[], Tensor]) -> None:
        self.norms = norms
        self.call = call
        self._products = products

    @classmethod
    def of(cls, updates: Updates, call: Call) -> "Gram":
        """The Gram matrix of updates; see `matrix` for its centre.

        Args:
            updates: Finite rows.
            call: What the call is about.

        Returns:
            A Gram that reads the updates once, when its matrix is first used.
        """
        norms = updates.norms()
        centre = int(norms.argsort(stable=True)[(updates.n - 1) // 2])
        low, high = _FLOAT32_NORMS
        wide = not (low <= float(norms[centre]) and float(norms.max()) <= high)

        def products() -> Tensor:
            return gram_about(updates.blocks(), n_rows=updates.n, centre=centre, wide=wide)

        return cls(norms=norms, call=call, products=products)

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.norms)

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
        return self._products()

    @cached_property
    def distances(self) -> Tensor:
        """(n, n) float64 squared distances between the rows."""
        return squared_distances(self.matrix)
