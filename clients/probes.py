"""Probe samples on their way: what a validator hands one participant in one round, to train on beside its own data.

Two tensors in safetensors form, `inputs` and `targets`. The participant knows what its own examples look like and how
many probes its spec allows, so it bounds the bytes before it reads them and believes no shape.

Source: the safetensors format (huggingface/safetensors, "Format").
"""

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from clients.errors import InstructionError
from clients.task import Examples

_HEADER_ALLOWANCE_BYTES = 1 << 12
_REMEDY = "tell the validator, and train no round of it until its messages are as your subnet.toml says"


def encode(probes: Examples) -> bytes:
    """Return probe samples as safetensors bytes; equal samples give equal bytes."""
    return safetensors.torch.save({"inputs": probes.inputs.contiguous(), "targets": probes.targets.contiguous()})


def size_limit_bytes(like: Examples, n_probes: int) -> int:
    """Return how many bytes `n_probes` samples of the shape and type of `like` may have at most."""
    per_sample = sum(tensor.element_size() * tensor[:1].numel() for tensor in (like.inputs, like.targets))
    return n_probes * per_sample + _HEADER_ALLOWANCE_BYTES


def decode(data: bytes, *, like: Examples, n_probes: int) -> Examples:
    """Return the probe samples that `data` holds.

    Args:
        data: safetensors bytes from a validator.
        like: the participant's own examples, at least one: probes must have their type and shape.
        n_probes: the most samples that the spec allows; with 0 none may come.

    Returns:
        1 to `n_probes` samples, on the CPU, every number finite.

    Raises:
        InstructionError: more bytes or samples than allowed, other tensors, types or shapes, or NaN.
    """
    if not n_probes:
        raise InstructionError("the validator sent probes, and the subnet has none", remedy=_REMEDY)
    limit = size_limit_bytes(like, n_probes)
    if len(data) > limit:
        raise InstructionError(
            f"the probes have {len(data):,} bytes, more than the {limit:,} that {n_probes} samples need", remedy=_REMEDY
        )
    try:
        tensors = safetensors.torch.load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise InstructionError(f"the probes aren't safetensors: {error}", remedy=_REMEDY) from error
    if set(tensors) != {"inputs", "targets"}:
        names = ", ".join(repr(name[:60]) for name in sorted(tensors)[:3])
        raise InstructionError(f"the probes hold {names or 'nothing'}, not inputs and targets", remedy=_REMEDY)
    n_found = {_checked(tensors[name], own, name) for name, own in (("inputs", like.inputs), ("targets", like.targets))}
    if len(n_found) != 1 or not 1 <= min(n_found) <= n_probes:
        counts = " and ".join(str(count) for count in sorted(n_found))
        raise InstructionError(f"{counts} probes came, where 1 to {n_probes} are allowed", remedy=_REMEDY)
    return Examples(inputs=tensors["inputs"], targets=tensors["targets"])


def _checked(tensor: Tensor, own: Tensor, name: str) -> int:
    """Return how many samples a tensor holds, after checking that they look like one's own."""
    if tensor.dim() != own.dim() or tensor.shape[1:] != own.shape[1:] or tensor.dtype != own.dtype:
        raise InstructionError(
            f"the probes' {name} are {tensor.dtype} {tuple(tensor.shape)}, where your own are {own.dtype} "
            f"{tuple(own.shape)}",
            remedy=_REMEDY,
        )
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise InstructionError(f"the probes' {name} hold NaN or infinite numbers", remedy=_REMEDY)
    return len(tensor)
