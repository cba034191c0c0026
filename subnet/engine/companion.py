"""The same clients under another aggregation rule, played round by round beside a run, to compare with.

The companion has no gate and no copy rule, suspends nobody, takes every finite model, and scores on as little as can
be, since nobody is paid by it: it shows what that rule alone does. Replies that aren't finite numbers are screened out
for it too; plain averaging would otherwise be NaN from the first such reply.
"""

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from clients.app import create_client_app
from subnet.engine.app import Schedule, Session
from subnet.engine.inprocess import InProcessGrid
from subnet.engine.simulate import GATHER_S, Scenario, open_fixture
from subnet.report import read_round


class Companion:
    """Keeps a second run in step with a first one.

    Args:
        scenario: the first run's.
        folder: the second run's own folder.
        strategy: the rule that it plays.

    `begin` opens it, `advance` plays on, `close` ends it.
    """

    def __init__(self, scenario: Scenario, folder: Path, *, strategy: str) -> None:
        spec = scenario.spec
        plain = spec.model_copy(
            update={
                "strategy": spec.strategy.model_copy(update={"name": strategy, "settings": {}}),
                "validation": spec.validation.model_copy(
                    update={"tolerance": float("1e30"), "n_batches": 2, "batch_size": 16}
                ),
                "scoring": spec.scoring.model_copy(
                    update={
                        "gate_floor": 0.0,
                        "gate_share": 0.0,
                        "copy_floor": 1.0,
                        "copy_ceiling": 1.0,
                        "suspension": 0,
                        "probe_z": -100.0,
                    }
                ),
            }
        )
        self.strategy = strategy
        self._scenario = Scenario(
            spec=plain,
            app_dir=scenario.app_dir,
            cast=scenario.cast,
            partition=scenario.partition,
            seed=scenario.seed,
            n_rounds=scenario.n_rounds,
        )
        self._folder = folder
        self._scenario.check()
        self._stack = ExitStack()
        self._session: Session | None = None

    @property
    def accuracy(self) -> float | None:
        """Validation accuracy after its last round; None before the first and where the task has none."""
        return self._session.state.val_accuracy if self._session else None

    def begin(self) -> None:
        """Open its folder and start its clients."""
        n_clients = len(self._scenario.roles)
        field = self._scenario.participants(self._folder.absolute() / "models")
        fixture = self._stack.enter_context(open_fixture(self._scenario, self._folder, threading.Event()))
        grid = self._stack.enter_context(
            InProcessGrid(create_client_app(field), n_nodes=n_clients, n_workers=os.cpu_count() or 1)
        )
        schedule = Schedule(n_rounds=self._scenario.n_rounds, min_participants=n_clients, wait_s=GATHER_S)
        self._session = Session(fixture, grid, schedule)

    def advance(self, n_rounds: int) -> None:
        """Play until `n_rounds` are settled."""
        assert self._session is not None, "begin comes first"
        while self._session.state.round < n_rounds:
            self._session.play()

    def close(self) -> None:
        """Stop its clients and close its ledger."""
        self._stack.close()

    def to_json(self) -> dict[str, Any]:
        """Return its rounds as `simulate --json` prints them."""
        assert self._session is not None, "begin comes first"
        fixture = self._session.fixture
        rounds = [read_round(fixture.ledger, fixture.store, row).record for row in fixture.ledger.rounds()]
        shown = [
            {
                "round": record["round"],
                "val_loss": record["val_loss_after"],
                "val_accuracy": record["val_accuracy_after"],
            }
            for record in rounds
        ]
        return {"strategy": self.strategy, "rounds": shown, "final": shown[-1]}
