"""A flat vector as safetensors bytes and back, with every name, shape and size checked before it is used.

Source: the safetensors format (huggingface/safetensors, "Format"): an 8-byte length, a JSON header, raw tensors.
"""

import hashlib

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
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in layout.split(flat).items()})


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
    flat = layout.join(tensors)
    n_bad = int((~torch.isfinite(flat)).sum())
    if n_bad:
        raise ContributionError("non_finite", f"{n_bad:,} of {layout.n_params:,} numbers are NaN or infinite")
    return flat


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
