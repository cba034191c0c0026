"""The metrics that clients report, of which none is believed more than another."""

import math
from statistics import median

from flwr.app import MetricRecord, RecordDict


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
