"""One cell of the arena: a rule against an attack on one division of one task's data, with one seed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tokenomics.canonical import content_hash

VERSION = 1
"""Part of every cell's key; raised when what a cell measures changes, so that old results aren't taken for new ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one cell plays; everything that its result depends on.

    Attributes:
        subnet: folder of the subnet whose task and training it is.
        spec: content hash of that subnet's spec.
        strategy: name of the aggregation rule.
        attack: name of the attack, `none` for a field of honest clients.
        partition: `iid` or `dirichlet:ALPHA`.
        n_clients: in all.
        n_byzantine: how many of them attack; without an attack they are honest too.
        stated: how many attackers the rule is told of.
        n_rounds: rounds of training.
        seed: fixes model, data division and local randomness.
    """

    subnet: str
    spec: str
    strategy: str
    attack: str
    partition: str
    n_clients: int
    n_byzantine: int
    stated: int
    n_rounds: int
    seed: int

    @property
    def app_dir(self) -> Path:
        """The subnet's folder."""
        return Path(self.subnet)

    @property
    def key(self) -> str:
        """Content hash by which the result is cached; the folder's place doesn't matter, its spec does."""
        fields: dict[str, Any] = asdict(self)
        del fields["subnet"]
        return content_hash({"version": VERSION, **fields})
