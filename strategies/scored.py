"""Rules that drop updates by what they are worth on held-out data, without looking at their numbers."""

import sys
from dataclasses import dataclass, field
from typing import ClassVar

from strategies.aggregation import EvidenceKind, needed
from strategies.base import Gram, GramRule, Weights
from strategies.nearest import equal_weights
from strategies.registry import register
from strategies.settings import RobustSettings, RuleSettings


@register
class Zeno(GramRule):
    """Mean of the n - f updates of the highest score: the loss that they save, less a penalty on their size.

    The score is `Evidence.credit` less rho times the squared norm. Withstands as many malicious clients as are dropped,
    assuming that the held-out data tell (the paper allows any number below n; `n_byzantine` is below half here); of
    equal scores the earlier update stays.

    Source: Xie, Koyejo and Gupta, Zeno: Distributed Stochastic Gradient Descent with Suspicion-based Fault-tolerance
    (ICML 2019), the stochastic descendant score and the aggregation by it.

    >>> import torch
    >>> from strategies import Evidence
    >>> evidence = Evidence(credit=torch.tensor([0.2, 0.1, -0.5]))
    >>> Zeno(Zeno.Settings(n_byzantine=1)).aggregate(torch.tensor([[2.0], [4.0], [-9.0]]), evidence=evidence).update
    tensor([3.])
    """

    name: ClassVar[str] = "zeno"
    summary: ClassVar[str] = "mean of the updates of the highest credit less a penalty on size (needs evidence: credit)"
    source: ClassVar[str] = "Xie, Koyejo and Gupta 2019 (Zeno)"
    breakdown: ClassVar[str] = "n > 2f"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"credit"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RobustSettings):
        """Settings of `zeno`; n_byzantine is how many are dropped (the paper's b)."""

        rho: float = field(default=5e-4, metadata={"low": 0.0, "high": sys.float_info.max})
        """What a unit of squared norm costs, 0 or more, in loss (the paper's rho)."""

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of the best-scored (see `GramRule.weights`)."""
        assert isinstance(self.settings, Zeno.Settings)
        scores = needed(gram.evidence, "credit", rule=self.name) - self.settings.rho * gram.norms.square()
        best = scores.argsort(stable=True, descending=True)[: gram.n - gram.n_byzantine]
        return Weights(values=equal_weights(best, n=gram.n), diagnostics={"zeno_score": scores})


@register
class LeaveOneOutGated(GramRule):
    """Mean of the updates whose absence would cost something: credit not below a limit.

    `Evidence.credit` is to be each update's leave-one-out value: held-out loss without it less the loss with all.
    Withstands any number of malicious clients, assuming that the held-out data tell. Nothing is clipped, and noise
    isn't allowed for; `credit_gated` does both. If all would be out, the one of the highest credit stays (the earlier
    of equal ones).

    Source: Cook, Detection of Influential Observation in Linear Regression (1977); as data values Ghorbani and Zou,
    Data Shapley: Equitable Valuation of Data for Machine Learning (ICML 2019), the leave-one-out method.

    >>> import torch
    >>> from strategies import Evidence
    >>> evidence = Evidence(credit=torch.tensor([0.2, 0.1, -0.5]))
    >>> LeaveOneOutGated().aggregate(torch.tensor([[2.0], [4.0], [-9.0]]), evidence=evidence).update
    tensor([3.])
    """

    name: ClassVar[str] = "loo_gated"
    summary: ClassVar[str] = "mean of the updates of positive leave-one-out value (needs evidence: credit)"
    source: ClassVar[str] = "Cook 1977; Ghorbani and Zou 2019 (leave-one-out)"
    breakdown: ClassVar[str] = "f < n"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"credit"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `loo_gated`."""

        min_credit: float = field(default=0.0, metadata={"low": -sys.float_info.max, "high": sys.float_info.max})
        """Updates worth less than this, any finite number in loss, are out."""

    def weights(self, gram: Gram) -> Weights:
        """The same weight for each of those left (see `GramRule.weights`)."""
        assert isinstance(self.settings, LeaveOneOutGated.Settings)
        credit = needed(gram.evidence, "credit", rule=self.name)
        limit = self.settings.min_credit
        kept = (credit >= limit).nonzero().flatten()
        if len(kept) == 0:
            kept = credit.argsort(stable=True, descending=True)[:1]
        inside = set(kept.tolist())
        rejected = {
            row: f"leave-one-out value of {value:.3g}, under {limit:g}"
            for row, value in enumerate(credit.tolist())
            if row not in inside
        }
        return Weights(values=equal_weights(kept, n=gram.n), diagnostics={"credit": credit}, rejected=rejected)
