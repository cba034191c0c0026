"""Robust aggregation: one update out of many, some of them malicious.

>>> import torch
>>> result = create("trimmed_mean", n_byzantine=1).aggregate(torch.tensor([[1.0], [2.0], [3.0], [1e30]]))
>>> result.update, result.influence
(tensor([2.5000]), tensor([0.0000, 0.5000, 0.5000, 0.0000], dtype=torch.float64))
"""

from strategies import (  # noqa: F401 -- registers the rules that ship
    around_median,
    centering,
    clipping,
    clusters,
    coordinate,
    credit,
    directions,
    geometric,
    krum,
    mean,
    mixing,
    nearest,
    scored,
    signs,
    spectral,
    subsets,
)
from strategies.aggregation import Aggregation, Evidence
from strategies.base import Aggregator
from strategies.errors import StrategyError
from strategies.registry import create, describe, names, register
from strategies.updates import Updates

__all__ = [
    "Aggregation",
    "Aggregator",
    "Evidence",
    "StrategyError",
    "Updates",
    "create",
    "describe",
    "names",
    "register",
]
