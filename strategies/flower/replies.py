"""Taking one round's replies apart: a row each for those that can be used, a reason for the others."""

import math
from dataclasses import dataclass

import torch
from flwr.app import Message, MetricRecord, RecordDict
from torch import Tensor

from strategies.aggregation import Aggregation, Evidence
from strategies.flower.content import arrays_of, content_of, has_metrics, metrics_of
from strategies.flower.errors import ReplyError
from strategies.flower.model import Model
from strategies.flower.rows import Rows


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A reply that isn't in the aggregate."""

    node_id: int
    """The node that was asked."""
    reason: str
    """`failed` (Flower's error, or bytes it can't unpack), `foreign` (from another node than the one asked, or to
    another message), `duplicate`, `malformed` (not one set of arrays with the model's names, shapes and floating-point
    values), `claim` (an impossible number of examples), or the rule's own."""
    detail: str


class Gathered:
    """One round's replies, as they come.

    Args:
        model: What was sent.
        rows: Takes the usable replies.
        max_examples: The largest number of examples that counts; None if none counts.
        examples_key: The metric that claims it.
    """

    def __init__(self, *, model: Model, rows: Rows, max_examples: int | None, examples_key: str) -> None:
        self.metrics: dict[int, MetricRecord] = {}
        self.rejected: list[Rejected] = []
        self.n_replies = 0
        self._model = model
        self._rows = rows
        self._max_examples = max_examples
        self._examples_key = examples_key
        self._examples: dict[int, float] = {}  # by the node of each row, in the rows' order
        self._unusable: set[int] = set()

    def take(self, reply: Message) -> None:
        """Make a row of a reply, or say why not; nothing else of it is kept but its metrics."""
        self.n_replies += 1
        node = reply.metadata.src_node_id
        if node in self._examples:
            self.rejected.append(Rejected(node_id=node, reason="duplicate", detail="a second reply in this round"))
            return
        try:
            self._read(node, content_of(reply))
        except ReplyError as error:
            self.rejected.append(Rejected(node_id=node, reason=error.reason, detail=error.detail))
            if error.reason not in {"failed", "foreign"}:
                self._unusable.add(node)
                self._examples[node] = 1.0
                self._rows.add(None)

    def evidence(self, *, previous: Tensor | None) -> Evidence:
        """Who sent each row, the capped claims if they are wanted, and the last aggregate if there is one."""
        claims = None
        if self._max_examples is not None:
            claims = torch.tensor(list(self._examples.values()), dtype=torch.float64)
        hotkeys = tuple(f"{node:020d}" for node in self._examples)
        return Evidence(hotkeys=hotkeys, n_examples=claims, previous=previous)

    def influence(self, result: Aggregation) -> dict[int, float]:
        """How much of each row is in the aggregate, by node."""
        return dict(zip(self._examples, result.influence.tolist(), strict=True))

    def left_out(self, result: Aggregation) -> list[Rejected]:
        """What the rule rejected, of the replies that were usable."""
        nodes = list(self._examples)
        return [
            Rejected(node_id=nodes[row], reason=why, detail="left out by the rule")
            for row, why in result.rejected.items()
            if nodes[row] not in self._unusable
        ]

    def _read(self, node: int, content: RecordDict) -> None:
        metrics, examples = MetricRecord(), 1.0
        if self._max_examples is not None or has_metrics(content):
            metrics = metrics_of(content)
        if self._max_examples is not None:
            examples = self._claim(metrics, at_most=self._max_examples)
        self._rows.add(self._model.delta(arrays_of(content)))
        self._examples[node] = examples
        if metrics:
            self.metrics[node] = metrics

    def _claim(self, metrics: MetricRecord, *, at_most: int) -> float:
        claimed = metrics.get(self._examples_key)
        if not isinstance(claimed, int | float) or not 0 < claimed < math.inf:
            raise ReplyError("claim", f"{self._examples_key} is {str(claimed)[:50]}, not a number above 0")
        return float(min(claimed, at_most))
