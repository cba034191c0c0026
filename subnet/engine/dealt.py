"""Whose the round's probes are, told to a simulation's cheats: who knows another's update knows what it trained on.

The validator's process writes the deal beside the run before it sends a message, so that clients in other processes
read it too. Nothing but a leak reads the file; the round's record has the deal in the end.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from clients.task import Examples, load_task
from subnet.assign import Deal, divide, hands
from subnet.run import leaves
from subnet.spec import ScoringSection, Spec
from subnet.store import write_atomically
from tokenomics.canonical import canonical_json
from tokenomics.merkle import merkle_root

_NAME = "dealt.json"


def tell(folder: Path, round_number: int, deal: Deal) -> None:
    """Write down a round's deal in the run's folder."""
    samples = {hotkey: list(hand) for hotkey, hand in deal.items()}
    write_atomically(folder / _NAME, canonical_json({"round": round_number, "samples": samples}))


@dataclass(frozen=True, slots=True, kw_only=True)
class DealtProbes:
    """The probes of the round that is being played; a `clients.leaks.ProbesOf`.

    Attributes:
        app_dir: the subnet's folder.
        spec: its rules.
        folder: the run's.
    """

    app_dir: Path
    spec: Spec
    folder: Path

    def __call__(self, *, round_number: int, hotkey: str) -> Examples | None:
        """Return a participant's probes; None where it has none, or another round is being played by now."""
        told = json.loads((self.folder / _NAME).read_bytes())
        hand = told["samples"].get(hotkey)
        if told["round"] != round_number or hand is None:
            return None
        pool = _pool(self.app_dir, self.spec.subnet.task, self.spec.scoring)
        return hands({hotkey: tuple(hand)}, pool)[hotkey]


@lru_cache(maxsize=4)
def _pool(app_dir: Path, task: str, rules: ScoringSection) -> Examples:
    held_out = load_task(app_dir, task).validation_data()
    return divide(held_out, root=merkle_root(leaves(held_out)), rules=rules).probes
