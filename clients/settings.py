"""What a subnet asks of a participant; kept apart from torch, so that reading a spec is quick."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What the subnet asks a participant to do in a round."""

    epochs: int = 1
    """Passes over the participant's own data, at least 1."""

    batch_size: int = 32
    """Examples a step, at least 1."""

    learning_rate: float = 0.05
    """Step size of SGD, above 0."""

    momentum: float = 0.9
    """Momentum of SGD, in [0, 1)."""
