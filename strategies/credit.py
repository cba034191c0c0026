"""Credit gating, the default: updates that improve the model on held-out data, none larger than the typical one."""

from dataclasses import dataclass, field
from typing import ClassVar

from strategies.aggregation import EvidenceKind, needed
from strategies.base import Gram, GramRule, Weights
from strategies.clipping import clip_factors, median_norm
from strategies.registry import register
from strategies.settings import RuleSettings, share_of


@register
class CreditGated(GramRule):
    """Mean of the updates clipped to the median norm, without the harmful and the least useful.

    Out are the non-finite and the gated ones, those whose credit is negative beyond noise (z below `z_drop`), and then
    those of the lowest credit until `floor(drop_share * n)` of the n clients are out in all. If all would be out, the
    one of the highest credit stays.

    Withstands any number of malicious clients as far as the held-out data tell (they have to be like what the model is
    for, and unknown to the clients when they train); whoever stays is no larger than the median norm, which assumes
    that fewer than half of the clients are malicious.

    Source: this project's own, measured in docs/arena.md; dropping by validation value after Xie et al., Zeno (ICML
    2019).

    >>> import torch
    >>> from strategies import Evidence
    >>> evidence = Evidence(credit=torch.tensor([0.2, 0.1, -0.5]), z=torch.tensor([3.0, 2.0, -6.0]))
    >>> CreditGated().aggregate(torch.tensor([[2.0], [4.0], [-9.0]]), evidence=evidence).update
    tensor([3.])
    """

    name: ClassVar[str] = "credit_gated"
    summary: ClassVar[str] = (
        "clipped mean without the harmful and the lowest-credited updates (the default; needs evidence)"
    )
    source: ClassVar[str] = "this project (docs/arena.md); after Xie et al. 2019 (Zeno)"
    breakdown: ClassVar[str] = "f < n"
    evidence: ClassVar[frozenset[EvidenceKind]] = frozenset({"credit", "z"})

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `credit_gated`."""

        z_drop: float = field(default=-2.0, metadata={"high": 0.0})
        """Updates whose z is below this, 0 at most, are out however many they are."""
        drop_share: float = field(default=0.3, metadata={"low": 0.0, "high": 0.95})
        """Share of the clients, in [0, .95], that is out at least."""

    def weights(self, gram: Gram) -> Weights:
        """The kept rows' clip factors over their number (see `GramRule.weights`)."""
        credit = needed(gram.evidence, "credit", rule=self.name)
        z = needed(gram.evidence, "z", rule=self.name)
        factors = clip_factors(gram.norms, median_norm(gram.norms))
        out = self._dropped(credit.tolist(), z.tolist(), gram)
        if len(out) == gram.n:
            del out[int(credit.argsort(stable=True, descending=True)[0])]
        values = factors / (gram.n - len(out))
        values[list(out)] = 0.0
        diagnostics = {"clip_factor": factors, "credit": credit, "z": z}
        return Weights(values=values, diagnostics=diagnostics, rejected=out)

    def _dropped(self, credit: list[float], z: list[float], gram: Gram) -> dict[int, str]:
        """Rows that are out, with the reason."""
        assert isinstance(self.settings, CreditGated.Settings)
        limit = self.settings.z_drop
        out = {row: f"harmful: z of {value:.2f}, under {limit:g}" for row, value in enumerate(z) if value < limit}
        missing = share_of(self.settings.drop_share, gram.call.n_clients) - (gram.call.n_clients - gram.n) - len(out)
        ranked = sorted((row for row in range(gram.n) if row not in out), key=lambda row: (credit[row], -row))
        for row in ranked[: max(0, missing)]:
            out[row] = f"precaution: credit of {credit[row]:.3g}, among the lowest"
        return out
