"""Plain means: what federated averaging does, and any single client can move at will."""

from typing import ClassVar

import torch

from strategies.aggregation import EvidenceKind, claimed_shares
from strategies.base import Gram, GramRule, Weights
from strategies.registry import register


@register
class Mean(GramRule):
    """Mean of the updates, each client counting the same.

    Withstands nothing: one client moves it wherever it likes. It assumes that all are honest, and is here to be
    compared with.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data (AISTATS 2017),
    FederatedAveraging, with equal client weights.

    >>> Mean().aggregate(torch.tensor([[1.0, 2.0], [3.0, 6.0]])).update
    tensor([2., 4.])
    """

    name: ClassVar[str] = "mean"
    summary: ClassVar[str] = "the plain mean; one malicious client moves it at will"
    source: ClassVar[str] = "McMahan et al. 2017 (FederatedAveraging), with equal weights"
    breakdown: ClassVar[str] = "none"

    def weights(self, gram: Gram) -> Weights:
        """1/n for every row (see `GramRule.weights`)."""
        return Weights(values=torch.full((gram.n,), 1 / gram.n, dtype=torch.float64))


@register
class FedAvg(GramRule):
    """Mean of the updates, weighted by the number of examples that each client claims.

    Withstands nothing, and believes the claim: a client that says 1e12 has the model to itself. It assumes that all
    are honest, and is here to be compared with. Without claims every client counts the same.

    Source: McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data (AISTATS 2017),
    FederatedAveraging.

    >>> from strategies import Evidence
    >>> evidence = Evidence(n_examples=torch.tensor([3, 1]))
    >>> FedAvg().aggregate(torch.tensor([[1.0, 2.0], [5.0, 6.0]]), evidence=evidence).update
    tensor([2., 3.])
    """

    name: ClassVar[str] = "fedavg"
    summary: ClassVar[str] = "the mean weighted by claimed examples; one lying client has it to itself"
    source: ClassVar[str] = "McMahan et al. 2017 (FederatedAveraging)"
    breakdown: ClassVar[str] = "none"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"n_examples"})

    def weights(self, gram: Gram) -> Weights:
        """Each row's part of all claimed examples (see `GramRule.weights`)."""
        if gram.evidence.n_examples is None:
            return Weights(values=torch.full((gram.n,), 1 / gram.n, dtype=torch.float64))
        return Weights(values=claimed_shares(gram.evidence, torch.arange(gram.n), rule=self.name))
