"""How a simulation divides the training data among its clients."""

import torch
from torch import Tensor

from clients.errors import CastError
from clients.seeds import generator
from clients.task import Examples

MIN_EXAMPLES = 10
"""No simulated client gets fewer: below that a local epoch means nothing."""

_MAX_TRIES = 1000


def parse(partition: str) -> tuple[str, float]:
    """Read `iid` or `dirichlet:ALPHA`.

    Returns:
        `("iid", 0.0)` or `("dirichlet", alpha)`.

    Raises:
        CastError: anything else, or an alpha that isn't a positive number.
    """
    kind, _, value = partition.partition(":")
    if kind == "iid" and not value:
        return kind, 0.0
    if kind == "dirichlet":
        try:
            alpha = float(value)
        except ValueError:
            alpha = -1.0
        if 0.0 < alpha < float("inf"):
            return kind, alpha
    raise CastError(f"partition {partition!r} is unknown", remedy="use 'iid' or 'dirichlet:ALPHA' with ALPHA > 0")


def split(examples: Examples, n_shards: int, *, partition: str, seed: int) -> list[Tensor]:
    """Divide examples into shards.

    Args:
        examples: what is divided; Dirichlet needs one integer label an example.
        n_shards: how many, at least 1.
        partition: `iid` or `dirichlet:ALPHA`: every label is divided over the shards in proportions drawn from a
            symmetric Dirichlet of that concentration, so shards differ in label mix and in size.
        seed: the same seed gives the same shards.

    Returns:
        For each shard the sorted indices of its examples; together every example exactly once.

    Raises:
        CastError: too few examples for so many shards, or labels that can't be divided by.

    Source: Hsu, Qi and Brown 2019 (arXiv:1909.06335), section 3, in the per-label form of Yurochkin et al. 2019
    (arXiv:1905.12022), drawn again until every shard has `MIN_EXAMPLES`.
    """
    kind, alpha = parse(partition)
    if len(examples) < n_shards * MIN_EXAMPLES:
        raise CastError(
            f"{len(examples)} training examples don't give {n_shards} clients at least {MIN_EXAMPLES} each",
            remedy=f"use at most {len(examples) // MIN_EXAMPLES} clients",
        )
    draw = generator("partition", partition, n_shards, seed)
    if kind == "iid":
        order = torch.randperm(len(examples), generator=draw)
        return [shard.sort().values for shard in order.tensor_split(n_shards)]
    labels = examples.targets
    if labels.dim() != 1 or labels.is_floating_point():
        raise CastError("a Dirichlet partition needs one integer label an example", remedy="use 'iid' for this task")
    for _ in range(_MAX_TRIES):
        shards = _dirichlet(labels, n_shards, alpha, draw)
        if min(len(shard) for shard in shards) >= MIN_EXAMPLES:
            return shards
    raise CastError(
        f"no draw of {partition} in {_MAX_TRIES} gave {n_shards} clients at least {MIN_EXAMPLES} examples each",
        remedy="use a larger alpha or fewer clients",
    )


def _dirichlet(labels: Tensor, n_shards: int, alpha: float, draw: torch.Generator) -> list[Tensor]:
    concentration = torch.full((n_shards,), alpha, dtype=torch.float64)
    pieces: list[list[Tensor]] = [[] for _ in range(n_shards)]
    for label in torch.unique(labels, sorted=True).tolist():
        members = (labels == label).nonzero().flatten()
        members = members[torch.randperm(len(members), generator=draw)]
        gamma = torch._standard_gamma(concentration, generator=draw)  # noqa: SLF001 (the public one takes no generator)
        cuts = (gamma.cumsum(0) / gamma.sum() * len(members)).round().long()[:-1]
        for shard, piece in zip(pieces, members.tensor_split(cuts.tolist()), strict=True):
            shard.append(piece)
    return [torch.cat(shard).sort().values for shard in pieces]
