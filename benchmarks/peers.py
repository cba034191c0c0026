"""The peers' aggregation, called on rows that lie in memory already.

Runs in their environment, so it imports nothing of ours.

All get the same float32 matrix, the same number of Byzantine clients and the same settings wherever these can be set:
geometric median from zero with nu .1 (byzfl's defaults; byzpy starts from the mean and calls nu eps), centred clipping
from zero with tau the root of d, as many iterations of both, Multi-Krum with m = n - f. What can't be set is in `LIKE`:
with these settings ours computes what the peer does, and that is what a peer's result is compared with. byzpy's meamed
takes the lower of two middle values for the median, which ours can't.

- `byzfl numpy`, `byzfl torch`: `byzfl.Median()(matrix)` and so on: most rules have two implementations.
- `byzpy`: `CoordinateWiseMedian().aggregate(rows)` and so on, with a list of torch rows (its only backend).
- `flwr legacy`: the functions of `flwr.server.strategy.aggregate`, with a list of `([row], 1)`.
- `flwr message`: `aggregate_train` of `flwr.serverapp.strategy`'s classes, with replies that hold their arrays decoded
  and unchecked, which is kinder than life: decoding and validation cost extra. The result is encoded, as in life.
"""

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LIBRARIES", "LIKE", "NU", "OFFERS", "REQUIREMENTS", "as_array", "call_of", "versions"]

REQUIREMENTS = Path(__file__).with_name("peers.txt")
NU = 0.1
"""Smoothing of the geometric median; byzfl's default."""

_BYZFL = ("mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median", "centered_clipping")
_FLWR = ("mean", "median", "trimmed_mean", "krum", "multi_krum", "bulyan")
OFFERS: Mapping[str, tuple[str, ...]] = {
    "byzfl numpy": (*_BYZFL, "nnm+trimmed_mean", "meamed"),
    "byzfl torch": (*_BYZFL, "nnm+trimmed_mean", "meamed"),
    "byzpy": (*_BYZFL[1:], "nnm+trimmed_mean", "meamed"),
    "flwr legacy": _FLWR,
    "flwr message": _FLWR,
}
LIBRARIES = tuple(OFFERS)
LIKE: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("byzfl numpy", "krum"): {"neighbours": "n-f-1"},
    ("byzfl torch", "krum"): {"neighbours": "n-f-1"},
    ("byzpy", "krum"): {"neighbours": "n-f-1"},
    ("byzfl numpy", "multi_krum"): {"neighbours": "n-f-1"},
    ("byzfl torch", "multi_krum"): {"neighbours": "n-f-1"},
    ("byzpy", "multi_krum"): {"neighbours": "n-f-1"},
    ("byzpy", "median"): {"even": "lower"},
    ("byzpy", "geometric_median"): {"start": "mean"},
}
"""Settings of ours that make it do what a peer does, by library and rule."""

_Call = Callable[[], Any]


def call_of(library: str, rule: str, rows: np.ndarray, *, n_byzantine: int, iterations: int) -> _Call:
    """What is timed: one aggregation by a peer.

    Args:
        library: One of `LIBRARIES`.
        rule: One that it offers.
        rows: (n, d) float32; no peer changes it.
        n_byzantine: f.
        iterations: Of the geometric median and of centred clipping.

    Returns:
        A function that aggregates once, in the peer's own form of a result.
    """
    if rule not in OFFERS[library]:
        raise ValueError(f"{library} has no {rule}; it has {', '.join(OFFERS[library])}")
    name, _, form = library.partition(" ")
    if name == "byzfl":
        return _byzfl(rule, rows if form == "numpy" else _tensor(rows), n_byzantine, iterations)
    if name == "byzpy":
        return _byzpy(rule, list(_tensor(rows)), n_byzantine, iterations)
    return (_flwr_legacy if form == "legacy" else _flwr_message)(rule, rows, n_byzantine)


def as_array(result: Any) -> np.ndarray:
    """A peer's result as one float array: out of a tensor, an array, Flower's list of layers or its ArrayRecord."""
    if isinstance(result, tuple):  # (ArrayRecord, metrics)
        return np.asarray(result[0]["w"].numpy())
    if isinstance(result, list):
        return np.asarray(result[0])
    return np.asarray(result)


def versions() -> str:
    """What runs here, with the versions."""
    names = ("byzfl", "byzpy", "flwr", "numpy", "torch")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _tensor(rows: np.ndarray) -> Any:
    return importlib.import_module("torch").from_numpy(rows)


def _byzfl(rule: str, rows: Any, f: int, iterations: int) -> _Call:
    byzfl = importlib.import_module("byzfl")
    make: dict[str, _Call] = {
        "mean": byzfl.Average,
        "median": byzfl.Median,
        "trimmed_mean": lambda: byzfl.TrMean(f),
        "krum": lambda: byzfl.Krum(f),
        "multi_krum": lambda: byzfl.MultiKrum(f),
        "geometric_median": lambda: byzfl.GeometricMedian(nu=NU, T=iterations),
        "centered_clipping": lambda: byzfl.CenteredClipping(L=iterations, tau=float(rows.shape[1]) ** 0.5),
        "meamed": lambda: byzfl.Meamed(f),
        "nnm+trimmed_mean": lambda: lambda matrix: byzfl.TrMean(f)(byzfl.NNM(f)(matrix)),
    }
    return lambda: make[rule]()(rows)  # made anew each time: centred clipping remembers its last result


def _byzpy(rule: str, rows: list[Any], f: int, iterations: int) -> _Call:
    def load(module: str, name: str) -> Any:
        return getattr(importlib.import_module(f"byzpy.{module}"), name)

    trimmed = load("aggregators.coordinate_wise.trimmed_mean", "CoordinateWiseTrimmedMean")
    krum = load("aggregators.geometric_wise.krum", "Krum")
    multi_krum = load("aggregators.geometric_wise.krum", "MultiKrum")
    geometric = load("aggregators.geometric_wise.geometric_median", "GeometricMedian")
    clipping = load("aggregators.norm_wise.center_clipping", "CenteredClipping")
    median = load("aggregators.coordinate_wise.median", "CoordinateWiseMedian")
    meamed = load("aggregators.coordinate_wise.mean_of_medians", "MeanOfMedians")
    nnm = load("pre_aggregators.nnm", "NearestNeighborMixing")
    tau = float(len(rows[0])) ** 0.5
    calls: dict[str, _Call] = {
        "median": lambda: median().aggregate(rows),
        "trimmed_mean": lambda: trimmed(f).aggregate(rows),
        "krum": lambda: krum(f).aggregate(rows),
        "multi_krum": lambda: multi_krum(f, len(rows) - f).aggregate(rows),
        "geometric_median": lambda: geometric(max_iter=iterations, eps=NU, init="mean", tol=1e-30).aggregate(rows),
        "centered_clipping": lambda: clipping(c_tau=tau, M=iterations, init="zero").aggregate(rows),
        "meamed": lambda: meamed(f).aggregate(rows),
        "nnm+trimmed_mean": lambda: trimmed(f).aggregate(nnm(f).pre_aggregate(rows)),
    }
    return calls[rule]


def _flwr_legacy(rule: str, rows: np.ndarray, f: int) -> _Call:
    flwr = importlib.import_module("flwr.server.strategy.aggregate")
    results = [([row], 1) for row in rows]
    calls: dict[str, _Call] = {
        "mean": lambda: flwr.aggregate(results),
        "median": lambda: flwr.aggregate_median(results),
        "trimmed_mean": lambda: flwr.aggregate_trimmed_avg(results, f / len(rows)),
        "krum": lambda: flwr.aggregate_krum(results, f, 0),
        "multi_krum": lambda: flwr.aggregate_krum(results, f, len(rows) - f),
        "bulyan": lambda: flwr.aggregate_bulyan(list(results), f, flwr.aggregate_krum, to_keep=0),
    }
    return calls[rule]


class _Held:
    """Flower's `Array`, decoded."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def numpy(self) -> np.ndarray:
        return self._values


class _Arrays(dict[str, _Held]):
    """Flower's `ArrayRecord`, decoded."""

    def to_numpy_ndarrays(self, *, keep_input: bool = True) -> list[np.ndarray]:  # noqa: ARG002 -- Flower's signature
        return [held.numpy() for held in self.values()]


class _Content(dict[str, _Arrays]):
    """The `RecordDict` of a reply."""

    def __init__(self, row: np.ndarray) -> None:
        super().__init__(arrays=_Arrays(w=_Held(row)))
        self.array_records = dict(self)
        self.metric_records = {"metrics": {"num-examples": 1.0}}


class _Reply:
    """The `Message` of a client."""

    def __init__(self, row: np.ndarray) -> None:
        self.content = _Content(row)


def _flwr_message(rule: str, rows: np.ndarray, f: int) -> _Call:
    flwr = importlib.import_module("flwr.serverapp.strategy")
    n = len(rows)
    common: dict[str, Any] = {"train_metrics_aggr_fn": lambda contents, key: None}  # noqa: ARG005 -- Flower's signature
    make: dict[str, _Call] = {
        "mean": lambda: flwr.FedAvg(**common),
        "median": lambda: flwr.FedMedian(**common),
        "trimmed_mean": lambda: flwr.FedTrimmedAvg(beta=f / n, **common),
        "krum": lambda: flwr.Krum(num_malicious_nodes=f, **common),
        "multi_krum": lambda: flwr.MultiKrum(num_malicious_nodes=f, num_nodes_to_select=n - f, **common),
        "bulyan": lambda: flwr.Bulyan(num_malicious_nodes=f, **common),
    }
    strategy = make[rule]()
    strategy._check_and_log_replies = lambda replies, is_train: (replies, [])  # noqa: ARG005, SLF001 -- decoded replies
    return lambda: strategy.aggregate_train(1, [_Reply(row) for row in rows])  # made anew: Flower empties them


if __name__ == "__main__":
    for needed in ("byzfl", "byzpy", "flwr.serverapp.strategy"):
        importlib.import_module(needed)
    print(versions())
