"""What a reply says, before it is believed."""

from typing import TypeVar

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict

from strategies.flower.errors import ReplyError
from strategies.flower.streaming import FOREIGN

MOST_METRICS_BYTES = 2**20
"""Metrics are kept until the round ends, so they are the one part of a reply that has to be small."""

_Record = TypeVar("_Record", ArrayRecord, MetricRecord)


def content_of(reply: Message) -> RecordDict:
    """The records of a reply.

    Raises:
        ReplyError: It is an error, or empty.
    """
    if reply.has_error():
        said = (reply.error.reason or "no reason given").strip().splitlines()
        last = said[-1][:200] if said else ""
        if reply.error.code == FOREIGN:
            raise ReplyError("foreign", last)
        raise ReplyError("failed", f"Flower error {reply.error.code}: {last}")
    if not reply.has_content():
        raise ReplyError("failed", "a reply without content")
    return reply.content


def arrays_of(content: RecordDict) -> ArrayRecord:
    """The one record of arrays.

    Raises:
        ReplyError: None, or several.
    """
    return _only(content, ArrayRecord)


def metrics_of(content: RecordDict) -> MetricRecord:
    """The one record of metrics.

    Raises:
        ReplyError: None, several, or one that is larger than any metrics are.
    """
    metrics = _only(content, MetricRecord)
    if (size := metrics.count_bytes()) > MOST_METRICS_BYTES:
        raise ReplyError("malformed", f"metrics of {size:,} bytes; the most is {MOST_METRICS_BYTES:,}")
    return metrics


def has_metrics(content: RecordDict) -> bool:
    """Whether there is any record of metrics."""
    return any(isinstance(record, MetricRecord) for record in content.values())


def _only(content: RecordDict, kind: type[_Record]) -> _Record:
    # not `content.array_records`: it refers to itself, and would keep the reply until Python looks for such circles
    records = [record for record in content.values() if isinstance(record, kind)]
    if len(records) != 1:
        raise ReplyError("malformed", f"{len(records)} {kind.__name__}s, not one")
    return records[0]
