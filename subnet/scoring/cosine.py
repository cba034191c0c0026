"""How far does the update point where the aggregate points?

    c_i = cos(u_i, A), in [-1, 1]

The unit is *not* that of the loss, and no held-out data is looked at: the credit says who agrees with the aggregate,
and a rider on public knowledge agrees best (EVIDENCE, "Scoring", fifth row). There is no spread over batches, so the
standard error is 0. The first credit, before there is an aggregate, is the cosine to the clipped mean. Costs n dot
products.

Source: the cosine gradient Shapley value of Xu et al., "Gradient-driven rewards to guarantee fairness in collaborative
machine learning" (CGSV, NeurIPS 2021), without its moving average, for which the window stands.
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring import geometry
from subnet.scoring.base import Appraisal, Credits, Field
from subnet.scoring.plain import Plain, all_novel


class Cosine(Plain):
    """Pay for the cosine of the update to the aggregate."""

    name: ClassVar[str] = "cosine"
    summary: ClassVar[str] = "cosine of each update to the aggregate (CGSV), not in units of the loss: for comparison"
    unit: ClassVar[str] = "of cosine to the aggregate"

    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines to the clipped mean."""
        mean = torch.zeros(field.updates.shape[1], dtype=torch.float64)
        for factor, update in zip(clip.tolist(), field.updates, strict=True):
            mean.add_(update.double(), alpha=factor / field.n)
        return cosines(field.updates, mean), torch.zeros(field.n, dtype=torch.float64)

    def credit(
        self, field: Field, appraisal: Appraisal, aggregate: Tensor, *, influence: Tensor | None = None
    ) -> Credits:
        """Return the cosines to what was made of the updates. All of it counts as novel."""
        del influence
        return all_novel(cosines(field.updates, aggregate), torch.zeros_like(appraisal.credit))


def cosines(updates: Tensor, direction: Tensor) -> Tensor:
    """Return `(n,)` the cosines of `updates` `(n, n_params)` to `direction` `(n_params,)`; 0 where one is zero."""
    norms = torch.stack([update.double().norm() for update in updates])
    scale = norms * direction.double().norm()
    along = geometry.dot_rows(updates, direction)
    return torch.where(scale > 0, along / scale, torch.zeros_like(scale)).clamp(-1.0, 1.0)
