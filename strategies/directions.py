"""Rules that trust by direction: towards a trusted update, or away from what too many others say word for word."""

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from strategies.aggregation import EvidenceKind
from strategies.base import Call, Gram, Weights
from strategies.points import LastPointRule, evidence_row, origin
from strategies.registry import register
from strategies.settings import RuleSettings
from strategies.updates import Updates


def cosines(gram: Gram) -> Tensor:
    """Cosines of the angles between rows.

    Args:
        gram: Norms, and products about the origin.

    Returns:
        (n, n) float64 in [-1, 1]; 0 with zero rows.
    """
    lengths = torch.where(gram.norms > 0, gram.norms, torch.inf)
    return (gram.matrix / lengths[:, None] / lengths[None, :]).clamp_(-1.0, 1.0)


@register
class FLTrust(LastPointRule):
    """Mean of the updates brought to a trusted one's norm, weighted by how much they point its way.

    The weight is the cosine with `Evidence.root`, and 0 below 0. Withstands any number of malicious clients: the result
    is no longer than the trusted update and never against it. It assumes that the trusted update was trained on clean
    data like the clients'. If nobody points its way the result is zero (the paper is silent on it).

    Source: Cao et al., FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping (NDSS 2021), trust scores
    and normalisation.

    >>> from strategies import Evidence
    >>> updates = torch.tensor([[4.0, 0.0], [0.0, 1.0], [-9.0, 0.0]])
    >>> FLTrust().aggregate(updates, evidence=Evidence(root=torch.tensor([1.0, 0.0]))).update
    tensor([1., 0.])
    """

    name: ClassVar[str] = "fltrust"
    summary: ClassVar[str] = "mean of updates at a trusted one's norm, weighted by their cosine with it (needs: root)"
    source: ClassVar[str] = "Cao et al. 2021 (FLTrust)"
    breakdown: ClassVar[str] = "f < n"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"root"})

    def points(self, updates: Updates, call: Call) -> list[Tensor]:
        """The trusted update and the origin (see `PointRule.points`)."""
        return [evidence_row(call.evidence.root, name="root", rule=self.name, updates=updates), origin(updates)]

    def weights(self, gram: Gram) -> Weights:
        """Trust times the change of length, over all trust (see `GramRule.weights`)."""
        n = gram.n - 2
        cosine = cosines(gram)[n]
        trust = cosine.clamp_min(0.0)
        trust[n:] = 0.0
        lengths = gram.norms[n] / torch.where(gram.norms > 0, gram.norms, torch.inf)
        total = float(trust.sum())
        values = trust * lengths / total if total > 0 else torch.zeros_like(trust)
        return Weights(values=values, diagnostics={"cosine": cosine, "trust": trust})


@register
class FoolsGold(LastPointRule):
    """Mean of the updates, weighted by how little each resembles any other.

    Withstands any number of sybils: clients of one attacker who all say the same. It assumes that honest clients' data
    differ so much that their updates are less alike than that, so it is no defence against a single attacker, and
    honest clients with the same data lose their weight. The paper compares sums of each client's updates over the
    rounds; rules keep no state, so this is one round's: aggregate sums to have the paper's. If all are alike the result
    is zero.

    Source: Fung, Yoon and Beschastnikh, The Limitations of Federated Learning in Sybil Settings (RAID 2020), FoolsGold
    as in its authors' code, without feature importance; the mean is over the sum of the weights.

    >>> FoolsGold().aggregate(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-5.0, -5.0], [-5.0, -5.0]])).update
    tensor([0.5000, 1.0000])
    """

    name: ClassVar[str] = "fools_gold"
    summary: ClassVar[str] = "mean weighted by how little each update resembles another (against sybils)"
    source: ClassVar[str] = "Fung, Yoon and Beschastnikh 2020 (FoolsGold)"
    breakdown: ClassVar[str] = "sybils only"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `fools_gold`."""

        confidence: float = field(default=1.0, metadata={"low": 1e-3, "high": 1e3})
        """How sharply weights are told apart, .001 to 1,000 (the paper's kappa)."""

    def points(self, updates: Updates, call: Call) -> list[Tensor]:  # noqa: ARG002 -- it needs no evidence
        """The origin, from which angles are measured (see `PointRule.points`)."""
        return [origin(updates)]

    def weights(self, gram: Gram) -> Weights:
        """The learning rates of the paper over their sum (see `GramRule.weights`)."""
        n = gram.n - 1
        rates = self._rates(cosines(gram)[:n, :n])
        values = torch.zeros(gram.n, dtype=torch.float64)
        if float(rates.sum()) > 0:
            values[:n] = rates / rates.sum()
        return Weights(values=values)

    def _rates(self, similar: Tensor) -> Tensor:
        """(n,) float64 in [0, 1] out of (n, n) cosines: pardoning, rescaling and the logit."""
        assert isinstance(self.settings, FoolsGold.Settings)
        if len(similar) == 1:
            return torch.ones(1, dtype=torch.float64)
        # with themselves, clients count as at right angles, as in the authors' code: nobody is less alike than that
        similar = similar.clone().fill_diagonal_(0.0)
        most = similar.amax(dim=1)
        # pardoned: a client less alike to its likest than that one is to its own
        pardon = torch.where(most[:, None] < most[None, :], most[:, None] / most[None, :], 1.0)
        rates = (1 - (similar * pardon).amax(dim=1)).clamp(0.0, 1.0)
        if float(rates.max()) <= _ALIKE:
            return torch.zeros_like(rates)
        rates = (rates / rates.max()).clamp_max(0.99)
        return (self.settings.confidence * torch.logit(rates) + 0.5).clamp(0.0, 1.0)


# multiples of one float32 row have cosines this close to 1 and closer
_ALIKE = 1e-9
