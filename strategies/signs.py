"""The vote on each coordinate's sign: what every client may say is one bit a parameter."""

import sys
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from strategies.base import Block, Column, CoordRule
from strategies.registry import register
from strategies.settings import RuleSettings


@register
class SignMajority(CoordRule):
    """A step of fixed size in the direction that most clients give, coordinate by coordinate; none where votes tie.

    Withstands f < n/2, since no client counts more than one vote however large its update; it assumes that the honest
    agree on the sign (its theory: that their noise is unimodal and symmetric about the true gradient). Zeros don't
    vote. A row's share in a coordinate is equal among those who voted as the majority did, and equal among all
    where there was none.

    Source: Bernstein et al., signSGD with Majority Vote is Communication Efficient and Fault Tolerant (ICLR 2019), the
    majority vote, whose learning rate is the step.

    >>> rule = SignMajority(SignMajority.Settings(step=0.5))
    >>> rule.aggregate(torch.tensor([[1.0, 0.1], [2.0, -0.1], [-1e30, 0.0]])).update
    tensor([0.5000, 0.0000])
    """

    name: ClassVar[str] = "sign_majority"
    summary: ClassVar[str] = "a fixed step in each coordinate, by majority vote on its sign (signSGD)"
    source: ClassVar[str] = "Bernstein et al. 2019 (majority vote)"
    breakdown: ClassVar[str] = "n > 2f"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        """Settings of `sign_majority`."""

        step: float = field(default=1e-4, metadata={"low": sys.float_info.min, "high": sys.float_info.max})
        """How far every coordinate moves, above 0, in the parameters' unit."""

    def reduce(self, block: Block) -> Column:
        """The majority's sign times the step (see `CoordRule.reduce`)."""
        assert isinstance(self.settings, SignMajority.Settings)
        signs = torch.empty(block.values.shape, dtype=block.values.dtype, device=block.values.device)
        torch.sign(block.values, out=signs)
        majority = signs.sum(dim=0).sign()
        agree = signs.eq(majority) | majority.eq(0)
        shares = agree.double() @ agree.sum(dim=0).double().reciprocal_()
        return Column(
            values=majority.double() * self.settings.step, shares=shares.to(device="cpu", dtype=torch.float64)
        )
