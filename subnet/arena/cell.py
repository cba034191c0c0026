"""One cell of the arena: a rule against an attack on one division of one task's data, with one seed."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from subnet._version import __version__
from tokenomics.canonical import content_hash

VERSION = 4
"""Part of every cell's key; raised when what a cell measures changes, so that old results aren't taken for new ones."""

Stated: TypeAlias = int | Literal["auto"]
"""How many attackers a rule is told of; "auto" leaves it to the rule's own estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What one cell plays; everything that its result depends on.

    Attributes:
        subnet: folder of the subnet whose task and training it is.
        spec: content hash of that subnet's spec.
        code: content hash of the task's source file, and of the rule's where it isn't one that ships.
        strategy: the aggregation rule: its name, mixers and a rule joined by `+`, or an import path.
        attack: name of the attack, `none` for a field of honest clients.
        partition: `iid` or `dirichlet:ALPHA`.
        n_clients: in all.
        n_byzantine: how many of them attack; without an attack they are honest too.
        stated: how many attackers the rule is told of; None for a rule that can't be told.
        n_rounds: rounds of training.
        seed: fixes model, data division and local randomness.
    """

    subnet: str
    spec: str
    code: str
    strategy: str
    attack: str
    partition: str
    n_clients: int
    n_byzantine: int
    stated: Stated | None
    n_rounds: int
    seed: int

    @property
    def app_dir(self) -> Path:
        """The subnet's folder."""
        return Path(self.subnet)

    @property
    def title(self) -> str:
        """The cell in words, for errors."""
        return f"{self.strategy} against {self.attack} ({self.partition})"

    @property
    def key(self) -> str:
        """Content hash by which the result is cached; the folder's place doesn't matter, what lies in it does."""
        return key_of(self, version=VERSION)


def key_of(cell: Any, **more: Any) -> str:
    """Return the content hash of a cell's fields, its folder left out, and of what else its result depends on."""
    fields: dict[str, Any] = asdict(cell)
    del fields["subnet"]
    return content_hash({"package": __version__, **more, **fields})
