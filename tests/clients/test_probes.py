"""Probes on their way: what was packed is unpacked, and nothing larger, other or broken is read."""

import json
import struct

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from clients.errors import InstructionError
from clients.probes import decode, encode, size_limit_bytes
from clients.task import Examples

OWN = Examples(inputs=torch.zeros(3, 2, 5), targets=torch.zeros(3, dtype=torch.int64))


def samples(n, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return Examples(inputs=torch.randn(n, 2, 5, generator=draw), targets=torch.randint(10, (n,), generator=draw))


def packed(**tensors):
    found = samples(4)
    return safetensors.torch.save({"inputs": found.inputs, "targets": found.targets} | tensors)


@given(n=st.integers(1, 16), seed=st.integers(0, 99))
def test_probes_survive_the_wire(n, seed):
    """Inputs and targets come out as they went in, and fit the limit exactly as many as there may be."""
    sent = samples(n, seed)
    data = encode(sent)
    found = decode(data, like=OWN, n_probes=n)
    assert torch.equal(found.inputs, sent.inputs)
    assert torch.equal(found.targets, sent.targets)
    assert len(data) <= size_limit_bytes(OWN, n)


def test_the_limit_is_what_so_many_samples_need():
    """40 bytes of input and 8 of target each, and a header."""
    assert size_limit_bytes(OWN, 16) == 16 * 48 + 4096


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"junk", "aren't safetensors"),
        (struct.pack("<Q", 2**40) + b"{}", "aren't safetensors"),
        (packed()[:-1], "aren't safetensors"),
        (safetensors.torch.save({"inputs": torch.zeros(4, 2, 5)}), "hold 'inputs', not inputs and targets"),
        (safetensors.torch.save({}), "hold nothing"),
        (packed(more=torch.zeros(1)), "not inputs and targets"),
        (packed(inputs=torch.zeros(4, 10)), r"inputs are torch.float32 \(4, 10\), where your own are"),
        (packed(inputs=torch.zeros(4, 5, 2)), "inputs are"),
        (packed(inputs=torch.zeros(4, 2, 5, dtype=torch.float16)), "inputs are torch.float16"),
        (packed(targets=torch.zeros(4)), "targets are torch.float32"),
        (packed(targets=torch.zeros(3, dtype=torch.int64)), "3 and 4 probes came"),
        (packed(inputs=torch.full((4, 2, 5), float("nan"))), "inputs hold NaN"),
        (packed(inputs=torch.full((4, 2, 5), float("inf"))), "inputs hold NaN or infinite"),
        (encode(samples(5)), "5 probes came, where 1 to 4 are allowed"),
        (encode(samples(0)), "0 probes came"),
        (encode(samples(500)), "bytes, more than the 4,288 that 4 samples need"),
    ],
)
def test_what_isnt_allowed_is_refused(data, said):
    """Each fault is an InstructionError in words, with a remedy."""
    with pytest.raises(InstructionError, match=said) as caught:
        decode(data, like=OWN, n_probes=4)
    assert caught.value.remedy


def test_a_subnet_without_probes_takes_none():
    """Whatever the bytes are."""
    with pytest.raises(InstructionError, match="the subnet has none"):
        decode(encode(samples(1)), like=OWN, n_probes=0)


def test_too_many_bytes_are_never_parsed(monkeypatch):
    """The limit comes before the reader."""
    monkeypatch.setattr(safetensors.torch, "load", lambda _: pytest.fail("was read"))
    with pytest.raises(InstructionError, match="bytes, more than"):
        decode(b"x" * (size_limit_bytes(OWN, 4) + 1), like=OWN, n_probes=4)


def test_a_header_that_claims_much_is_refused():
    """A tensor of a terabyte that isn't there is told by the header alone."""
    header = json.dumps({"inputs": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}}).encode()
    with pytest.raises(InstructionError, match="aren't safetensors"):
        decode(struct.pack("<Q", len(header)) + header, like=OWN, n_probes=4)
