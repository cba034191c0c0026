"""A tiny real subnet: its task, its rules with changes, and games played on the in-process Grid."""

import threading
import tomllib
import warnings
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

with warnings.catch_warnings():  # Flower imports typer, which imports what click 8.5 deprecates: not ours to mend
    warnings.simplefilter("ignore", DeprecationWarning)
    from flwr.serverapp import Grid

from clients.app import create_client_app
from clients.task import ModelLayout, load_task
from subnet.engine.app import Schedule, Session
from subnet.engine.inprocess import InProcessGrid
from subnet.engine.simulate import Scenario, open_fixture
from subnet.report import read_round
from subnet.round import play_round
from subnet.scoring.objective import Objective
from subnet.spec import parse_spec

torch.set_num_threads(1)  # as every run does: the number of threads changes the last bits of a result
settings.register_profile("subnet", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("subnet")

APP_DIR = Path(__file__).parents[1] / "clients" / "toy_app"


class RecordingGrid(Grid):
    """Passes everything on to another Grid and keeps what was sent; `on_pull` is told of every reply."""

    def __init__(self, inner):
        self.inner, self.sent, self.on_pull = inner, [], lambda _reply: None

    def set_run(self, run):
        """Pass on."""
        self.inner.set_run(run)

    @property
    def run(self):
        """Pass on."""
        return self.inner.run

    def create_message(self, *args, **kwargs):
        """Pass on."""
        return self.inner.create_message(*args, **kwargs)

    def get_node_ids(self):
        """Pass on."""
        return self.inner.get_node_ids()

    def push_messages(self, messages):
        """Keep and pass on."""
        messages = list(messages)
        self.sent += messages
        return self.inner.push_messages(messages)

    def pull_messages(self, message_ids):
        """Pass on and tell."""
        replies = self.inner.pull_messages(message_ids)
        for reply in replies:
            self.on_pull(reply)
        return replies

    def send_and_receive(self, messages, *, timeout=None):
        """Pass on."""
        return self.inner.send_and_receive(messages, timeout=timeout)


class Game:
    """A run that is being played by a cast, round by round."""

    def __init__(self, scenario, fixture, grid):
        self.scenario, self.grid = scenario, RecordingGrid(grid)
        self.kinds = scenario.kinds()
        self.session = Session(
            fixture, self.grid, Schedule(n_rounds=99, min_participants=len(scenario.roles), wait_s=100)
        )

    @property
    def fixture(self):
        """The run's fixture."""
        return self.session.fixture

    @property
    def state(self):
        """The state after the last round."""
        return self.session.state

    def change(self, **parts):
        """Put other parts into the fixture, for the rounds to come."""
        self.session.fixture = replace(self.fixture, **parts)

    def play(self, n_rounds=1, *, without=()):
        """Play rounds, without the hotkeys that are to stay away; return the last one's report."""
        for _ in range(n_rounds):
            present = {hotkey: node for hotkey, node in self.session._gather().items() if hotkey not in without}
            self.session.state = play_round(self.fixture, self.state, self.grid, present)
        return self.report()

    def report(self, number=None):
        """A settled round with its record and receipts; the last one when no number is given."""
        wanted = number or self.fixture.ledger.height
        row = next(row for row in self.fixture.ledger.rounds() if row.round == wanted)
        return read_round(self.fixture.ledger, self.fixture.store, row)

    def hotkey_of(self, message):
        """The hotkey of the node that a message is for."""
        return next(hotkey for hotkey, node in self.session._gather().items() if node == message.metadata.dst_node_id)

    def of_kind(self, kind):
        """Hotkeys of a kind, in the order of the cast."""
        return [hotkey for hotkey, found in self.kinds.items() if found == kind]


@pytest.fixture(scope="session")
def app_dir():
    return APP_DIR


@pytest.fixture(scope="session")
def task():
    return load_task(APP_DIR, "toy_task:Toy")


@pytest.fixture(scope="session")
def layout(task):
    return ModelLayout.of(task.model())


@pytest.fixture(scope="session")
def objective(task):
    return Objective(task)


@pytest.fixture(scope="session")
def base(task, layout):
    """A model's parameters `(n_params,)`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return layout.read(task.model())


@pytest.fixture(scope="session")
def make_spec():
    """The toy's spec with some sections' keys changed: `make_spec(rounds={"count": 2})`."""

    def make(**changes):
        values = tomllib.loads((APP_DIR / "subnet.toml").read_text(encoding="utf-8"))
        for section, keys in changes.items():
            values[section] = {
                key: value for key, value in (values.get(section, {}) | keys).items() if value is not None
            }
        return parse_spec(values, source="subnet.toml")

    return make


@pytest.fixture(scope="session")
def open_game(make_spec) -> Callable[..., object]:
    """Opens a game of a cast in a folder, as a context manager; keywords change the spec's sections."""

    @contextmanager
    def opened(folder, cast, *, seed=0, **changes):
        scenario = Scenario(
            spec=make_spec(**changes),
            app_dir=APP_DIR,
            cast=cast,
            partition="dirichlet:0.3",
            seed=seed,
            n_rounds=99,
        )
        with open_fixture(scenario, folder, threading.Event()) as fixture:
            app = create_client_app(scenario.participants(folder / "models"))
            with InProcessGrid(app, n_nodes=len(scenario.roles), n_workers=2) as grid:
                yield Game(scenario, fixture, grid)

    return opened


@pytest.fixture
def game(tmp_path, open_game):
    """Open games in the test's own folder and close them at its end; arguments as for `open_game`."""
    with ExitStack() as stack:
        yield lambda cast, **more: stack.enter_context(open_game(tmp_path / "run", cast, **more))


SEASON_CAST = "honest=5,sign_flip:2=1,stale=1,copycat=1,nan=1,unsigned=1,crash=1,forged=1"


@pytest.fixture(scope="session")
def season(tmp_path_factory, open_game):
    """Four rounds of honest ones and cheats, and the state after each (from 0); nobody may play on."""
    with open_game(tmp_path_factory.mktemp("season"), SEASON_CAST) as game:
        game.states = [game.state]
        for _ in range(4):
            game.play()
            game.states.append(game.state)
        yield game
