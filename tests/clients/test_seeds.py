"""Seeds are fixed by what they are for."""

import hashlib

import torch

from clients.seeds import generator, generator_of, seed_bytes


def test_a_seed_is_the_hash_of_its_purpose():
    """The 32 bytes are SHA-256 over a tag and canonical JSON, as any other implementation computes it."""
    assert seed_bytes("local", 7, "x") == hashlib.sha256(b'flower-subnet/seed\x00["local",7,"x"]').digest()


def test_parts_dont_run_into_each_other():
    """Other parts, other order, or text in place of a number give another seed."""
    seeds = {seed_bytes(*parts) for parts in [("a", 1), ("a", "1"), ("a1",), (1, "a"), ("a", 11), ("a", 1, 1)]}
    assert len(seeds) == 6


def test_a_generator_repeats():
    """Two generators of the same parts draw the same numbers, another part draws others."""
    first, again, other = (torch.randn(8, generator=generator("local", part)) for part in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_generator_of_data_is_fixed_by_the_bytes():
    """Equal numbers give the same draw, however they lie in memory; another number or purpose gives others."""
    data = torch.arange(12).reshape(3, 4)
    first = torch.randn(8, generator=generator_of("noise", data))
    assert torch.equal(first, torch.randn(8, generator=generator_of("noise", data.T.contiguous().T)))
    assert not torch.equal(first, torch.randn(8, generator=generator_of("noise", data + 1)))
    assert not torch.equal(first, torch.randn(8, generator=generator_of("tenth", data)))
