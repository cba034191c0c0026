"""The vote on each coordinate's sign: what every client may say is one bit a parameter."""

import dataclasses
import sys
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from strategies.aggregation import Call, Combined
from strategies.base import Block, Column, CoordRule
from strategies.clipping import median_norm
from strategies.registry import register
from strategies.settings import RuleSettings
from strategies.updates import Updates


@register
class SignMajority(CoordRule):
    """A step of fixed size in the direction that most clients give, coordinate by coordinate; none where votes tie.

    Withstands f < n/2, since no client counts more than one vote however large its update; it assumes that the honest
    agree on the sign (its theory: that their noise is unimodal and symmetric about the true gradient). Zeros don't
    vote. A row's share in a coordinate is equal among those who voted as the majority did, and equal among all
    where there was none.

    Source: Bernstein et al., signSGD with Majority Vote is Communication Efficient and Fault Tolerant (ICLR 2019), the
    majority vote, whose learning rate is the step; a step as long as a typical update, the default, is this package's.

    >>> rule = SignMajority(SignMajority.Settings(step=0.5))
    >>> rule.aggregate(torch.tensor([[1.0, 0.1], [2.0, -0.1], [-1e30, 0.0]])).update
    tensor([0.5000, 0.0000])
    """

    name: ClassVar[str] = "sign_majority"
    summary: ClassVar[str] = "an equal step in each coordinate, by majority vote on its sign (signSGD)"
    source: ClassVar[str] = "Bernstein et al. 2019 (majority vote)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `sign_majority`."""

        step: float | None = field(default=None, metadata={"low": sys.float_info.min, "high": sys.float_info.max})
        """How far every coordinate moves, above 0, in the parameters' unit; None: so far that the whole step is as long
        as the median update (of those that aren't zero)."""

    def combine(self, updates: Updates, call: Call) -> Combined:
        """Take the step in the majority's direction (see `Aggregator.combine`)."""
        assert isinstance(self.settings, SignMajority.Settings)
        typical = median_norm(updates.norms()) / updates.d**0.5
        votes = super().combine(updates, call)
        step = typical if self.settings.step is None else self.settings.step
        return dataclasses.replace(votes, update=votes.update.double().mul_(step).to(updates.dtype))

    def reduce(self, block: Block) -> Column:
        """The majority's sign (see `CoordRule.reduce`)."""
        signs = torch.empty(block.values.shape, dtype=block.values.dtype, device=block.values.device)
        torch.sign(block.values, out=signs)
        majority = signs.sum(dim=0).sign()
        agree = signs.eq(majority) | majority.eq(0)
        shares = agree.double() @ agree.sum(dim=0).double().reciprocal_()
        return Column(values=majority, shares=shares.to(device="cpu", dtype=torch.float64))
