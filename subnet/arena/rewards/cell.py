"""One cell of the rewards arena: a scorer against one kind of cheat, on one division of the data, with one seed."""

from dataclasses import dataclass
from pathlib import Path

from subnet.arena.cell import key_of

VERSION = 5
"""Part of every cell's key; raised when what a cell measures changes."""

NO_CHEAT = "none"
"""The field in which the would-be cheats stay away: what the honest alone come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardCell:
    """What one cell plays; everything that its result depends on.

    Attributes:
        subnet: folder of the subnet.
        spec: content hash of its spec.
        code: content hash of its task's source file.
        scorer: by which scorer contributions are paid.
        cheat: the role of the cheats, `copycat` or `copycat:0.5`; `none` for none.
        partition: `iid` or `dirichlet:ALPHA`.
        n_clients: in all.
        n_cheats: how many of them cheat.
        n_rounds: rounds that are played and paid.
        seed: fixes wallets, model, data division and local randomness.
    """

    subnet: str
    spec: str
    code: str
    scorer: str
    cheat: str
    partition: str
    n_clients: int
    n_cheats: int
    n_rounds: int
    seed: int

    @property
    def app_dir(self) -> Path:
        """The subnet's folder."""
        return Path(self.subnet)

    @property
    def title(self) -> str:
        """The cell in words, for errors."""
        return f"{self.cheat} under {self.scorer} ({self.partition})"

    @property
    def cast(self) -> str:
        """Who takes part. Without a cheat the others crash in every round, so that the honest have the same data."""
        role = "crash" if self.cheat == NO_CHEAT else self.cheat
        return f"honest={self.n_clients - self.n_cheats},{role}={self.n_cheats}"

    @property
    def key(self) -> str:
        """Content hash by which the result is cached; the folder's place doesn't matter, what lies in it does."""
        return key_of(self, arena="rewards", version=VERSION)
