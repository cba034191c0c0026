"""Money: what a round may mint, who gets it, and the ledger that keeps it.

This face is light. Keys are in `tokenomics.keys`, the ledger is in `tokenomics.ledger`, which needs SQLAlchemy, and
so do the statements drawn from it in `tokenomics.statement`.
"""

from tokenomics.amount import Amount, Token
from tokenomics.emission import HeightSchedule, SupplySchedule
from tokenomics.errors import TokenomicsError
from tokenomics.split import Shares, divide_round, split

__all__ = [
    "Amount",
    "HeightSchedule",
    "Shares",
    "SupplySchedule",
    "Token",
    "TokenomicsError",
    "divide_round",
    "split",
]
