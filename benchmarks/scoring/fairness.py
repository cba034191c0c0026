"""How evenly honest clients are paid: equal ones, unlike ones, and one that alone holds two classes."""

from collections import Counter
from collections.abc import Sequence
from statistics import mean, pstdev
from typing import Any

import torch

from benchmarks.scoring.figures import spread
from benchmarks.scoring.report import Bar, Part, Table
from benchmarks.scoring.runs import Given, Run, play, spec_of, task_of
from clients.seeds import generator
from clients.task import Examples, Task
from subnet.arena.rewards.play import STARVED
from subnet.engine.simulate import Scenario

__all__ = ["evenness", "minority", "minority_shards", "summary"]

PARTITIONS = ("iid", "dirichlet:0.5", "dirichlet:0.1")
CV_BAR, STARVED_BAR, MINORITY_BAR = 0.1, 3.0, 0.5


def summary(pay: Sequence[int]) -> dict[str, float | None]:
    """Return how evenly amounts, at least one, are spread; None where nobody was paid.

    >>> summary([1, 3])
    {'cv_ratio': 0.5, 'worst_over_mean': 0.5, 'starved_percent': 0.0}
    """
    usual = mean(pay)
    if not usual:
        return {"cv_ratio": None, "worst_over_mean": None, "starved_percent": None}
    return {
        "cv_ratio": pstdev(pay) / usual,
        "worst_over_mean": min(pay) / usual,
        "starved_percent": 100 * sum(one < STARVED * usual for one in pay) / len(pay),
    }


_COLUMNS = {
    "cv_ratio": ("CV", 3),
    "worst_over_mean": ("worst / mean", 2),
    "starved_percent": ("under 5 % of the mean, %", 1),
    "gated_percent": ("gated, %", 1),
    "copies_percent": ("as copies, %", 1),
    "val_accuracy_percent": ("accuracy, %", 1),
}
"""What evenness shows of every data split: name of the figure, head of its column, digits."""
_BARS = {
    "iid": ("cv_ratio", "CV of pay", CV_BAR),
    "dirichlet:0.1": ("starved_percent", "starved, %", STARVED_BAR),
}


def evenness(
    name: str, *, seeds: Sequence[int], n_clients: int, n_rounds: int, partitions: Sequence[str] = PARTITIONS
) -> Part:
    """Measure the pay of honest clients among themselves."""
    rows = [_honest(name, partition, seed, n_clients, n_rounds) for partition in partitions for seed in seeds]
    lines, bars = [], []
    for partition in partitions:
        found = [row for row in rows if row["partition"] == partition]
        spreads = {key: spread([row[key] for row in found]) for key in _COLUMNS}
        lines.append([partition, *(over.text(_COLUMNS[key][1]) for key, over in spreads.items())])
        if partition in _BARS:
            key, words, limit = _BARS[partition]
            bars.append(_bar(f"{name}, {partition}: {words}", spreads[key].mean, limit))
    title = f"Pay of {n_clients} honest clients over {n_rounds} rounds of {name}, seeds {', '.join(map(str, seeds))}"
    head = ["data", *(words for words, _ in _COLUMNS.values())]
    tables = [Table(title=title, head=head, rows=lines), _unpaid(rows, partitions)]
    return Part(name="evenness", tables=tables, rows=rows, bars=bars)


def _honest(name: str, partition: str, seed: int, n_clients: int, n_rounds: int) -> dict[str, Any]:
    """Play one field of honest clients; return what became of them."""
    folder, spec = spec_of(name)
    cast = f"honest={n_clients}"
    run = play(Scenario(spec=spec, app_dir=folder, cast=cast, partition=partition, seed=seed, n_rounds=n_rounds))
    return (
        {"task": name, "partition": partition, "seed": seed, "n_clients": n_clients, "n_rounds": n_rounds}
        | summary(list(run.pay().values()))
        | _troubles(run, list(run.kinds))
        | {"val_accuracy_percent": 100 * run.rounds[-1].record["val_accuracy_after"]}
    )


def _unpaid(rows: Sequence[dict[str, Any]], partitions: Sequence[str]) -> Table:
    """Return for every reason the share of client-rounds that weren't paid for it."""
    reasons = list(dict.fromkeys(why for row in rows for why in row["unpaid_percent"]))
    lines = [
        [
            one,
            *(
                f"{mean(row['unpaid_percent'].get(why, 0.0) for row in rows if row['partition'] == one):.1f}"
                for why in reasons
            ),
        ]
        for one in partitions
    ]
    return Table(title="Client-rounds that weren't paid, %, by reason", head=["data", *reasons], rows=lines)


def _bar(text: str, value: float, limit: float) -> Bar:
    return Bar(text=text, value=value, limit=limit, at_most=True)


def _troubles(run: Run, hotkeys: Sequence[str]) -> dict[str, Any]:
    """Return what befell some honest clients: shares of their rounds, and strikes."""
    found = [receipt for hotkey in hotkeys for receipt in run.receipts(hotkey)]
    numbers = [receipt["numbers"] for receipt in found if receipt["numbers"]]
    return {
        "gated_percent": 100 * sum(one["gated"] for one in numbers) / len(numbers),
        "copies_percent": 100 * sum(one["copy_of"] is not None for one in numbers) / len(numbers),
        "n_struck": sum(receipt["strike"] for receipt in found),
        "unpaid_percent": {
            why: 100 * count / len(found)
            for why, count in Counter(_why(receipt) for receipt in found if not receipt["reward"]).most_common()
        },
    }


def _why(receipt: dict[str, Any]) -> str:
    """Return why a receipt pays nothing; `gate` for free riding in the round itself, rather than over all rounds."""
    if receipt["status"] == "accepted":
        return str(receipt["zero_because"])
    return "gate" if receipt["reason"] == "free_riding" else str(receipt["reason"])


def minority_shards(
    task: Task, n_clients: int, *, seed: int, rare: tuple[int, int], whole: bool
) -> tuple[Examples, ...]:
    """Return the data of one client that alone holds two classes, first, and of the others, IID on all other classes.

    Args:
        task: whose training data is divided.
        n_clients: 2 or more.
        seed: the same seed gives the same.
        rare: the two classes.
        whole: whether the first client holds all examples of them; else as many as another client has.
    """
    data = task.training_data()
    mine = (data.targets == rare[0]) | (data.targets == rare[1])
    draw = generator("minority", seed)
    order = torch.randperm(len(data), generator=draw)
    alone, common = order[mine[order]], order[~mine[order]]
    parts = common.tensor_split(n_clients - 1)
    if not whole:
        alone = alone[: len(parts[0])]
    return tuple(data.take(shard.sort().values) for shard in (alone, *parts))


def minority(name: str, *, seeds: Sequence[int], n_clients: int, n_rounds: int) -> Part:
    """Measure what a client is paid that alone holds two classes."""
    rows = []
    for whole in (False, True):
        for seed in seeds:
            folder, spec = spec_of(name)
            rare = (2 * seed % 10, (2 * seed + 1) % 10)
            run = play(
                Given(
                    spec=spec,
                    app_dir=folder,
                    cast=f"honest={n_clients}",
                    partition="iid",
                    seed=seed,
                    n_rounds=n_rounds,
                    each=("honest",) * n_clients,
                    shards=minority_shards(task_of(name), n_clients, seed=seed, rare=rare, whole=whole),
                )
            )
            pay = run.pay()
            lone, *others = pay
            usual = mean(pay[hotkey] for hotkey in others)
            rows.append(
                {"task": name, "all_its_data": whole, "seed": seed, "classes": list(rare), "n_clients": n_clients}
                | {"n_rounds": n_rounds, "pay_over_mean": pay[lone] / usual if usual else None}
                | _troubles(run, [lone])
                | {f"others_{key}": value for key, value in _troubles(run, others).items()}
                | {"dropped_percent": 100 * _dropped(run, lone)}
                | {"val_accuracy_percent": 100 * run.rounds[-1].record["val_accuracy_after"]}
            )
    lines, bars = [], []
    for whole, words in ((False, "as much data as another"), (True, "all data of its classes")):
        found = [row for row in rows if row["all_its_data"] is whole]
        paid = [row["pay_over_mean"] for row in found if row["pay_over_mean"] is not None]
        over = spread(paid)
        keys = ("gated_percent", "copies_percent", "dropped_percent")
        struck = [str(sum(row[key] for row in found)) for key in ("n_struck", "others_n_struck")]
        accuracy = spread([row["val_accuracy_percent"] for row in found]).text(1)
        shares = [spread([row[key] for row in found]).text(1) for key in keys]
        lines.append([words, over.text(2), f"{over.least:.2f}", *shares, *struck, accuracy])
        bars.append(
            Bar(
                text=f"{name}, minority, {words}: pay over the mean", value=over.mean, limit=MINORITY_BAR, at_most=False
            )
        )
    head = ["it holds", "pay over the mean", "least", "gated, %", "as a copy, %", "left out of the model, %", "strikes"]
    return Part(
        name="minority",
        tables=[
            Table(
                title=f"One of {n_clients} clients alone holds two classes, {n_rounds} rounds of {name}, seeds "
                f"{', '.join(map(str, seeds))}",
                head=[*head, "others' strikes", "accuracy, %"],
                rows=lines,
            )
        ],
        rows=rows,
        bars=bars,
    )


def _dropped(run: Run, hotkey: str) -> float:
    numbers = [receipt["numbers"] for receipt in run.receipts(hotkey) if receipt["numbers"]]
    return sum(bool(one["dropped"]) for one in numbers) / len(numbers)
