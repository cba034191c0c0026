"""One owner under many names: all clients of such a role are one owner's identities, and have one client's data.

`honest=8,sybil_split=4` divides the training data into nine parts, of which the four identities have one.

Source of the idea: Douceur 2002, "The Sybil Attack" (IPTPS).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clients.behaviour import Behaviour, View
from clients.task import Examples


@dataclass(frozen=True, slots=True)
class SybilClone(Behaviour):
    """Every identity sends the first one's update, which is trained once. Knows only its owner's data.

    Source: Fung, Yoon and Beschastnikh 2020, FoolsGold (arXiv:1808.04866), sybils with a common objective, here after
    pay rather than harm.
    """

    kind: ClassVar[str] = "sybil_clone"
    one_owner: ClassVar[bool] = True

    def update(self, view: View) -> Tensor:
        """Return the first identity's update."""
        return view.leader_update()


@dataclass(frozen=True, slots=True)
class SybilSplit(Behaviour):
    """The identities divide their owner's data evenly, and each trains on its part. Knows only its owner's data.

    Source: this project's own (EVIDENCE, "Scoring": data split over 4 identities).
    """

    kind: ClassVar[str] = "sybil_split"
    one_owner: ClassVar[bool] = True

    def holding(self, examples: Examples, *, place: int, size: int) -> Examples:
        """Return every `size`-th example from `place` on; with more identities than examples, one each, some twice."""
        part = torch.arange(len(examples))[place::size]
        return examples.take(part if len(part) else torch.tensor([place % len(examples)]))


@dataclass(frozen=True, slots=True)
class SameData(Behaviour):
    """Every identity trains on all of their owner's data, each in an order of its own. Knows only its owner's data.

    Source: this project's own (EVIDENCE, "Scoring": the Sybil pair).
    """

    kind: ClassVar[str] = "same_data"
    one_owner: ClassVar[bool] = True
