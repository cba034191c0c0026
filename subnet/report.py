"""What a run came to, read back from its folder: the object of `simulate --json` and what the screen shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from subnet.receipts import Receipt
from subnet.run_files import LEDGER_NAME
from subnet.store import Store
from tokenomics.emission import HeightSchedule, Schedule
from tokenomics.ledger import Earnings, Ledger, ReceiptEntry, RoundRow, verify_ledger

SCHEMA_VERSION = 1
NO_EARNINGS = Earnings(vested=0, pending=0, voided=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundReport:
    """One settled round with everything that is stored of it.

    Attributes:
        row: its row in the ledger.
        record: its stored record.
        receipts: by hotkey.
        entries: what the ledger says of them.
    """

    row: RoundRow
    record: Mapping[str, Any]
    receipts: Mapping[str, Receipt]
    entries: Sequence[ReceiptEntry]

    @property
    def accepted(self) -> list[str]:
        """Hotkeys whose contribution counted."""
        return [hotkey for hotkey, receipt in self.receipts.items() if receipt["status"] == "accepted"]

    @property
    def rejected(self) -> list[dict[str, str]]:
        """The others, each with its reason."""
        return [
            {"hotkey": hotkey, "reason": receipt["reason"]}
            for hotkey, receipt in self.receipts.items()
            if receipt["status"] != "accepted"
        ]

    @property
    def left_out(self) -> list[str]:
        """Hotkeys whose contribution was accepted but left out of the new model by the strategy."""
        return [hotkey for hotkey in self.accepted if (self.receipts[hotkey]["numbers"] or {}).get("dropped")]

    @property
    def rewards(self) -> dict[str, int]:
        """What was paid, in base units, by hotkey; only those who were paid."""
        return {hotkey: receipt["reward"] for hotkey, receipt in self.receipts.items() if receipt["reward"]}

    def to_json(self) -> dict[str, Any]:
        """Return the round as `simulate --json` prints it."""
        return {
            "round": self.row.round,
            "era": self.row.era,
            "emission": self.row.emission,
            "minted": self.row.minted,
            "base_hash": self.row.base_hash,
            "model_hash": self.row.model_hash,
            "val_loss_before": self.record["val_loss_before"],
            "val_loss_after": self.record["val_loss_after"],
            "val_accuracy": self.record["val_accuracy_after"],
            "accepted": self.accepted,
            "rejected": self.rejected,
            "rewards": self.rewards,
        }


def read_round(ledger: Ledger, store: Store, row: RoundRow) -> RoundReport:
    """Read one round back.

    Raises:
        StoreError: an object that the ledger names is missing or was altered.
    """
    entries = ledger.receipts(row.round)
    return RoundReport(
        row=row,
        record=store.get_json("rounds", row.record_hash),
        receipts={entry.hotkey: store.get_json("receipts", entry.receipt_hash) for entry in entries},
        entries=entries,
    )


def report(folder: Path, *, kinds: Mapping[str, str], n_rounds: int, seconds: float) -> dict[str, Any]:
    """Return a run as one JSON object (DESIGN section 10).

    Args:
        folder: the run's folder.
        kinds: kind of client by hotkey; participants are listed in descending order of reward. A `reward` is all that
            rounds paid; `vested`, `pending` and `voided` say what had come of it after the last round reported.
        n_rounds: the first so many rounds are reported.
        seconds: how long this process took.
    """
    store = Store(folder)
    with Ledger.open(folder / LEDGER_NAME, read_only=True) as ledger:
        earnings = ledger.earnings(until=n_rounds)
        rounds = [read_round(ledger, store, row) for row in ledger.rounds() if row.round <= n_rounds]
        genesis = ledger.genesis
    checked = verify_ledger(folder / LEDGER_NAME, validator=genesis.validator)
    earned: Counter[str] = Counter()
    for played in rounds:
        earned.update(played.rewards)
    total = sum(earned.values())
    minted = sum(played.row.minted for played in rounds)
    last = rounds[-1].record if rounds else {"val_loss_after": None, "val_accuracy_after": None}
    participants = [
        {
            "hotkey": hotkey,
            "kind": kind,
            "reward": earned[hotkey],
            "share": earned[hotkey] / total if total else 0.0,
            **asdict(earnings.get(hotkey, NO_EARNINGS)),
        }
        for hotkey, kind in kinds.items()
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "subnet": genesis.subnet,
        "vesting": genesis.vesting,
        "rounds": [played.to_json() for played in rounds],
        "participants": sorted(participants, key=lambda one: -int(str(one["reward"]))),
        "supply": {
            "cap": genesis.schedule.cap,
            "minted": minted,
            "burned": sum(one.voided for one in earnings.values()),
            "unit": genesis.token.symbol,
            "decimals": genesis.token.decimals,
            "next_halving": next_halving(genesis.schedule, len(rounds), minted),
        },
        "ledger": {"ok": checked.ok, "head": checked.head},
        "final": {"val_loss": last["val_loss_after"], "val_accuracy": last["val_accuracy_after"]},
        "folder": str(folder),
        "seconds": round(seconds, 3),
    }


def next_halving(schedule: Schedule, n_rounds: int, minted: int) -> dict[str, Any]:
    """Return when the emission halves next: after which round, or at which minted total in base units.

    Args:
        schedule: the token's.
        n_rounds: rounds settled so far; round `r` has height `r - 1`.
        minted: base units minted so far.
    """
    if isinstance(schedule, HeightSchedule):
        return {"after_round": schedule.next_halving(height=max(0, n_rounds - 1))}
    return {"at_minted": schedule.next_halving(minted=minted)}
