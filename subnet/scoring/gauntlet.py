"""Templar's form: how much does a small step along the update improve the base model?

    c_ib = L_b(w) - L_b(w + 0.2 x clip_i x u_i)

A small step measures the direction and leaves out how far a whole update overshoots on its own, which is what the
`individual` credit suffers from. Costs n + 1 losses a batch.

Source: Gauntlet (arXiv:2505.21684), its loss score: the loss before less the loss after a step that is smaller than
the one that is trained with. The clipping to the median norm and the step of 0.2 are those of EVIDENCE, "Scoring",
second row. Left out are its ranking by OpenSkill and its comparison of assigned with unassigned data: the window and
the probes of this project stand in their place.
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring.base import Field, mean_and_error
from subnet.scoring.plain import Plain

STEP = 0.2


class Gauntlet(Plain):
    """Pay for the loss improvement of a step of 0.2 along the clipped update."""

    name: ClassVar[str] = "gauntlet"
    summary: ClassVar[str] = "loss improvement of a small step along each update (Templar's form): for comparison"

    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a small step along each update improves."""
        before = field.objective.losses(field.base, field.batches)
        after = [
            field.objective.losses(field.base + STEP * factor * update, field.batches)
            for factor, update in zip(clip.tolist(), field.updates, strict=True)
        ]
        return mean_and_error(before[:, None] - torch.stack(after, dim=1))
