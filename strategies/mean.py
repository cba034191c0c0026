"""Plain means: what federated averaging does, and any single client can move at will."""

from typing import ClassVar

import torch

from strategies.base import Gram, GramRule, Weights
from strategies.errors import EvidenceError
from strategies.registry import register


@register
class Mean(GramRule):
    """Mean of the updates, each client counting the same.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data (AISTATS 2017),
    algorithm 1, with equal client weights.

    >>> Mean().aggregate(torch.tensor([[1.0, 2.0], [3.0, 6.0]])).update
    tensor([2., 4.])
    """

    name: ClassVar[str] = "mean"
    summary: ClassVar[str] = "the plain mean; one malicious client moves it at will"
    source: ClassVar[str] = "McMahan et al. 2017, algorithm 1, with equal weights"

    def weights(self, gram: Gram) -> Weights:
        """1/n for every row (see `GramRule.weights`)."""
        return Weights(values=torch.full((gram.n,), 1 / gram.n, dtype=torch.float64))


@register
class FedAvg(GramRule):
    """Mean of the updates, weighted by the number of examples that each client claims.

    It believes the claim: a client that says 1e12 has the model to itself. It is here to be compared with. Without
    claims every client counts the same.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data (AISTATS 2017),
    algorithm 1.

    >>> from strategies import Evidence
    >>> evidence = Evidence(n_examples=torch.tensor([3, 1]))
    >>> FedAvg().aggregate(torch.tensor([[1.0, 2.0], [5.0, 6.0]]), evidence=evidence).update
    tensor([2., 3.])
    """

    name: ClassVar[str] = "fedavg"
    summary: ClassVar[str] = "the mean weighted by claimed examples; one lying client has it to itself"
    source: ClassVar[str] = "McMahan et al. 2017, algorithm 1"

    def weights(self, gram: Gram) -> Weights:
        """Each row's part of all claimed examples (see `GramRule.weights`)."""
        claimed = gram.evidence.n_examples
        counts = torch.ones(gram.n, dtype=torch.float64) if claimed is None else claimed.cpu().double()
        if not bool((counts >= 0).all()) or not 0 < float(counts.sum()) < float("inf"):
            raise EvidenceError(
                f"fedavg got {counts.tolist()} as numbers of examples",
                remedy="give numbers of 0 or more that aren't all 0",
            )
        return Weights(values=counts / counts.sum())
