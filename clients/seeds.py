"""Seeds for repeatable runs: a hash of what the randomness is for."""

import hashlib

import torch
from torch import Tensor

from tokenomics.canonical import canonical_json


def seed_bytes(*parts: str | int) -> bytes:
    """Return 32 bytes fixed by `parts`: SHA-256 of their canonical JSON."""
    return hashlib.sha256(b"flower-subnet/seed\x00" + canonical_json(list(parts))).digest()


def generator(*parts: str | int) -> torch.Generator:
    """Return a CPU generator fixed by `parts`.

    Training takes its own generator rather than torch's global one, so that clients which share a process and run at
    the same time stay repeatable.
    """
    return torch.Generator().manual_seed(int.from_bytes(seed_bytes(*parts)[:8], "big") >> 1)


def generator_of(purpose: str, data: Tensor) -> torch.Generator:
    """Return a CPU generator fixed by a purpose and by the bytes of `data`: the same whenever that is looked at."""
    return generator(purpose, hashlib.sha256(data.contiguous().numpy().tobytes()).hexdigest())
