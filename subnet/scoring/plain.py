"""What the scorers for comparison share: they gate nobody, find no copies, and take the whole credit at first sight."""

from abc import abstractmethod

import torch
from torch import Tensor

from subnet.scoring import geometry
from subnet.scoring.base import Appraisal, Credits, Field, Scorer
from subnet.scoring.history import History
from subnet.spec import ScoringSection


class Plain(Scorer):
    """A scorer without gate and copy rule.

    Args:
        settings: not used; every scorer is made the same way.
    """

    def __init__(self, settings: ScoringSection) -> None:
        del settings

    @abstractmethod
    def worth(self, field: Field, clip: Tensor) -> tuple[Tensor, Tensor]:
        """Return every update's credit and its standard error, two finite `(n,)` tensors in float64.

        Args:
            field: the round's updates, n at least 1.
            clip: `(n,)` factors that bring them down to the median norm.
        """

    def clip(self, shape: geometry.Geometry) -> Tensor:
        """Return `(n,)` how far each update is shrunk before it is scored: to the median norm, unless overridden."""
        return shape.clip

    def appraise(self, field: Field, history: History) -> Appraisal:
        """Credit every update; gate nobody."""
        del history
        shape = geometry.measure(field.updates, field.deltas)
        clip = self.clip(shape)
        credit, standard_error = self.worth(field, clip)
        return Appraisal(
            credit=credit,
            standard_error=standard_error,
            clip=clip,
            geometry=shape,
            gate=0.0,
            gated=torch.zeros(field.n, dtype=torch.bool),
            copy_of={},
        )

    def credit(
        self, field: Field, appraisal: Appraisal, aggregate: Tensor, *, influence: Tensor | None = None
    ) -> Credits:
        """Return the same credit again: it doesn't depend on the aggregate. All of it counts as novel."""
        del field, aggregate, influence
        return all_novel(appraisal.credit, appraisal.standard_error)


def all_novel(credit: Tensor, standard_error: Tensor) -> Credits:
    """Return credits of which nothing is held to be public knowledge."""
    return Credits(credit=credit, standard_error=standard_error, novel=credit, novel_standard_error=standard_error)
