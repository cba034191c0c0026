"""Vectors on the wire: safetensors, checked before anything is used."""

import json

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import ContributionError
from clients.task import ModelLayout
from clients.weights import decode, digest, encode, size_limit_bytes

LAYOUT = ModelLayout(names=("b", "a.weight"), shapes=((3,), (2, 2)), n_params=7)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.lists(FINITE, min_size=7, max_size=7).map(lambda values: torch.tensor(values, dtype=torch.float32))


def good():
    return {"b": torch.arange(3.0), "a.weight": torch.ones(2, 2)}


def reason(data):
    with pytest.raises(ContributionError) as caught:
        decode(LAYOUT, data)
    return caught.value.reason


def raw(header, body=b""):
    """Safetensors bytes with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@given(flat=VECTORS)
def test_a_vector_survives_the_wire_bit_for_bit(flat):
    """Decoding what was encoded gives the same bits, signed zeros and subnormals included."""
    found = decode(LAYOUT, encode(LAYOUT, flat))
    assert torch.equal(found.view(torch.int32), flat.view(torch.int32))


@given(flat=VECTORS)
def test_equal_vectors_have_equal_bytes(flat):
    """The encoding is a function of the numbers, not of where or how they lie in memory."""
    strided = torch.stack([flat, flat + 1], dim=1)[:, 0]
    assert encode(LAYOUT, strided.contiguous()) == encode(LAYOUT, flat.clone())
    assert encode(LAYOUT, decode(LAYOUT, encode(LAYOUT, flat))) == encode(LAYOUT, flat)


@given(flat=VECTORS, index=st.integers(0, 6), bit=st.integers(0, 22))
def test_other_vectors_have_other_bytes(flat, index, bit):
    """One bit of one number changes the hash."""
    other = flat.clone()
    other.view(torch.int32)[index] ^= 1 << bit
    assert digest(encode(LAYOUT, other)) != digest(encode(LAYOUT, flat))


@given(flat=VECTORS)
def test_the_bytes_are_those_of_the_safetensors_library(flat):
    """And a file with the same tensors and another header, as other programs write it, is read as well."""
    tensors = {name: piece.contiguous() for name, piece in LAYOUT.split(flat).items()}
    assert encode(LAYOUT, flat) == safetensors.torch.save(tensors)
    assert torch.equal(decode(LAYOUT, safetensors.torch.save(tensors, metadata={"by": "others"})), flat)


def test_parameters_land_under_their_own_names():
    """Each parameter's numbers lie under its name in its shape, as any safetensors reader sees them."""
    stored = safetensors.torch.load(encode(LAYOUT, torch.arange(7.0)))
    assert stored["b"].tolist() == [0.0, 1.0, 2.0]
    assert stored["a.weight"].tolist() == [[3.0, 4.0], [5.0, 6.0]]


@settings(max_examples=300)
@given(data=st.binary(max_size=300))
def test_random_bytes_are_malformed_and_nothing_else(data):
    """Bytes from anyone raise ContributionError with reason `malformed`, never another exception."""
    assert reason(data) == "malformed"


ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(
            [
                "F32",
                "F64",
                "F16",
                "BF16",
                "I64",
                "U8",
                "BOOL",
                "C64",
                "F8_E4M3",
                "F8_E5M2",
                "F4",
                "I4",
                "X",
                "",
                3,
                None,
            ]
        ),
        "shape": st.one_of(
            st.lists(st.integers(0, 4), max_size=3), st.sampled_from([[-1], [2**63], [2**31, 2**33], "3", None, [1.5]])
        ),
        "data_offsets": st.one_of(
            st.tuples(st.integers(0, 40), st.integers(0, 40)).map(list),
            st.sampled_from([[0], [0, 2**64], [-1, 4], None]),
        ),
    }
)


@settings(max_examples=300)
@given(
    header=st.dictionaries(st.sampled_from(["b", "a.weight", "x", "__metadata__"]), ENTRIES, max_size=3),
    body=st.binary(max_size=48),
)
def test_a_hostile_header_raises_nothing_but_a_contribution_error(header, body):
    """Any dtype, shape and offsets in the header are either refused with a known reason or decode to finite numbers."""
    outcome = "decoded"
    try:
        assert torch.isfinite(decode(LAYOUT, raw(header, body))).all()
    except ContributionError as error:
        outcome = error.reason
    assert outcome in {"decoded", "malformed", "wrong_names", "wrong_shapes", "wrong_dtype", "non_finite"}


def whole(dtype, width):
    """A whole file of this layout in which every tensor has `dtype`."""
    header = {
        "b": {"dtype": dtype, "shape": [3], "data_offsets": [0, 3 * width]},
        "a.weight": {"dtype": dtype, "shape": [2, 2], "data_offsets": [3 * width, 7 * width]},
    }
    return raw(header, bytes(7 * width))


@pytest.mark.parametrize(
    ("dtype", "width"),
    [("F64", 8), ("F16", 2), ("BF16", 2), ("I32", 4), ("U32", 4), ("BOOL", 1), ("C64", 8), ("F8_E4M3", 1), ("I64", 8)],
)
def test_other_types_than_float32_are_refused(dtype, width):
    """Every other type that safetensors knows is `wrong_dtype` (or, where this torch lacks it, `malformed`)."""
    assert reason(whole(dtype, width)) in ({"wrong_dtype"} if dtype[0] in "FIB" else {"wrong_dtype", "malformed"})


@pytest.mark.parametrize(
    ("change", "expected", "said"),
    [
        ({"b": None}, "wrong_names", "lacks 'b'"),
        ({"extra": torch.zeros(1)}, "wrong_names", "has unknown 'extra'"),
        ({"b": None, "B": torch.zeros(3)}, "wrong_names", "lacks 'b' and has unknown 'B'"),
        ({"b": torch.zeros(4)}, "wrong_shapes", r"b has shape \(4,\), not \(3,\)"),
        ({"a.weight": torch.zeros(4)}, "wrong_shapes", r"\(4,\), not \(2, 2\)"),
        ({"b": torch.zeros(3, 1)}, "wrong_shapes", r"\(3, 1\)"),
        ({"b": torch.zeros(3, dtype=torch.float64)}, "wrong_dtype", "torch.float64"),
        ({"b": torch.tensor([0.0, float("nan"), 1.0])}, "non_finite", "1 of 7"),
        ({"b": torch.full((3,), float("inf"))}, "non_finite", "3 of 7"),
        ({"a.weight": torch.full((2, 2), float("-inf"))}, "non_finite", "4 of 7"),
    ],
)
def test_every_way_to_miss_the_model_has_its_reason(change, expected, said):
    """Names, shapes, types and finite numbers are checked, and the message names what is wrong."""
    tensors = {name: tensor for name, tensor in (good() | change).items() if tensor is not None}
    with pytest.raises(ContributionError, match=said) as caught:
        decode(LAYOUT, safetensors.torch.save(tensors))
    assert caught.value.reason == expected


def test_long_names_dont_flood_the_message():
    """An unknown name of thousands of characters is cut in the error."""
    with pytest.raises(ContributionError) as caught:
        decode(LAYOUT, safetensors.torch.save({**good(), "x" * 5000: torch.zeros(1)}))
    assert len(caught.value.message) < 200


def test_size_is_looked_at_before_anything_else():
    """A byte above the limit is `oversized`, the limit itself isn't, and an honest encoding stays well below."""
    limit = size_limit_bytes(LAYOUT)
    assert reason(bytes(limit + 1)) == "oversized"
    assert reason(bytes(limit)) == "malformed"
    assert len(encode(LAYOUT, torch.zeros(7))) < limit


def test_the_digest_is_sha256_in_hexadecimal():
    """The published test vector of SHA-256 for "abc" comes out."""
    assert digest(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
