"""Any rule of this package as a strategy of any Flower app: a drop-in for `flwr.serverapp.strategy.FedAvg`.

```python
import strategies
from strategies.flower import RobustStrategy

strategy = RobustStrategy(strategies.create("nnm", "trimmed_mean"), fraction_train=0.5)
strategy.start(grid, initial_arrays, num_rounds=10)
```

Flower's own strategies hold all replies at once, raise on the first malformed one, and weigh models and metrics by what
clients claim. This one pulls replies one by one, sets a bad one aside with its reason, and believes no claim.
"""

import io
import logging
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result
from flwr.supercore.inflatable.inflatable_object import UnexpectedObjectContentError
from flwr.supercore.run import Run
from google.protobuf.message import DecodeError
from torch import Tensor

from strategies.aggregation import Aggregation, Evidence
from strategies.base import Aggregator
from strategies.errors import SettingsError, TooFewClientsError, UpdatesError

__all__ = ["Rejected", "RobustStrategy", "RoundReport", "median_metrics"]

log = logging.getLogger(__name__)

# what Flower raises for bytes that aren't the message they claim to be
_UNREADABLE = (ValueError, TypeError, LookupError, DecodeError, UnexpectedObjectContentError)
_HEADER_BYTES = 4096
"""Room for the header of a NumPy array, beside its values."""
_MOST_POLL_S = 3.0
_Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A reply that isn't in the aggregate."""

    node_id: int
    reason: str
    """`failed` (Flower's error, or bytes it can't unpack), `duplicate`, `malformed` (not one set of arrays with the
    model's names, shapes and floating-point values), `claim` (an impossible number of examples), or the rule's own."""
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundReport:
    """What became of one round's replies."""

    n_replies: int
    """All that were asked for: error replies, and nodes that didn't answer in time, included."""
    rejected: tuple[Rejected, ...]
    """Those that aren't in the aggregate, with the reason."""
    influence: Mapping[int, float]
    """Node id -> how much of its update is in the aggregate; empty if there is none."""


class _ReplyError(Exception):
    """A reply that can't be used."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class RobustStrategy(FedAvg):
    """A Flower strategy that aggregates with a rule of this package.

    Replies carry full weights; the rule gets their differences from the model that was sent, keyed by node id, so that
    the result doesn't depend on who answered first. Malformed replies count among the rule's Byzantine clients, failed
    nodes don't. Arrays that aren't floating point (counters) keep the value that was sent. If no model comes out of a
    round (no usable reply, or too few for the rule), the last one stays. Metrics are medians over the usable replies.

    Args:
        aggregator: The rule; one that asks for evidence on held-out data (`credit_gated`) has none here and says so.
        max_examples: None: every client counts the same. Otherwise rules that weigh by numbers of examples (`fedavg`)
            get the clients' claims, none larger than this.
        poll_s: Shortest pause between two looks for replies; it grows to 3 s while none comes.
        **fedavg: Settings of `FedAvg`: fractions, minimal numbers of nodes, keys, functions that aggregate metrics.

    Raises:
        SettingsError: `max_examples` below 1, or `poll_s` not above 0.
    """

    def __init__(
        self, aggregator: Aggregator, *, max_examples: int | None = None, poll_s: float = 0.1, **fedavg: Any
    ) -> None:
        if (max_examples is not None and max_examples < 1) or not 0 < poll_s < math.inf:
            raise SettingsError(
                f"max_examples={max_examples}, poll_s={poll_s}; the first is 1 or more or None, the second above 0",
                remedy="leave them out for the defaults",
            )
        metrics = {"train_metrics_aggr_fn": median_metrics, "evaluate_metrics_aggr_fn": median_metrics}
        super().__init__(**{**metrics, **fedavg})
        self.aggregator = aggregator
        self.max_examples = max_examples
        self.poll_s = poll_s
        self.reports: dict[int, RoundReport] = {}
        """What became of each round's replies, by round."""
        self._sent: _Model | None = None

    def summary(self) -> None:
        """Log the rule and FedAvg's settings."""
        log.info("aggregating with %s (%s)", self.aggregator.name, self.aggregator.settings)
        super().summary()

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Run the rounds (see `flwr.serverapp.strategy.Strategy.start`), holding one undecoded reply at a time."""
        streaming = _StreamingGrid(grid, poll_s=self.poll_s)
        return super().start(streaming, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample nodes as FedAvg does, and keep what they are sent."""
        self._sent = _Model(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Make a model of the replies, each folded into a row and dropped as it comes.

        Args:
            server_round: The round.
            replies: Messages, pulled while they are iterated over.

        Returns:
            The new model, None if there is none; and the metrics, None if no reply has any.
        """
        if self._sent is None:
            raise UpdatesError("replies before any model was sent", remedy="call configure_train first")
        gathered = _Gathered(model=self._sent, max_examples=self.max_examples, examples_key=self.weighted_by_key)
        for reply in replies:
            gathered.take(reply)
        result = self._aggregated(server_round, gathered)
        left_out = gathered.left_out(result)
        rejected = [*gathered.rejected, *left_out]
        influence = {} if result is None else dict(zip(gathered.nodes, result.influence.tolist(), strict=True))
        self.reports[server_round] = RoundReport(
            n_replies=gathered.n_replies, rejected=tuple(rejected), influence=influence
        )
        for one in rejected:
            log.warning("round %d: node %d %s: %s", server_round, one.node_id, one.reason, one.detail)
        out = {one.node_id for one in left_out}
        contents = [RecordDict({"metrics": record}) for node, record in gathered.metrics.items() if node not in out]
        metrics = self.train_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None
        return None if result is None else self._sent.plus(result.update), metrics

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate the metrics of the replies that have any."""
        contents = []
        for reply in replies:
            try:
                contents.append(RecordDict({"metrics": _metrics_of(_content_of(reply))}))
            except _ReplyError as error:
                node = reply.metadata.src_node_id
                log.warning("round %d: evaluation of node %d %s: %s", server_round, node, error.reason, error.detail)
        return self.evaluate_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None

    def _aggregated(self, server_round: int, gathered: "_Gathered") -> Aggregation | None:
        """The rule's result; None, told in the log, if it can make none of these replies."""
        if not gathered.rows:
            return None
        try:
            result = self.aggregator.aggregate(gathered.rows, evidence=gathered.evidence())
        except (UpdatesError, TooFewClientsError) as error:
            log.warning("round %d: no new model: %s (%s)", server_round, error.message, error.remedy)
            return None
        assert self._sent is not None
        if not self._sent.holds(result.update):
            log.warning("round %d: no new model: the aggregate leaves the range of the model's type", server_round)
            return None
        return result


def median_metrics(contents: list[RecordDict], weighted_by_key: str) -> MetricRecord:
    """Median over the clients of every metric that is a finite number, which no minority can move at will.

    Args:
        contents: Replies' contents, with one `MetricRecord` each.
        weighted_by_key: The metric that others weigh by; left out of the result.

    Returns:
        The medians; a metric that only some clients have is theirs.

    >>> said = [RecordDict({"m": MetricRecord({"loss": loss, "num-examples": 1})}) for loss in (1.0, 2.0, 1e30)]
    >>> dict(median_metrics(said, "num-examples"))
    {'loss': 2.0}
    """
    values: dict[str, list[float]] = {}
    for content in contents:
        for record in content.metric_records.values():
            for name, value in record.items():
                if name != weighted_by_key and isinstance(value, int | float) and math.isfinite(value):
                    values.setdefault(name, []).append(float(value))
    return MetricRecord({name: median(of_clients) for name, of_clients in values.items()})


class _Model:
    """The arrays that were sent, as one flat vector of their floating-point values."""

    def __init__(self, arrays: ArrayRecord) -> None:
        self.sent = arrays
        self.values = {name: array.numpy() for name, array in arrays.items()}
        self.floating = [name for name, value in self.values.items() if value.dtype.kind == "f" and value.size]
        if not self.floating:
            raise UpdatesError(
                "the model has no floating-point arrays", remedy="start with the arrays that clients train"
            )
        wide = any(self.values[name].dtype.itemsize > 4 for name in self.floating)
        self.dtype: type[np.float32 | np.float64] = np.float64 if wide else np.float32

    def delta(self, record: ArrayRecord) -> Tensor:
        """(n_params,) what a reply's arrays add to the ones sent.

        Raises:
            _ReplyError: Other names or shapes, or bytes that aren't such an array.
        """
        if record.keys() != self.values.keys():
            wrong = min(record.keys() ^ self.values.keys())
            raise _ReplyError("malformed", f"array {wrong[:100]!r} is {'extra' if wrong in record else 'missing'}")
        sizes = [self.values[name].size for name in self.floating]
        row = np.empty(sum(sizes), dtype=self.dtype)
        start = 0
        with np.errstate(over="ignore", invalid="ignore"):  # what isn't finite is the rule's to set aside
            for name, size in zip(self.floating, sizes, strict=True):
                own = self.values[name]
                sent = _decoded(record[name], name=name, like=own).astype(self.dtype)
                np.subtract(sent.reshape(-1), own.reshape(-1), out=row[start : start + size], dtype=self.dtype)
                start += size
        return torch.from_numpy(row)

    def holds(self, update: Tensor) -> bool:
        """Whether the model with the update is finite in its own types."""
        return all(bool(np.isfinite(value).all()) for _, value in self._moved(update))

    def plus(self, update: Tensor) -> ArrayRecord:
        """The model with an update, in its own names, order, shapes and types."""
        moved = dict(self._moved(update))
        return ArrayRecord({name: Array(moved[name]) if name in moved else self.sent[name] for name in self.values})

    def _moved(self, update: Tensor) -> Iterator[tuple[str, _Floats]]:
        flat, start = update.numpy(), 0
        for name in self.floating:
            own = self.values[name]
            with np.errstate(over="ignore"):
                moved = own.astype(self.dtype) + flat[start : start + own.size].reshape(own.shape)
                yield name, np.asarray(moved).astype(own.dtype)
            start += own.size


class _Gathered:
    """One round's usable replies as rows, and the reasons of the others."""

    def __init__(self, *, model: _Model, max_examples: int | None, examples_key: str) -> None:
        self.rows: list[Tensor] = []
        self.nodes: list[int] = []
        self.metrics: dict[int, MetricRecord] = {}
        self.rejected: list[Rejected] = []
        self.n_replies = 0
        self._model = model
        self._max_examples = max_examples
        self._examples_key = examples_key
        self._examples: list[float] = []
        self._told: set[int] = set()
        # a malformed reply's row: the rule sets it aside and counts it among the Byzantine; it takes no memory
        self._unusable = torch.full((1,), torch.nan, dtype=torch.from_numpy(np.zeros(1, model.dtype)).dtype)

    def take(self, reply: Message) -> None:
        """Turn one reply into a row, or say why not."""
        self.n_replies += 1
        node = reply.metadata.src_node_id
        if node in self.nodes:
            self.rejected.append(Rejected(node_id=node, reason="duplicate", detail="a second reply in this round"))
            return
        try:
            row, examples = self._read(reply)
        except _ReplyError as error:
            self.rejected.append(Rejected(node_id=node, reason=error.reason, detail=error.detail))
            if error.reason == "failed":
                return
            self._told.add(node)
            row, examples = self._unusable.expand(sum(self._model.values[n].size for n in self._model.floating)), 1.0
        self.rows.append(row)
        self.nodes.append(node)
        self._examples.append(examples)

    def evidence(self) -> Evidence:
        """Who sent each row, and the capped claims if they are wanted."""
        claims = None if self._max_examples is None else torch.tensor(self._examples, dtype=torch.float64)
        return Evidence(hotkeys=tuple(f"{node:020d}" for node in self.nodes), n_examples=claims)

    def left_out(self, result: Aggregation | None) -> list[Rejected]:
        """What the rule rejected, of the replies that reached it."""
        reasons = {} if result is None else result.rejected
        return [
            Rejected(node_id=self.nodes[row], reason=why, detail="left out by the rule")
            for row, why in reasons.items()
            if self.nodes[row] not in self._told
        ]

    def _read(self, reply: Message) -> tuple[Tensor, float]:
        content = _content_of(reply)
        arrays = list(content.array_records.values())
        if len(arrays) != 1:
            raise _ReplyError("malformed", f"{len(arrays)} ArrayRecords, not one")
        row = self._model.delta(arrays[0])
        metrics = MetricRecord() if self._max_examples is None and not content.metric_records else _metrics_of(content)
        examples = 1.0 if self._max_examples is None else self._claim(metrics)
        if metrics:
            self.metrics[reply.metadata.src_node_id] = metrics
        return row, examples

    def _claim(self, metrics: MetricRecord) -> float:
        """The number of examples, capped."""
        claimed = metrics.get(self._examples_key)
        if not isinstance(claimed, int | float) or not 0 < claimed < math.inf:
            raise _ReplyError("claim", f"{self._examples_key} is {str(claimed)[:50]}, not a number above 0")
        assert self._max_examples is not None
        return float(min(claimed, self._max_examples))


def _content_of(reply: Message) -> RecordDict:
    if reply.has_error():
        said = (reply.error.reason or "no reason given").strip().splitlines()
        raise _ReplyError("failed", f"Flower error {reply.error.code}: {said[-1][:200] if said else ''}")
    if not reply.has_content():
        raise _ReplyError("failed", "a reply without content")
    return reply.content


def _metrics_of(content: RecordDict) -> MetricRecord:
    records = list(content.metric_records.values())
    if len(records) != 1:
        raise _ReplyError("malformed", f"{len(records)} MetricRecords, not one")
    return records[0]


def _decoded(array: Array, *, name: str, like: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A stranger's array, checked to be one of that shape before anything of that size is allocated.

    Raises:
        _ReplyError: It isn't.
    """
    if len(array.data) > like.size * 8 + _HEADER_BYTES:
        raise _ReplyError("malformed", f"array {name!r} has {len(array.data):,} bytes for {like.size:,} values")
    stream = io.BytesIO(array.data)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, by_column, dtype = read(stream)
    except Exception as error:  # whatever numpy raises on a stranger's bytes, they aren't an array
        raise _ReplyError("malformed", f"array {name!r} can't be decoded: {type(error).__name__}") from error
    if shape != like.shape or dtype.kind != "f" or dtype.itemsize > 8:
        raise _ReplyError(
            "malformed", f"array {name!r} is {str(shape)[:60]} of {str(dtype)[:30]}, not {like.shape} of floats"
        )
    body = memoryview(array.data)[stream.tell() :]
    if len(body) != like.size * dtype.itemsize:
        raise _ReplyError("malformed", f"array {name!r} has {len(body):,} bytes after its header")
    return np.frombuffer(body, dtype=dtype).reshape(shape, order="F" if by_column else "C")


class _StreamingGrid(Grid):
    """A Grid whose `send_and_receive` gives replies one by one, each pulled when the last one is done with."""

    def __init__(self, grid: Grid, *, poll_s: float) -> None:
        self._grid = grid
        self._poll_s = poll_s

    def set_run(self, run: Run) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterator[Message]:
        waiting: dict[str, Message] = {}
        for message in messages:  # one at a time: a Grid leaves out the ids of messages that it couldn't push
            pushed = [message_id for message_id in self._grid.push_messages([message]) if message_id]
            if pushed:
                waiting[pushed[0]] = message
            else:
                yield _failed(message, "the message couldn't be delivered")
        yield from self._replies(waiting, timeout=math.inf if timeout is None else timeout)

    def _replies(self, waiting: dict[str, Message], *, timeout: float) -> Iterator[Message]:
        last = time.monotonic()
        end = last + timeout
        while waiting:
            came = False
            for message_id in list(waiting):
                for reply in self._pulled(message_id, waiting[message_id]):
                    came = True
                    del waiting[message_id]
                    yield reply
                    break
            now = time.monotonic()
            last = now if came else last
            if now >= end:
                break
            if not came:
                time.sleep(min(max(self._poll_s, (now - last) / 10), _MOST_POLL_S, end - now))
        for message in waiting.values():
            yield _failed(message, f"no reply within {timeout:g} s")

    def _pulled(self, message_id: str, message: Message) -> list[Message]:
        try:
            return list(self._grid.pull_messages([message_id]))
        except _UNREADABLE as error:
            return [_failed(message, f"Flower can't unpack the reply: {type(error).__name__}")]


def _failed(message: Message, why: str) -> Message:
    """An error reply to a message, as Flower makes them."""
    return Message(Error(code=ErrorCode.UNKNOWN, reason=why), reply_to=message)
