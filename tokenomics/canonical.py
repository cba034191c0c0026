"""One way to write a value down, so that it can be hashed and signed.

Canonical JSON here: keys sorted by code point, no spaces, UTF-8, integers exact, floats by Python's shortest repr that
reads back to the same number. It is JSON, so any other implementation can read it.
"""

import hashlib
import json
import math
from typing import Any, Final

from tokenomics.errors import CanonicalError

MAX_DEPTH: Final = 64
"""Levels of lists and dicts; nothing that is signed comes near it, and a value that holds itself is found out."""
_SCALARS: Final = frozenset({str, int, bool, type(None)})


def canonical_json(value: Any) -> bytes:
    """Return the canonical bytes of a value.

    Args:
        value: None, bool, int, finite float, str, or a list, tuple or dict with str keys of these.

    Returns:
        UTF-8 JSON without spaces, keys sorted; a tuple is written as a list.

    Raises:
        CanonicalError: something in it is of another type, not finite, not UTF-8, or too deep; the message says where.

    >>> canonical_json({"b": (1, 0.1), "a": None})
    b'{"a":null,"b":[1,0.1]}'
    """
    if not _is_plain(value, 0):
        _check(value, "$", 0)  # says where; it takes what is a subclass of something plain, too
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        _check(value, "$", 0)
        raise


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def content_hash(value: Any) -> str:
    """Return the SHA-256 of a value's canonical bytes, as 64 hexadecimal digits.

    Raises:
        CanonicalError: the value has no canonical bytes.
    """
    return sha256_hex(canonical_json(value))


def _is_plain(value: Any, depth: int) -> bool:
    """Whether a value has a canonical form for sure, but for text that UTF-8 can't write; quick, and without words."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if kind is float:
        return math.isfinite(value)
    if depth >= MAX_DEPTH:
        return False
    if kind is dict:
        keyed = all(type(key) is str for key in value)
        return keyed and all(type(item) in _SCALARS or _is_plain(item, depth + 1) for item in value.values())
    if kind is list or kind is tuple:
        return all(type(item) in _SCALARS or _is_plain(item, depth + 1) for item in value)
    return False


def _check(value: Any, path: str, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise CanonicalError(f"{path} is {value}, not a finite number", remedy="leave it out or write None")
    elif isinstance(value, list | tuple | dict):
        if depth >= MAX_DEPTH:
            raise CanonicalError(f"{path:.80} is more than {MAX_DEPTH} levels deep", remedy="flatten the value")
        _check_items(value, path, depth)
    elif value is not None and not isinstance(value, int):
        kind = type(value).__name__
        raise CanonicalError(
            f"{path} is a {kind}, which has no canonical form", remedy="convert it to a number or text"
        )


def _check_items(value: Any, path: str, depth: int) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise CanonicalError(f"{path} has the key {key!r}, which is not text", remedy="use str keys")
            _check_text(key, path)
            _check(item, f"{path}.{key}", depth + 1)
    else:
        for index, item in enumerate(value):
            _check(item, f"{path}[{index}]", depth + 1)


def _check_text(value: str, path: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        remedy = "replace the lone surrogate"
        raise CanonicalError(f"{path} holds {value!r:.80}, which UTF-8 can't write", remedy=remedy) from error
