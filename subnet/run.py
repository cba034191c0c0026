"""A run's folder: what it was asked to play, one process at a time, and how it goes on after a crash."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clients import weights
from clients.task import Examples, Task
from subnet import draw
from subnet.assign import HeldOut, divide
from subnet.errors import RunError, SpecError
from subnet.run_files import LEDGER_NAME, PLAN_NAME, has_ledger
from subnet.scoring import registry, slices
from subnet.scoring.objective import Objective
from subnet.spec import FILE_NAME, Spec
from subnet.state import Entropy, Fixture
from subnet.store import Store, write_atomically
from subnet.strategy import create_strategy
from tokenomics.canonical import canonical_json
from tokenomics.keys import Hotkey
from tokenomics.ledger import Genesis, Ledger
from tokenomics.ledger.place import find_server, parse_url
from tokenomics.merkle import merkle_root

_LOCK_NAME = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process.

    Raises:
        RunError: another process holds it, or it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise RunError(
            f"can't use {folder} as a run's folder: {error.strerror}",
            remedy="choose another folder with --out, or change its permissions",
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RunError(
            f"{folder} is in use by another process", remedy="wait for it to end, or choose another folder with --out"
        ) from error
    finally:
        os.close(handle)


def agree(folder: Path, plan: dict[str, Any], spec_text: str) -> None:
    """Write down what a run plays, or check that a run that goes on plays the same.

    Args:
        folder: the run's folder.
        plan: all that fixes its results: spec hash, seed, cast and so on.
        spec_text: the `subnet.toml`, kept for whoever reads the folder.

    Raises:
        RunError: the folder holds something else, or a run of another plan.
    """
    path = folder / PLAN_NAME
    if not path.exists():
        foreign = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
        if foreign:
            raise RunError(
                f"{folder} holds other files ({', '.join(foreign[:3])})", remedy="choose an empty folder with --out"
            )
        write_atomically(path, canonical_json(plan))
    found = read_plan(folder)
    differing = sorted(name for name in plan.keys() | found.keys() if plan.get(name) != found.get(name))
    if differing:
        name = differing[0]
        raise RunError(
            f"{folder} holds another run: its {name} is {_short(found.get(name))}, this one's {_short(plan.get(name))}",
            remedy="give the settings it was begun with, or choose another folder with --out",
        )
    write_atomically(folder / FILE_NAME, spec_text.encode())  # after the plan, by which a crash in between is known


def read_plan(folder: Path) -> dict[str, Any]:
    """Return what a run was asked to play.

    Raises:
        RunError: the folder isn't a run's.
    """
    path = folder / PLAN_NAME
    try:
        plan: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder} isn't a run's folder: {PLAN_NAME} can't be read", remedy="name the folder that a run has printed"
        ) from error
    return plan


@contextmanager
def prepared(
    spec: Spec,
    task: Task,
    folder: Path,
    *,
    app_dir: Path,
    hotkey: Hotkey,
    entropy: Entropy,
    model_seed: int,
    created_at: int,
    ledger_url: str | None = None,
    **more: Any,
) -> Iterator[Fixture]:
    """Make or open all that a run needs in its folder, and close the ledger in the end.

    Args:
        spec: the rules.
        task: what is trained.
        folder: the run's folder, locked by the caller.
        app_dir: the subnet's folder, which is searched for the strategy.
        hotkey: the validator's; its coldkey is the subnet's owner.
        entropy: nonces and message ids.
        model_seed: the first model is initialised with it.
        created_at: seconds since the epoch, for the ledger's first row.
        ledger_url: PostgreSQL's, for a ledger that isn't a file in the folder.
        more: `clock`, `order`, `stopped` and `on_deal` of the fixture.
    """
    objective = Objective(task)
    root, parts = _held_out(task, spec)
    store = Store(folder)
    store.sweep()
    path = folder / LEDGER_NAME
    if has_ledger(folder):
        _check_place(path, ledger_url)
    else:
        first = weights.encode(objective.layout, _first_model(task, objective, model_seed))
        genesis = _genesis(
            spec,
            hotkey,
            model_hash=store.put("models", first),
            validation_root=root,
            nonce_commitment=draw.commitment(entropy.nonce(1)),
            created_at=created_at,
        )
        Ledger.create(path, genesis, hotkey.keypair, url=ledger_url).close()
    with Ledger.open(path) as ledger:
        yield Fixture(
            spec=spec,
            objective=objective,
            validation=parts.validation,
            probes=parts.probes,
            strategy=create_strategy(app_dir, spec.strategy.name, spec.strategy.settings),
            scorer=registry.create(spec.scoring),
            store=store,
            ledger=ledger,
            keypair=hotkey.keypair,
            entropy=entropy,
            **more,
        )


def _held_out(task: Task, spec: Spec) -> tuple[str, HeldOut]:
    """Return the Merkle root of a task's held-out samples, and what they are for.

    Raises:
        SpecError: there are too few for the spec's batches, or none of the slices that it asks for.
    """
    samples = task.validation_data()
    root = merkle_root(leaves(samples))
    parts = divide(samples, root=root, rules=spec.scoring)
    if len(parts.validation) < spec.validation.n_batches:
        raise SpecError(
            f"{len(parts.validation)} validation examples don't fill {spec.validation.n_batches} batches",
            remedy="give the task more validation data, or lower validation.n_batches",
        )
    slices.check(task, parts.validation, spec.scoring)
    return root, parts


def _check_place(path: Path, url: str | None) -> None:
    """Check that a run that goes on isn't asked for another database than its ledger is in."""
    server = find_server(path)
    if url is not None and (server is None or parse_url(url) != parse_url(server.url)):
        raise RunError(
            f"the ledger of {path.parent} is in {server.url if server else LEDGER_NAME}, not in {parse_url(url)}",
            remedy="leave out --ledger-url and SUBNET_LEDGER_URL, or choose another folder with --out",
        )


def _first_model(task: Task, objective: Objective, seed: int) -> Tensor:
    """Return the parameters `(n_params,)` that round 1 starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return objective.layout.read(task.model())


def _genesis(
    spec: Spec, hotkey: Hotkey, *, model_hash: str, validation_root: str, nonce_commitment: str, created_at: int
) -> Genesis:
    """Return the ledger's first row."""
    return Genesis(
        subnet=spec.subnet.name,
        spec_hash=spec.hash,
        validator=hotkey.keypair.public,
        owner=hotkey.coldkey,
        token=spec.token.token(),
        schedule=spec.token.build(),
        shares=spec.split.shares(),
        vesting=spec.scoring.vesting,
        model_hash=model_hash,
        validation_root=validation_root,
        nonce_commitment=nonce_commitment,
        created_at=created_at,
    )


def leaves(examples: Examples) -> list[bytes]:
    """Return one Merkle leaf a validation sample: type, shape and bytes of its input and of its target."""
    found = []
    for inputs, target in zip(examples.inputs, examples.targets, strict=True):
        parts = [
            f"{tensor.dtype} {tuple(tensor.shape)} ".encode() + tensor.contiguous().numpy().tobytes()
            for tensor in (inputs, target)
        ]
        found.append(b"\x00".join(parts))
    return found


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
