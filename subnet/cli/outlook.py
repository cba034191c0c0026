"""The details of `subnet earnings` for one hotkey or coldkey: recent pay, round by round, and pay to come."""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from subnet.store import Store
from tokenomics import Amount, Token
from tokenomics.ledger import Ledger, ReceiptEntry
from tokenomics.statement import (
    Outlook,
    Paid,
    Rate,
    Window,
    lines_of,
    look_out,
    paid_rounds,
    parse_moment,
    rates,
    windows,
)
from tokenomics.statement.outlook import WINDOWS
from tokenomics.statement.period import utc

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What is told of one hotkey, or of all hotkeys of one coldkey together."""

    token: Token
    now: int
    """Where the windows end: Unix time in seconds."""
    windows: Mapping[str, Window]
    rates: Mapping[str, Rate]
    """Pay for GPU time, by window."""
    paid: Sequence[Paid]
    """The last round first."""
    outlook: Outlook | None

    def document(self, last: int) -> dict[str, Any]:
        """Return the details as plain data, with the `last` rounds."""
        rounds = [
            {
                "round": one.round,
                "settled_at": one.settled_at,
                "hotkey": one.hotkey,
                "paid": one.amount,
                "state": one.payout.state if one.payout else None,
                "state_round": one.payout.round if one.payout else None,
            }
            for one in self._last(last)
        ]
        recent = {
            name.replace(" ", ""): asdict(window)
            | {"gpu_ms": self.rates[name].gpu_ms, "per_gpu_hour": self.rates[name].per_hour}
            for name, window in self.windows.items()
        }
        projection = asdict(self.outlook) if self.outlook else None
        return {"now": self.now, "windows": recent, "rounds": rounds, "projection": projection}

    def show(self, console: "Console", last: int) -> None:
        """Print the details, with the `last` rounds."""
        for table in (self._recent(), self._rounds(last)):
            console.print()
            console.print(table)
        if self.outlook:
            console.print(f"\n{self._projection(self.outlook)}")

    def _last(self, last: int) -> list[Paid]:
        numbers = list(dict.fromkeys(one.round for one in self.paid))[:last]
        return [one for one in self.paid if one.round in numbers]

    def _amount(self, units: int) -> str:
        return str(Amount(units, self.token))

    def _recent(self) -> "Table":
        from rich.table import Table

        told = any(rate.gpu_ms for rate in self.rates.values())
        heads = ("paid", "released", "voided", *(["per GPU-hour"] if told else []))
        table = Table(f"until {utc(self.now)}", *heads, box=None, header_style="bold")
        for name, one in self.windows.items():
            per_hour = self.rates[name].per_hour
            rate = ["-" if per_hour is None else self._amount(per_hour)] if told else []
            table.add_row(f"last {name}", *map(self._amount, (one.credited, one.released, one.voided)), *rate)
        return table

    def _rounds(self, last: int) -> "Table":
        from rich.table import Table

        several = len({one.hotkey for one in self.paid}) > 1
        whose = ["participant"] if several else []
        table = Table("round", "settled (UTC)", *whose, "paid", "what came of it", box=None, header_style="bold")
        words = {"paid": "paid at once", "pending": "pending until {}", "released": "released in {}"}
        for one in self._last(last):
            came = words.get(one.payout.state, "voided in {}").format(one.payout.round) if one.payout else "-"
            settled = utc(one.settled_at).removesuffix(" UTC")
            hotkey = [one.hotkey[:12]] if several else []
            table.add_row(str(one.round), settled, *hotkey, self._amount(one.amount), came)
        return table

    def _projection(self, found: Outlook) -> str:
        credited, allowed = found.share
        percent, hundredths = divmod(credited * 10_000 // allowed, 100)
        a_round, until_halving, after = map(self._amount, (found.a_round, found.until_halving, found.a_round_after))
        return (
            f"At {percent}.{hundredths:02}% of the schedule, as over the last {found.n_rounds} rounds with a "
            f"contribution: {a_round} a round, {until_halving} in the {found.rounds_left:,} rounds until the next "
            f"halving, and {after} a round after it.\n"
            "[dim]If the share stays, every round pays all that it may, and nothing is voided.[/]"
        )


def read_details(ledger: Ledger, store: Store | None, hotkeys: Sequence[str], *, height: int, now: str) -> Details:
    """Read what is told of some hotkeys together.

    Args:
        ledger: to be read.
        store: where its receipts lie; None where the ledger is all there is.
        hotkeys: whose.
        height: the last round to look at.
        now: where the windows end, as `parse_moment` takes it; empty for the last settled round's time.

    Raises:
        StatementError: `now` is no moment.
        LedgerCorruptError: the ledger doesn't add up.
        StoreError: a receipt is missing or was altered.
    """
    genesis = ledger.genesis
    rows = {row.round: row for row in itertools.islice(ledger.rounds(), height)}
    settled_at = {number: row.settled_at for number, row in rows.items()}
    entries = {hotkey: ledger.entries(hotkey, until=height) for hotkey in hotkeys}
    lines = {
        hotkey: lines_of(
            ledger.moved(hotkey, until=height),
            settled_at=settled_at,
            receipt_hashes={number: entry.receipt_hash for number, entry in entries[hotkey].items()},
            vesting=genesis.vesting,
            ordered=ledger.ordered(f"participant:{hotkey}", until=height),
        )
        for hotkey in hotkeys
    }
    taken = {
        hotkey: [number for number, entry in own.items() if entry.status != "missing"]
        for hotkey, own in entries.items()
    }
    paid = paid_rounds(lines, taken, settled_at=settled_at, vesting=genesis.vesting)
    until = parse_moment(now) if now else settled_at.get(height, genesis.created_at)
    recent = {number for number, at in settled_at.items() if until - max(WINDOWS.values()) < at <= until}
    return Details(
        token=genesis.token,
        now=until,
        windows=windows(itertools.chain(*lines.values()), now=until),
        rates=rates(paid, _gpu_ms(store, entries, recent) if store else {}, now=until),
        paid=paid,
        outlook=look_out(paid, rows, genesis.schedule),
    )


def _gpu_ms(
    store: Store, entries: Mapping[str, Mapping[int, ReceiptEntry]], numbers: Collection[int]
) -> dict[tuple[str, int], int]:
    """Return the GPU time that the contributions of some rounds report, in milliseconds, by hotkey and round."""
    receipts = {
        (hotkey, number): store.get_json("receipts", entry.receipt_hash)
        for hotkey, own in entries.items()
        for number, entry in own.items()
        if number in numbers and entry.status != "missing"
    }
    return {whose: receipt["gpu_ms"] for whose, receipt in receipts.items() if receipt.get("gpu_ms") is not None}
