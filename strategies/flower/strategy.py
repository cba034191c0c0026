"""The strategy: what Flower calls, in the order in which it does."""

import logging
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result
from torch import Tensor

from strategies.aggregation import Aggregation
from strategies.base import Aggregator
from strategies.errors import SettingsError, TooFewClientsError, UpdatesError
from strategies.flower.content import content_of, metrics_of
from strategies.flower.errors import ReplyError, SpoolError
from strategies.flower.metrics import median_metrics
from strategies.flower.model import Model
from strategies.flower.replies import Gathered, Rejected
from strategies.flower.rows import Rows, SpooledRows, check_folder
from strategies.flower.streaming import StreamingGrid

log = logging.getLogger("strategies.flower")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundReport:
    """What became of one round's replies."""

    n_replies: int
    """All that were asked for: error replies, and nodes that didn't answer in time, included."""
    rejected: tuple[Rejected, ...]
    """Those that aren't in the aggregate, with the reason."""
    influence: Mapping[int, float]
    """Node id -> how much of its update is in the aggregate; empty if there is none."""
    unchanged: str = ""
    """Why the model stayed as it was; empty if it didn't."""


class RobustStrategy(FedAvg):
    """A Flower strategy that aggregates with a rule of this package.

    Replies carry full weights; the rule gets their differences from the model that was sent, keyed by node id, so that
    the result doesn't depend on who answered first. Malformed replies count among the rule's Byzantine clients, failed
    nodes and replies in another's name don't. Arrays that aren't floating point (counters) keep the value that was
    sent. If no model comes out of a round (no usable reply, too few for the rule, a full disk), the last one stays.
    Metrics are medians over the usable replies.

    Args:
        aggregator: The rule; one that needs evidence from held-out data (`credit_gated`, `fltrust`) has none here and
            says so. One that starts at the last round's aggregate (`centered_clipping`) gets it.
        max_examples: None: every client counts the same. Otherwise rules that weigh by numbers of examples (`fedavg`)
            get the clients' claims, none larger than this.
        spool: Folder for a round's rows (each as large as the model in float32), on a disk, in a file that has no name
            and goes with the round or the process. A round then needs memory for the model, one reply, one row and a
            few columns of all, however many nodes answer. None keeps the rows in memory, for a model of the same bits.
        poll_s: Shortest pause between two looks for replies; it grows to 3 s while none comes.
        **fedavg: Settings of `FedAvg`: fractions, minimal numbers of nodes, keys, functions that aggregate metrics.

    Raises:
        SettingsError: `max_examples` below 1, `poll_s` not above 0, or no file can be written in `spool`.
    """

    def __init__(
        self,
        aggregator: Aggregator,
        *,
        max_examples: int | None = None,
        spool: str | Path | None = None,
        poll_s: float = 0.1,
        **fedavg: Any,
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
        self.spool = None if spool is None else Path(spool)
        self.poll_s = poll_s
        self.reports: dict[int, RoundReport] = {}
        """What became of each round's replies, by round."""
        self._model: Model | None = None
        self._previous: Tensor | None = None
        if self.spool is not None:
            check_folder(self.spool)

    def summary(self) -> None:
        """Log the rule, where rows are kept, and FedAvg's settings."""
        where = "memory" if self.spool is None else self.spool
        log.info("aggregating with %s (%s), rows in %s", self.aggregator.name, self.aggregator.settings, where)
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
        self._previous = None
        streaming = StreamingGrid(grid, poll_s=self.poll_s)
        return super().start(streaming, initial_arrays, num_rounds, timeout, train_config, evaluate_config, evaluate_fn)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Sample nodes as FedAvg does, and keep what they are sent."""
        self._model = Model(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Make a model of the replies, each folded into a row and dropped as it comes.

        Args:
            server_round: The round.
            replies: Messages, pulled while they are iterated over. Whom they are from is believed: `start` checks it.

        Returns:
            The new model, None if there is none; and the metrics, None if no reply has any.
        """
        model = self._model
        if model is None:
            raise UpdatesError("replies before any model was sent", remedy="call configure_train first")
        arrays, result, unchanged = None, None, ""
        with self._rows_of(model) as rows:
            gathered = Gathered(
                model=model, rows=rows, max_examples=self.max_examples, examples_key=self.weighted_by_key
            )
            for reply in replies:
                gathered.take(reply)
                del reply  # it isn't to be in memory when the next one comes
            try:
                evidence = gathered.evidence(previous=self._previous)
                result = self.aggregator.aggregate(rows.updates(), evidence=evidence)
                arrays = model.plus(result.update)
            except (UpdatesError, TooFewClientsError, SpoolError) as error:
                result, unchanged = None, f"{error.message} ({error.remedy})"
        if result is not None and "previous" in self.aggregator.evidence:
            self._previous = result.update
        return arrays, self._reported(server_round, gathered, result, unchanged=unchanged)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Aggregate the metrics of the replies that have any (see `aggregate_train`)."""
        contents = []
        for reply in replies:
            try:
                contents.append(RecordDict({"metrics": metrics_of(content_of(reply))}))
            except ReplyError as error:
                node = reply.metadata.src_node_id
                log.warning("round %d: evaluation of node %d %s: %s", server_round, node, error.reason, error.detail)
            del reply
        return self.evaluate_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None

    def _rows_of(self, model: Model) -> Rows:
        if self.spool is None:
            return Rows(n_params=model.n_params, dtype=model.dtype)
        return SpooledRows(self.spool, n_params=model.n_params, dtype=model.dtype)

    def _reported(
        self, server_round: int, gathered: Gathered, result: Aggregation | None, *, unchanged: str
    ) -> MetricRecord | None:
        """Write the round's report and tell the log; returns the metrics of those whom the rule didn't leave out."""
        left_out = [] if result is None else gathered.left_out(result)
        report = RoundReport(
            n_replies=gathered.n_replies,
            rejected=(*gathered.rejected, *left_out),
            influence={} if result is None else gathered.influence(result),
            unchanged=unchanged,
        )
        self.reports[server_round] = report
        for one in report.rejected:
            log.warning("round %d: node %d %s: %s", server_round, one.node_id, one.reason, one.detail)
        if unchanged and report.n_replies:
            log.error("round %d: no new model: %s", server_round, unchanged)
        out = {one.node_id for one in left_out}
        contents = [RecordDict({"metrics": record}) for node, record in gathered.metrics.items() if node not in out]
        return self.train_metrics_aggr_fn(contents, self.weighted_by_key) if contents else None
