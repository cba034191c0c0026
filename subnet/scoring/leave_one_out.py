"""What would be missing without this update?

    c_ib = L_b(w + mean over j other than i of clip_j x u_j) - L_b(w + mean over all j of clip_j x u_j)

Two that send the same are each hardly missed, so copies lower their victim's pay. Costs n + 2 losses a batch.

Source: leave-one-out, the last term of the Shapley sum (Cook 1977, "Detection of influential observation in linear
regression", for the idea); EVIDENCE, "Scoring", third row, has it on a trimmed mean.
"""

from typing import ClassVar

import torch
from torch import Tensor

from subnet.scoring.base import Field, mean_and_error
from subnet.scoring.coalitions import Game
from subnet.scoring.plain import Plain


class LeaveOneOut(Plain):
    """Pay for what the clipped mean loses without the update."""

    name: ClassVar[str] = "leave_one_out"
    summary: ClassVar[str] = "what the clipped mean's loss would lack without each update: for comparison"

    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return the worth of all less the worth of all others."""
        game = Game(field, clip)
        total = game.everyone()
        together = game.value(total, game.n)
        missed = []
        for player in range(game.n):
            others = total.clone()
            game.add(others, player, sign=-1)
            missed.append(together - game.value(others, game.n - 1))
        return mean_and_error(torch.stack(missed, dim=1))
