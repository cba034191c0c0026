"""The obvious scorer: how much better does the base model get with this update alone?

    c_ib = L_b(w) - L_b(w + u_i)

It has no gate and no copy rule, and pays cheats a fifth of the pool (EVIDENCE, "Scoring", first row). It is here to be
compared with. It costs n + 1 losses a batch.

Source: leave-one-in, the first term of the Shapley sum; Zeno (Xie et al. 2019, arXiv:1805.10032, definition 2) without
its norm penalty.
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring.base import Field, mean_and_error
from subnet.scoring.geometry import Geometry
from subnet.scoring.plain import Plain


class Individual(Plain):
    """Pay for `L(w) - L(w + u_i)`, unclipped."""

    name: ClassVar[str] = "individual"
    summary: ClassVar[str] = "loss improvement of each update alone; no gate, no copy rule: for comparison"

    def clip(self, shape: Geometry) -> Tensor:
        """Leave every update as it is."""
        return torch.ones_like(shape.clip)

    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return what each update improves alone."""
        del clip
        before = field.objective.losses(field.base, field.batches)
        after = [field.objective.losses(field.base + update, field.batches) for update in field.updates]
        return mean_and_error(before[:, None] - torch.stack(after, dim=1))
