"""Canonical bytes: one value, one spelling."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics.canonical import canonical_json, content_hash, sha256_hex
from tokenomics.errors import CanonicalError

TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(JSON)
def test_canonical_bytes_read_back_to_the_same_value(value: object) -> None:
    assert json.loads(canonical_json(value)) == value


@given(st.dictionaries(TEXT, st.integers()))
def test_the_order_in_which_keys_were_put_in_does_not_matter(value: dict[str, int]) -> None:
    assert canonical_json(dict(reversed(value.items()))) == canonical_json(value)


def test_the_bytes_are_exactly_these() -> None:
    value = {"é": (1, 0.1, True), "a": [None, {}], "Z": -0.0, "big": 10**30}
    expected = '{"Z":-0.0,"a":[null,{}],"big":1000000000000000000000000000000,"é":[1,0.1,true]}'
    assert canonical_json(value) == expected.encode()


def test_an_integer_and_the_equal_float_are_two_values() -> None:
    assert content_hash(1) != content_hash(1.0)


def test_hashes_are_sha256_of_the_bytes() -> None:
    assert content_hash({"a": 1}) == sha256_hex(b'{"a":1}') == hashlib.sha256(b'{"a":1}').hexdigest()


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [0, math.nan]}, r"\$\.a\[1\]"),
        ({"a": -math.inf}, r"\$\.a"),
        ({"a": {"b": b"bytes"}}, r"\$\.a\.b"),
        ({1: "a"}, "key 1"),
        ([{"a": {1, 2}}], r"\$\[0\]\.a"),
        (["\ud800"], "UTF-8"),
        ({"\ud800": 1}, "UTF-8"),
    ],
)
def test_what_has_no_canonical_form_is_refused_with_its_place(value: object, where: str) -> None:
    with pytest.raises(CanonicalError, match=where):
        canonical_json(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(CanonicalError, match="64 levels"):
        canonical_json(value)
