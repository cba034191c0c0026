"""The Flower ServerApp: enrol who is there, play a round, enrol who came since, and so on.

The same loop runs on every engine; what differs (where the run's folder is, which clock and which entropy) comes in
as the fixture.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from subnet.enrol import Roster, enrol
from subnet.enrolments import Enrolments
from subnet.errors import EngineError, StoppedError
from subnet.round import play_round
from subnet.state import Fixture, State, restore

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Watches a run."""

    def began(self, fixture: Fixture, state: State, n_rounds: int) -> None:
        """Called once the state is read, before the first round is played."""
        ...

    def replied(self, n_done: int, n_total: int) -> None:
        """Called after every reply."""
        ...

    def settled(self, fixture: Fixture, state: State) -> None:
        """Called after every round, when it is in the ledger."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long a run goes on.

    Attributes:
        n_rounds: it ends when so many rounds are settled, those of earlier runs in the same folder included.
        min_participants: a round waits for so many enrolled participants.
        wait_s: but not longer than this.
    """

    n_rounds: int
    min_participants: int
    wait_s: float


def create_server_app(play: Callable[[Grid, Context], None]) -> ServerApp:
    """Return a ServerApp that plays a run."""
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        play(grid, context)

    return app


class Session:
    """A run that is being played: who is enrolled, and the state between two rounds.

    Args:
        fixture: what stays the same over the run.
        grid: how participants are reached.
        schedule: how long it goes on.
    """

    def __init__(self, fixture: Fixture, grid: Grid, schedule: Schedule) -> None:
        self.fixture = fixture
        self.schedule = schedule
        self.state = restore(fixture)
        self._grid = grid
        self._roster = Roster()
        self._enrolments = Enrolments(fixture.store.root)

    def play(self, on_reply: Callable[[int, int], None] = lambda _done, _total: None) -> None:
        """Enrol newcomers and play the next round.

        Raises:
            EngineError: too few participants came in time.
            StoppedError: the fixture's `stopped` said so.
        """
        participants = self._gather()
        self.state = play_round(self.fixture, self.state, self._grid, participants, on_reply=on_reply)

    def _gather(self) -> dict[str, int]:
        """Enrol newcomers until enough are there, and wait for nobody else. Returns node id by hotkey."""
        wanted, wait_s = self.schedule.min_participants, self.schedule.wait_s
        end = time.monotonic() + wait_s
        told, patience_s = False, 0.0
        while True:
            strangers = self._enrol(patience_s)
            present = self._roster.present(self._grid.get_node_ids())
            if len(present) >= wanted:
                return present
            if self.fixture.stopped():
                raise StoppedError("the run was stopped", remedy="give the same command again")
            if time.monotonic() >= end:
                raise EngineError(
                    f"{len(present)} participants enrolled in {wait_s:g} s, {wanted} are needed"
                    + (f"; {len(strangers)} nodes are online and aren't enrolled" if strangers else ""),
                    remedy="start more nodes, look at their logs, or lower min-participants",
                )
            if not told:
                log.info("waiting for participants: %d of %d", len(present), wanted)
                told = True
            patience_s = 1.0
            if not self._roster.pending:
                time.sleep(0.2)  # nobody has been asked: nodes are still to come

    def _enrol(self, patience_s: float) -> list[int]:
        entropy, number = self.fixture.entropy, self.state.round + 1
        return enrol(
            self._grid,
            self._roster,
            subnet=self.fixture.spec.hash,
            fresh_id=lambda node: entropy.message_id(number, f"node-{node}"),
            deadline_s=patience_s,
            stopped=self.fixture.stopped,
            keep=self._enrolments.keep,
        )


def play_run(fixture: Fixture, grid: Grid, schedule: Schedule, observer: Observer) -> None:
    """Play a run's rounds that aren't settled yet, and tell the observer.

    Raises:
        EngineError: too few participants came in time.
        StoppedError: the fixture's `stopped` said so.
    """
    session = Session(fixture, grid, schedule)
    observer.began(fixture, session.state, schedule.n_rounds)
    while session.state.round < schedule.n_rounds:
        session.play(observer.replied)
        observer.settled(fixture, session.state)
