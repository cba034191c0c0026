"""A flat vector as safetensors bytes and back, with every name, shape and size checked before it is used.

Source: the safetensors format (huggingface/safetensors, "Format"): an 8-byte length, a JSON header, raw tensors.
"""

import hashlib
import json
from functools import lru_cache
from math import isfinite

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from clients.errors import ContributionError
from clients.task import ModelLayout

_HEADER_ALLOWANCE_BYTES = 1 << 16
_NAME_ALLOWANCE_BYTES = 256


def encode(layout: ModelLayout, flat: Tensor) -> bytes:
    """Return `flat` `(n_params,)` as safetensors bytes, one tensor a parameter; equal vectors give equal bytes."""
    pieces = layout.split(flat.to("cpu", torch.float32))
    header, order = _header(layout)
    return header + torch.cat([pieces[name].reshape(-1) for name in order]).numpy().astype("<f4", copy=False).tobytes()


def digest(data: bytes) -> str:
    """Return the SHA-256 of `data` in hexadecimal: how models and updates are named."""
    return hashlib.sha256(data).hexdigest()


def size_limit_bytes(layout: ModelLayout) -> int:
    """Return how many bytes an encoded vector of this layout may have at most."""
    return 4 * layout.n_params + _HEADER_ALLOWANCE_BYTES + _NAME_ALLOWANCE_BYTES * len(layout.names)


def decode(layout: ModelLayout, data: bytes) -> Tensor:
    """Return the vector that `data` holds.

    Args:
        layout: the names and shapes that must be there, no more and no fewer.
        data: safetensors bytes from anyone.

    Returns:
        A new `(n_params,)` float32 vector, every number finite.

    Raises:
        ContributionError: with reason `oversized`, `malformed`, `wrong_names`, `wrong_shapes`, `wrong_dtype` or
            `non_finite`.
    """
    limit = size_limit_bytes(layout)
    if len(data) > limit:
        raise ContributionError("oversized", f"{len(data):,} bytes, more than the {limit:,} that this model needs")
    flat = _plain(layout, data)
    if flat is None:
        flat = layout.join(_tensors(layout, data))
    if not all(isfinite(end) for end in map(float, flat.aminmax())):
        n_bad = int((~torch.isfinite(flat)).sum())
        raise ContributionError("non_finite", f"{n_bad:,} of {layout.n_params:,} numbers are NaN or infinite")
    return flat


def _plain(layout: ModelLayout, data: bytes) -> Tensor | None:
    """Return the vector of bytes that begin exactly as `encode` begins them; None of any others.

    Their header was read once for all of them, so there is nothing in it to be checked.
    """
    header, order = _header(layout)
    if len(data) != len(header) + 4 * layout.n_params or not data.startswith(header):
        return None
    numbers = np.frombuffer(data, dtype="<f4", offset=len(header)).astype(np.float32)
    pieces = dict(zip(order, torch.split(torch.from_numpy(numbers), list(order.values())), strict=True))
    return torch.cat([pieces[name] for name in layout.names])


@lru_cache(maxsize=16)
def _header(layout: ModelLayout) -> tuple[bytes, dict[str, int]]:
    """Return what comes before the numbers, and how many each parameter has, in the order in which they are written."""
    zeros = layout.split(torch.zeros(layout.n_params))
    data = safetensors.torch.save({name: tensor.contiguous() for name, tensor in zeros.items()})
    begin = len(data) - 4 * layout.n_params
    written = {name: entry for name, entry in json.loads(data[8:begin]).items() if name != "__metadata__"}
    ranges = sorted((entry["data_offsets"], name) for name, entry in written.items())
    return data[:begin], {name: (stop - start) // 4 for (start, stop), name in ranges}


def _tensors(layout: ModelLayout, data: bytes) -> dict[str, Tensor]:
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise ContributionError("malformed", f"not safetensors: {error}") from error
    _check_names(layout, tensors)
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        tensor = tensors[name]
        if tuple(tensor.shape) != shape:
            raise ContributionError("wrong_shapes", f"{name} has shape {tuple(tensor.shape)}, not {shape}")
        if tensor.dtype != torch.float32:
            raise ContributionError("wrong_dtype", f"{name} is {tensor.dtype}, not torch.float32")
    return tensors


def _check_names(layout: ModelLayout, tensors: dict[str, Tensor]) -> None:
    missing = sorted(set(layout.names) - set(tensors))
    extra = sorted(set(tensors) - set(layout.names))
    if missing or extra:
        parts = [
            f"{word} {', '.join(repr(name[:60]) for name in names[:3])}"
            for word, names in (("lacks", missing), ("has unknown", extra))
            if names
        ]
        raise ContributionError("wrong_names", " and ".join(parts))
