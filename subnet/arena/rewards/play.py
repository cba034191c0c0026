"""Play one cell: a whole subnet in a folder of its own, and what its ledger says in the end."""

import tempfile
import time
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from clients.cast import kind
from subnet.arena.rewards.cell import NO_CHEAT, RewardCell
from subnet.engine.simulate import Scenario, quiet, simulate
from subnet.report import read_round
from subnet.run_files import LEDGER_NAME
from subnet.spec import Spec, load_spec
from subnet.state import Fixture, State
from subnet.store import Store
from tokenomics.ledger import Ledger

STARVED = 0.05
"""An honest participant with less than this part of the honest mean counts as starved."""


class Silent:
    """An observer that says nothing."""

    def began(self, fixture: Fixture, state: State, n_rounds: int) -> None:
        """Say nothing."""

    def replied(self, n_done: int, n_total: int) -> None:
        """Say nothing."""

    def settled(self, fixture: Fixture, state: State) -> None:
        """Say nothing."""


def play(cell: RewardCell) -> dict[str, Any]:
    """Play a cell and return what its ledger and receipts say; the same cell gives the same, but for the time.

    Returns:
        `cheat_share` (the cheats' part of all that participants keep: what rounds paid but for what strikes voided;
        what is still pending in the end counts as kept), `profit` (a cheat's mean over an honest participant's; None if
        no honest one keeps anything, or without cheats), `top_profit` (the best paid cheat's),
        `accuracy` (of the last model on held-out data), `honest_cv` (standard deviation of the honest ones' pay over
        its mean), `honest_starved` (part of them with under 5 % of that mean), `n_honest_struck` (strikes on honest
        ones), `n_refused` (rounds whose model was refused), `wall_s`.

    Raises:
        CastError, SpecError, StrategyError, TaskError: the cell can't be played.
    """
    began = time.perf_counter()
    scenario = _scenario(cell, load_spec(cell.app_dir))
    scenario.check()
    with quiet(), tempfile.TemporaryDirectory(prefix="subnet-rewards-") as folder:
        simulate(scenario, Path(folder) / "run", engine="inprocess", observer=Silent(), n_workers=1)
        found = _read(Path(folder) / "run", scenario.kinds(), cheat=kind(cell.cheat))
    return found | {"wall_s": time.perf_counter() - began}


def _scenario(cell: RewardCell, spec: Spec) -> Scenario:
    scoring = spec.scoring.model_copy(update={"scorer": cell.scorer})
    return Scenario(
        spec=spec.model_copy(update={"scoring": scoring}),
        app_dir=cell.app_dir,
        cast=cell.cast,
        partition=cell.partition,
        seed=cell.seed,
        n_rounds=cell.n_rounds,
    )


def _read(folder: Path, kinds: dict[str, str], *, cheat: str) -> dict[str, Any]:
    struck, refused, accuracy = 0, 0, None
    with Ledger.open(folder / LEDGER_NAME, read_only=True) as ledger:
        kept = dict.fromkeys(kinds, 0) | {key: one.vested + one.pending for key, one in ledger.earnings().items()}
        for row in ledger.rounds():
            report = read_round(ledger, Store(folder), row)
            struck += sum(one["strike"] for hotkey, one in report.receipts.items() if kinds[hotkey] == "honest")
            refused += not row.pays
            accuracy = report.record["val_accuracy_after"]
    honest = [kept[hotkey] for hotkey, found in kinds.items() if found == "honest"]
    cheats = [kept[hotkey] for hotkey, found in kinds.items() if found == cheat] if cheat != NO_CHEAT else []
    usual, total = mean(honest), sum(kept.values())
    return {
        "cheat_share": sum(cheats) / total if total else 0.0,
        "profit": mean(cheats) / usual if cheats and usual else None,
        "top_profit": max(cheats) / usual if cheats and usual else None,
        "accuracy": accuracy,
        "honest_cv": pstdev(honest) / usual if usual else None,
        "honest_starved": sum(one < STARVED * usual for one in honest) / len(honest) if usual else 1.0,
        "n_honest_struck": struck,
        "n_refused": refused,
    }
