"""What a re-scoring came to, participant by participant: the object of `subnet score --json` and of its table."""

from collections.abc import Mapping, Sequence
from typing import Any

from subnet.receipts import Receipt
from subnet.rescore import Outcome
from subnet.state import Fixture


def summary(fixture: Fixture, outcomes: Sequence[Outcome], kinds: Mapping[str, str]) -> dict[str, Any]:
    """Return the object of `subnet score --json`.

    Args:
        fixture: the run.
        outcomes: its rounds, as `rescore` returns them.
        kinds: kind of client by hotkey, where that is known.
    """
    scorers = list(outcomes[0].receipts) if outcomes else []
    hotkeys = dict.fromkeys([*kinds, *(hotkey for outcome in outcomes for hotkey in outcome.played.receipts)])
    paid = _earned([outcome.played.rewards for outcome in outcomes])
    earned = {name: _earned([_rewards(outcome.receipts[name]) for outcome in outcomes]) for name in scorers}
    participants = [
        {
            "hotkey": hotkey,
            "kind": kinds.get(hotkey),
            "paid": paid.get(hotkey, 0),
            "paid_share": _share(paid, hotkey),
            "share": {name: _share(earned[name], hotkey) for name in scorers},
        }
        for hotkey in hotkeys
    ]
    n_rounds = max(1, len(outcomes))
    return {
        "schema_version": 1,
        "subnet": fixture.spec.subnet.name,
        "own_scorer": fixture.scorer.name,
        "scorers": scorers,
        "exact": all(outcome.exact for outcome in outcomes),
        "participants": sorted(participants, key=lambda one: -int(str(one["paid"]))),
        "cost_per_round": {
            name: {
                "losses": sum(outcome.n_losses[name] for outcome in outcomes) / n_rounds,
                "gradients": sum(outcome.n_gradients[name] for outcome in outcomes) / n_rounds,
                "seconds": sum(outcome.seconds[name] for outcome in outcomes) / n_rounds,
            }
            for name in scorers
        },
        "rounds": [
            {
                "round": outcome.played.row.round,
                "paid": outcome.played.rewards,
                "rewards": {name: _rewards(outcome.receipts[name]) for name in scorers},
            }
            for outcome in outcomes
        ],
    }


def _rewards(receipts: Mapping[str, Receipt]) -> dict[str, int]:
    return {hotkey: receipt["reward"] for hotkey, receipt in receipts.items() if receipt["reward"]}


def _earned(rounds: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for rewards in rounds:
        for hotkey, reward in rewards.items():
            total[hotkey] = total.get(hotkey, 0) + reward
    return total


def _share(earned: Mapping[str, int], hotkey: str) -> float:
    total = sum(earned.values())
    return earned.get(hotkey, 0) / total if total else 0.0
