"""A tiny real task, a wallet, and documents to sign."""

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

from clients.contribution import Enrolment, Envelope
from clients.task import ModelLayout, load_task
from tokenomics.keys import Wallet

with warnings.catch_warnings():  # Flower imports typer, which imports what click 8.5 deprecates: not ours to mend
    warnings.simplefilter("ignore", DeprecationWarning)
    import flwr.app  # noqa: F401

torch.set_num_threads(1)  # as every run does: the number of threads changes the last bits of a result
settings.register_profile("clients", deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile("clients")


@pytest.fixture(scope="session")
def app_dir():
    return Path(__file__).parent / "toy_app"


@pytest.fixture(scope="session")
def task(app_dir):
    return load_task(app_dir, "toy_task:Toy")


@pytest.fixture(scope="session")
def layout(task):
    return ModelLayout.of(task.model())


@pytest.fixture(scope="session")
def base(task, layout):
    """A model's parameters `(n_params,)`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return layout.read(task.model())


@pytest.fixture(scope="session")
def wallet():
    return Wallet.from_seed(bytes(32))


@pytest.fixture(scope="session")
def stranger():
    return Wallet.from_seed(bytes([1]) * 32)


@pytest.fixture(scope="session")
def envelope(wallet):
    """An envelope that the wallet's hotkey could sign; change fields with `model_copy`."""
    return Envelope(
        subnet="a" * 64,
        hotkey=wallet.hotkey.keypair.public,
        round=3,
        base_hash="b" * 64,
        update_hash="c" * 64,
        message_id="d" * 32,
        validator="e" * 64,
        n_examples=120,
        epsilon_micro=None,
    )


@pytest.fixture(scope="session")
def enrolment(wallet):
    """An enrolment that the wallet's hotkey could sign."""
    return Enrolment(
        subnet="a" * 64,
        hotkey=wallet.hotkey.keypair.public,
        coldkey=wallet.coldkey.public,
        binding=wallet.binding,
        challenge="d" * 32,
    )
