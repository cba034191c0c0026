"""The two Flower apps of a real deployment, for `flwr run`: settings from `pyproject.toml`, identities from wallets.

Run configuration (`[tool.flwr.app.config]`): `rounds` (0: the spec's), `out` (the run's folder; empty: one below
`~/.local/share/flower-subnet`), `wallet` (the validator's; empty: one made in that folder), `min-participants`,
`wait-s`, `ledger-url` (optional: PostgreSQL's, as `subnet simulate` has it; else SUBNET_LEDGER_URL, else a file),
`simulated-wallets` (true lets nodes without a wallet take a throwaway one: for trials only).
"""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp

from clients.app import WalletNode, create_client_app
from clients.task import load_task
from subnet.assign import check as check_probes
from subnet.engine.app import Schedule, create_server_app, play_run
from subnet.errors import SpecError
from subnet.report import read_round
from subnet.run import SystemEntropy, agree, locked, prepared
from subnet.spec import FILE_NAME, Spec, load_spec
from subnet.state import Fixture, State
from tokenomics import Amount
from tokenomics.keys import Hotkey, Wallet, load_hotkey

log = logging.getLogger(__name__)

_WALLET_NAME = "validator"


def create_client(app_dir: Path) -> ClientApp:
    """Return the ClientApp of the subnet in `app_dir`, for `[tool.flwr.app.components] clientapp`."""
    _log_as_flower()
    spec = load_spec(app_dir)
    source = WalletNode(
        app_dir=app_dir,
        task=spec.subnet.task,
        subnet=spec.hash,
        settings=spec.training.settings(),
        n_probes=spec.scoring.probes,
    )
    return create_client_app(source)


def create_server(app_dir: Path) -> ServerApp:
    """Return the ServerApp of the subnet in `app_dir`, for `[tool.flwr.app.components] serverapp`."""
    _log_as_flower()
    return create_server_app(lambda grid, context: _validate(app_dir, grid, Settings.read(context)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The run configuration, checked."""

    rounds: int
    out: str
    wallet: str
    min_participants: int
    wait_s: float
    ledger_url: str | None

    @classmethod
    def read(cls, context: Context) -> "Settings":
        """Read a run's configuration.

        Raises:
            SpecError: a setting is missing or out of range.
        """
        config = context.run_config
        found: dict[str, int | float | str | None] = {}
        wanted = {
            "rounds": (int, 0),
            "min-participants": (int, 1),
            "wait-s": (int | float, 1),
            "out": (str, None),
            "wallet": (str, None),
        }
        for name, (kind, least) in wanted.items():
            value = config.get(name)
            if not isinstance(value, kind) or isinstance(value, bool) or (least is not None and float(value) < least):
                raise SpecError(
                    f"run configuration {name} = {value!r} isn't allowed",
                    remedy=f"set {name} in [tool.flwr.app.config] or with --run-config",
                )
            found[name.replace("-", "_")] = value
        found["ledger_url"] = str(config.get("ledger-url") or os.environ.get("SUBNET_LEDGER_URL") or "") or None
        return cls(**found)  # type: ignore[arg-type]


class _Log:
    """Tells Flower's log what happens."""

    def began(self, fixture: Fixture, state: State, n_rounds: int) -> None:
        log.info(
            "subnet %s: %d of %d rounds settled, ledger %s, validator %s",
            fixture.spec.subnet.name,
            state.round,
            n_rounds,
            fixture.ledger.path,
            fixture.keypair.public[:12],
        )

    def replied(self, n_done: int, n_total: int) -> None:
        log.debug("%d of %d replies", n_done, n_total)

    def settled(self, fixture: Fixture, state: State) -> None:
        [row] = fixture.ledger.rounds(start=state.round)
        played = read_round(fixture.ledger, fixture.store, row)
        rejected = ", ".join(f"{entry['hotkey'][:12]} {entry['reason']}" for entry in played.rejected) or "none"
        log.info(
            "round %d: loss %.4f > %.4f, %d accepted, rejected: %s, minted %s",
            row.round,
            played.record["val_loss_before"],
            played.record["val_loss_after"],
            len(played.accepted),
            rejected,
            Amount(row.minted, fixture.ledger.genesis.token),
        )


def _validate(app_dir: Path, grid: Grid, settings: Settings) -> None:
    """Play a run as its validator."""
    spec = load_spec(app_dir)
    folder = Path(settings.out).expanduser() if settings.out else _default_folder(spec)
    schedule = Schedule(
        n_rounds=settings.rounds or spec.rounds.count,
        min_participants=settings.min_participants,
        wait_s=settings.wait_s,
    )
    task = load_task(app_dir, spec.subnet.task)
    check_probes(spec.scoring, n_held_out=len(task.validation_data()), n_participants=settings.min_participants)
    with locked(folder):
        hotkey = load_hotkey(Path(settings.wallet).expanduser()) if settings.wallet else None
        plan = {"version": 1, "spec": spec.hash, "subnet": spec.subnet.name}
        agree(folder, plan, (app_dir / FILE_NAME).read_text(encoding="utf-8"))
        with prepared(
            spec,
            task,
            folder,
            app_dir=app_dir,
            hotkey=hotkey or _own_hotkey(folder),
            entropy=SystemEntropy(folder),
            model_seed=torch.seed(),
            created_at=int(time.time()),
            ledger_url=settings.ledger_url,
            clock=lambda _round_number: int(time.time()),
        ) as fixture:
            play_run(fixture, grid, schedule, _Log())


def _own_hotkey(folder: Path) -> Hotkey:
    """Return the hotkey of the wallet in a run's folder, made at the first time."""
    if not (folder / _WALLET_NAME).exists():
        Wallet.create(folder, name=_WALLET_NAME, password=None)
        log.warning("made a validator's wallet without a password in %s; set wallet to use your own", folder)
    return load_hotkey(folder / _WALLET_NAME)


def _default_folder(spec: Spec) -> Path:
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "flower-subnet" / spec.subnet.name


def _log_as_flower() -> None:
    """Let this project's loggers write where Flower's does."""
    flower = logging.getLogger("flwr")
    for name in ("subnet", "clients"):
        logger = logging.getLogger(name)
        logger.handlers = list(flower.handlers)
        logger.setLevel(logging.INFO)
        logger.propagate = False
