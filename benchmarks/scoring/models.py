"""The two models on which the cost of scoring is measured: the CNN of examples/digits, and a small transformer."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from clients.task import Examples, Task

N_SYMBOLS = 64
LENGTH = 32
_WIDTH, _HEADS, _LAYERS = 160, 4, 4
_N_TRAINING, _N_VALIDATION = 2_000, 512


class _Block(nn.Module):
    """Causal attention and a feed-forward net, each after a layer norm (the order of GPT-2)."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(_WIDTH)
        self.mixed = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.joined = nn.Linear(_WIDTH, _WIDTH)
        self.between = nn.LayerNorm(_WIDTH)
        self.wide = nn.Linear(_WIDTH, 4 * _WIDTH)
        self.narrow = nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return `(n, length, width)` of as much."""
        n, length, width = hidden.shape
        parts = self.mixed(self.before(hidden)).view(n, length, 3, _HEADS, width // _HEADS)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        hidden = hidden + self.joined(seen.transpose(1, 2).reshape(n, length, width))
        return hidden + self.narrow(functional.gelu(self.wide(self.between(hidden))))


class Transformer(nn.Module):
    """Four layers of width 160: 1.26 million parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.symbols = nn.Embedding(N_SYMBOLS, _WIDTH)
        self.places = nn.Embedding(LENGTH, _WIDTH)
        self.blocks = nn.Sequential(*(_Block() for _ in range(_LAYERS)))
        self.last = nn.LayerNorm(_WIDTH)
        self.head = nn.Linear(_WIDTH, N_SYMBOLS)

    def forward(self, symbols: Tensor) -> Tensor:
        """Return logits `(n, length, n_symbols)` of the next symbols."""
        hidden = self.symbols(symbols) + self.places(torch.arange(symbols.shape[1]))
        return self.head(self.last(self.blocks(hidden)))


class Sequences(Task):
    """Continue sequences of 64 symbols, of which each depends on the two before it."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        found = markov(_N_TRAINING + _N_VALIDATION, LENGTH + 1, draw)
        self._examples = Examples(inputs=found[:, :-1].contiguous(), targets=found[:, 1:].contiguous())

    def model(self) -> nn.Module:
        """Return the transformer."""
        return Transformer()

    def loss(self, model: nn.Module, batch: Examples) -> Tensor:
        """Return the mean cross-entropy of the next symbol."""
        return functional.cross_entropy(model(batch.inputs).flatten(0, 1), batch.targets.flatten())

    def training_data(self) -> Examples:
        """Return 2,000 sequences of 32 symbols, each with the one that follows."""
        return self._examples.take(torch.arange(_N_TRAINING))

    def validation_data(self) -> Examples:
        """Return 512 more."""
        return self._examples.take(torch.arange(_N_TRAINING, _N_TRAINING + _N_VALIDATION))


def markov(n: int, length: int, draw: torch.Generator) -> Tensor:
    """Return `(n, length)` symbols: after every two symbols one of four follows, the first of them half of the time.

    Args:
        n: sequences.
        length: symbols in each, at least 2.
        draw: gives the chain and the sequences; the same one gives the same.
    """
    follows = torch.randint(N_SYMBOLS, (N_SYMBOLS, N_SYMBOLS, 4), generator=draw)
    chances = torch.tensor([0.5, 0.25, 0.15, 0.1]).expand(n, 4)
    rows = [torch.randint(N_SYMBOLS, (n,), generator=draw) for _ in range(2)]
    for _ in range(length - 2):
        chosen = torch.multinomial(chances, 1, generator=draw).flatten()
        rows.append(follows[rows[-2], rows[-1], chosen])
    return torch.stack(rows, dim=1)
