"""What a validator holds between two rounds; all of it can be read back from the run's folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from clients import weights
from clients.task import Examples
from strategies import Aggregator
from subnet.assign import Deal
from subnet.receipts import Receipt, acknowledge
from subnet.scoring.base import Scorer
from subnet.scoring.history import History, past_round, read_earlier
from subnet.scoring.objective import Objective
from subnet.spec import ScoringSection, Spec
from subnet.store import Store
from tokenomics.keys import Keypair
from tokenomics.ledger import Checkpoint, Ledger, RoundRow


class Entropy(Protocol):
    """Where a validator's unguessable numbers come from: the operating system, or a simulation's seed."""

    def nonce(self, round_number: int) -> str:
        """Return the round's nonce, 64 hex digits; the same whenever it is asked for."""
        ...

    def message_id(self, round_number: int, hotkey: str) -> str:
        """Return the id of the message to a participant in a round, 32 hex digits."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """What doesn't change over the rounds of a run.

    Attributes:
        spec: the rules.
        objective: the task's loss and gradient.
        validation: the held-out pool that contributions and models are scored on.
        probes: the part of the held-out data that probes are dealt from; empty where there are none.
        strategy: the aggregation rule.
        scorer: the scoring rule.
        store: models, updates, receipts, records.
        ledger: the money.
        keypair: the validator's hotkey.
        entropy: nonces and message ids.
        clock: seconds since the epoch, for a round's number; a simulation gives simulated time.
        order: sorts replies into the order of commitment; arrival, except in a simulation that must repeat.
        stopped: whether somebody wants the run to end now.
        on_deal: told of a round's number and probes before they are sent; a simulation tells its cheats.
    """

    spec: Spec
    objective: Objective
    validation: Examples
    probes: Examples
    strategy: Aggregator
    scorer: Scorer
    store: Store
    ledger: Ledger
    keypair: Keypair
    entropy: Entropy
    clock: Callable[[int], int]
    order: Callable[[str], int] | None = None
    stopped: Callable[[], bool] = lambda: False
    on_deal: Callable[[int, Deal], None] = lambda _round_number, _deal: None


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a round starts from.

    Attributes:
        round: last settled round; 0 before the first.
        models: hashes of the models so far, newest first, without repeats in a row; at least one.
        points: the newest of them as `(n_params,)` vectors, newest first: one more than the deltas that count.
        history: what scoring remembers.
        val_loss: loss of the newest model on the whole pool.
        val_accuracy: its accuracy; None where the task has none.
        nonce_commitment: what the next round's nonce has to hash to, by the ledger.
        acknowledgements: signed word by hotkey on what the last settled round received from it.
    """

    round: int
    models: tuple[str, ...]
    points: tuple[Tensor, ...]
    history: History
    val_loss: float
    val_accuracy: float | None
    nonce_commitment: str
    acknowledgements: dict[str, str]

    @property
    def base(self) -> Tensor:
        """The newest model."""
        return self.points[0]

    @property
    def deltas(self) -> Tensor:
        """The last global deltas `(k, n_params)`, newest first."""
        if len(self.points) < 2:
            return torch.zeros(0, len(self.base))
        return torch.stack([new - old for new, old in zip(self.points, self.points[1:], strict=False)])


def restore(fixture: Fixture) -> State:
    """Read the state back from ledger and store: the receipts of the last rounds, and totals of those before.

    Raises:
        StoreError: an object that is read is missing or was altered.
    """
    ledger, store, layout = fixture.ledger, fixture.store, fixture.objective.layout
    rules = fixture.spec.scoring
    rows = list(ledger.rounds())
    models = [ledger.genesis.model_hash]
    models += [row.model_hash for row in rows]
    models = [digest for digest, before in zip(models, [None, *models], strict=False) if digest != before][::-1]
    history, receipts = remembered(ledger, store, rows, rules)
    points = tuple(weights.decode(layout, store.get("models", digest)) for digest in models[: rules.history + 1])
    loss, accuracy = fixture.objective.evaluate(points[0], fixture.validation)
    committed = ledger.genesis.nonce_commitment
    if rows:
        committed = store.get_json("rounds", rows[-1].record_hash)["next_nonce_commitment"]
    return State(
        round=ledger.height,
        models=tuple(models),
        points=points,
        history=history,
        val_loss=loss,
        val_accuracy=accuracy,
        nonce_commitment=committed,
        acknowledgements=acknowledged(fixture, receipts, ledger.checkpoint),
    )


def acknowledged(fixture: Fixture, receipts: Mapping[str, Receipt], checkpoint: Checkpoint) -> dict[str, str]:
    """Return the validator's signed word to everybody on what a round received, and on the log that holds the round.

    Args:
        fixture: has the key.
        receipts: the round's, by hotkey.
        checkpoint: of the log that ends with it.
    """
    log, root = checkpoint.tree.origin, checkpoint.tree.root
    return {
        hotkey: acknowledge(fixture.keypair, receipt, log=log, log_root=root) for hotkey, receipt in receipts.items()
    }


def remembered(
    ledger: Ledger, store: Store, rows: Sequence[RoundRow], rules: ScoringSection
) -> tuple[History, dict[str, Receipt]]:
    """Return what scoring remembers after some rounds, and the receipts of the last of them.

    Args:
        ledger: names the receipts.
        store: has them.
        rows: all rounds from the first.
        rules: say how many rounds are known one by one. Only their receipts are read, but for runs of earlier
            versions, whose records have no totals.

    Raises:
        StoreError: an object that is read is missing or was altered.
    """
    if not rows:
        return History(), {}
    history = read_earlier(store.get_json("rounds", rows[-1].record_hash))
    receipts: dict[str, Receipt] = {}
    for row in rows[history.n_earlier :]:
        receipts = {
            entry.hotkey: store.get_json("receipts", entry.receipt_hash) for entry in ledger.receipts(row.round)
        }
        history = history.then(past_round(store.get_json("rounds", row.record_hash), receipts), rules)
    return history, receipts
