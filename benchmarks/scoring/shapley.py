"""How well the credits agree with exact Shapley values: of each round's updates, and of clients who train on their own.

*Reconstructed*: v(S) is what the clipped mean of the group's updates improves the round's base model by on the round's
batches (`subnet/scoring/shapley.py`). Beside it stands its last term, leave-one-out: what the clipped mean of all lacks
without an update. *Retrained*: the group alone plays all rounds from the first model on, and v(S) is by how much the
loss on the whole held-out pool has fallen in the end. A group's rule there is the clipped mean, and neither gates nor
refusals are in force: what they do isn't the game. Clients outside the group crash in every round, so that everyone
keeps its data, wallet and local randomness.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from benchmarks.scoring.figures import pearson, shapley, spread
from benchmarks.scoring.report import Bar, Part, Table
from benchmarks.scoring.runs import Given, Run, play, rescored, spec_of, task_of, with_roles
from clients import partition as partitions
from clients.partition import MIN_EXAMPLES
from clients.seeds import generator
from clients.task import Examples, Task
from subnet.rescore import Outcome

__all__ = ["coalition_values", "part", "unequal_shards"]

BAR = 0.9
PARTITIONS = ("iid", "dirichlet:0.5")
NOISY_SHARE = 0.5
"""Of the noisy client's labels, how many are drawn anew."""
_GAME = {"strategy": {"name": "norm_clipping", "settings": {}}, "validation": {"tolerance": 10.0}}


def unequal_shards(task: Task, n_clients: int, *, partition: str, seed: int) -> tuple[Examples, ...]:
    """Return the data of clients who differ: from a full part down to a tenth of it, and one with wrong labels.

    Args:
        task: whose training data is divided.
        n_clients: 3 or more; the third has the wrong labels.
        partition: `iid` or `dirichlet:ALPHA`.
        seed: the same seed gives the same.
    """
    data = task.training_data()
    found = []
    shards = partitions.split(data, n_clients, partition=partition, seed=seed)
    for index, shard in enumerate(shards):
        kept = 1 - 0.9 * index / (n_clients - 1)
        draw = generator("unequal", seed, index)
        size = max(MIN_EXAMPLES, round(kept * len(shard)))
        found.append(data.take(shard[torch.randperm(len(shard), generator=draw)[:size]]))
    draw = generator("noisy", seed)
    labels = found[2].targets.clone()
    wrong = torch.randperm(len(labels), generator=draw)[: round(NOISY_SHARE * len(labels))]
    labels[wrong] = torch.randint(int(data.targets.max()) + 1, (len(wrong),), generator=draw)
    found[2] = Examples(inputs=found[2].inputs, targets=labels)
    return tuple(found)


def coalition_values(scenario: Given) -> list[float]:
    """Return what every group of the clients comes to by itself: 2^n numbers, nobody's first, in units of the loss.

    Args:
        scenario: of n clients, all of whom take part; group number g is made of those whose binary digit is 1 in g.
    """
    n = len(scenario.each)
    worth = [0.0]
    for group in range(1, 1 << n):
        roles = [role if group >> place & 1 else "crash" for place, role in enumerate(scenario.each)]
        worth.append(_improvement(play(with_roles(scenario, roles))))
    return worth


def _improvement(run: Run) -> float:
    return run.rounds[0].record["val_loss_before"] - run.rounds[-1].record["val_loss_after"]


def _scenario(name: str, *, n_clients: int, n_rounds: int, partition: str, seed: int) -> Given:
    folder, spec = spec_of(name)
    return Given(
        spec=spec,
        app_dir=folder,
        cast=f"honest={n_clients}",
        partition=partition,
        seed=seed,
        n_rounds=n_rounds,
        each=("honest",) * n_clients,
        shards=unequal_shards(task_of(name), n_clients, partition=partition, seed=seed),
    )


def measured(name: str, *, n_clients: int, n_rounds: int, partition: str, seed: int, retrained: bool) -> dict[str, Any]:
    """Compare one run's credits with both values; `retrained` False leaves the second one out."""
    scenario = _scenario(name, n_clients=n_clients, n_rounds=n_rounds, partition=partition, seed=seed)
    run, outcomes = rescored(scenario, "path_credit", "shapley", "leave_one_out")
    hotkeys = list(run.kinds)
    row: dict[str, Any] = {
        "task": name,
        "partition": partition,
        "seed": seed,
        "n_clients": n_clients,
        "n_rounds": n_rounds,
        "reconstructed_r": _by_round(outcomes, "shapley", hotkeys),
        "leave_one_out_r": _by_round(outcomes, "leave_one_out", hotkeys),
    }
    if not retrained:
        return row
    _, game = spec_of(name, **_GAME)
    plain = replace(scenario, spec=game)
    ungated = game.model_copy(update={"scoring": game.scoring.model_copy(update={"scorer": "cosine"})})
    value = shapley(coalition_values(replace(scenario, spec=ungated)))
    paid, same = _summed(run), _summed(play(plain))
    return row | {
        "retrained_value_loss": value,
        "credit_loss": paid,
        "retrained_r": pearson(paid, value),
        "retrained_same_rule_r": pearson(same, value),
        "retrained_spread_ratio": spread(value).deviation / abs(spread(value).mean),
    }


def _by_round(outcomes: Sequence[Outcome], scorer: str, hotkeys: Sequence[str]) -> float | None:
    """Return the mean over the rounds of the correlation of the credits with another scorer's; None without any."""

    def credits(one: Outcome, name: str) -> list[float]:
        return [float(one.receipts[name][hotkey]["numbers"]["credit"]) for hotkey in hotkeys]

    found = [pearson(credits(one, "path_credit"), credits(one, scorer)) for one in outcomes]
    known = [r for r in found if r is not None]
    return spread(known).mean if known else None


def _summed(run: Run) -> list[float]:
    """Return everyone's credits summed over the rounds, as they count towards pay."""
    counted = [[receipt["counted"] for receipt in run.receipts(hotkey)] for hotkey in run.kinds]
    return [sum(one["credit"] for one in found if one is not None) for found in counted]


def part(
    name: str, *, seeds: Sequence[int], n_clients: int, n_rounds: int, partitions: Sequence[str], retrained: bool
) -> Part:
    """Measure all partitions and seeds."""
    rows = [
        measured(name, n_clients=n_clients, n_rounds=n_rounds, partition=partition, seed=seed, retrained=retrained)
        for partition in partitions
        for seed in seeds
    ]
    kinds = {"reconstructed_r": "reconstructed, every round", "leave_one_out_r": "leave-one-out, every round"}
    if retrained:
        kinds |= {
            "retrained_r": "retrained, as paid",
            "retrained_same_rule_r": "retrained, the run by the clipped mean",
        }
    lines, bars = [], []
    for partition in partitions:
        for key, words in kinds.items():
            found = [row[key] for row in rows if row["partition"] == partition and row[key] is not None]
            if not found:
                continue
            over = spread(found)
            lines.append([partition, words, over.text(3), f"{over.least:.3f}", f"{over.most:.3f}"])
            if key not in {"retrained_same_rule_r", "leave_one_out_r"}:
                bars.append(Bar(text=f"{partition}, {words}: correlation", value=over.mean, limit=BAR, at_most=False))
    return Part(
        name="shapley",
        tables=[
            Table(
                title=f"Correlation with the exact Shapley value, {n_clients} clients, {n_rounds} rounds, seeds "
                f"{', '.join(map(str, seeds))} of {name}",
                head=["data", "value", "mean ± deviation over seeds", "least", "most"],
                rows=lines,
            )
        ],
        rows=rows,
        bars=bars,
    )
