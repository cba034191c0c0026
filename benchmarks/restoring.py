"""What a restart and a settlement cost in a long run: with running totals, and without them as every sum anew.

Usage: python -m benchmarks.restoring [--rounds 2000] [--participants 20] [--json]

A run of synthetic receipts is written to a temporary folder, without waiting for the disk. `receipts_read` and
`restore_s` are those of `subnet.state.remembered`, `pay_ms` what the next round's `payable` takes.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from subnet.scoring.history import History, PastCredit, past_round
from subnet.scoring.payable import payable
from subnet.spec import ScoringSection
from subnet.state import remembered
from tokenomics.canonical import canonical_json, sha256_hex

RULES = ScoringSection()


class Run:
    """A played run as far as restoring looks at it: the ledger's rows and receipts, and the store's documents."""

    def __init__(self, folder: Path, n_rounds: int, n_participants: int, *, totals: bool) -> None:
        self.folder, self.n_read = folder, 0
        self.rows: list[Any] = []
        self.entries: dict[int, list[Any]] = {}
        draw, history = random.Random(0), History()
        hotkeys = [f"{number:064x}" for number in range(n_participants)]
        for number in range(1, n_rounds + 1):
            receipts = {hotkey: _receipt(draw) for hotkey in hotkeys}
            cosines = [[draw.uniform(-1, 1) for _ in range(row)] for row in range(n_participants)]
            record = {"round": number, "cosines": {"hotkeys": hotkeys, "lower": cosines}}
            history = history.then(past_round(record, receipts), RULES)
            self.entries[number] = [
                SimpleNamespace(hotkey=hotkey, receipt_hash=self._put(receipt)) for hotkey, receipt in receipts.items()
            ]
            record_hash = self._put(record | ({"earlier": history.earlier()} if totals else {}))
            self.rows.append(SimpleNamespace(round=number, record_hash=record_hash))

    def receipts(self, number: int) -> list[Any]:
        """Return a round's entries, as the ledger does."""
        return self.entries[number]

    def get_json(self, kind: str, digest: str) -> Any:
        """Read a document and check its hash, as the store does."""
        self.n_read += kind == "receipts"
        data = (self.folder / digest).read_bytes()
        assert sha256_hex(data) == digest
        return json.loads(data)

    def _put(self, document: Any) -> str:
        data = canonical_json(document)
        digest = sha256_hex(data)
        (self.folder / digest).write_bytes(data)
        return digest


def _receipt(draw: random.Random) -> dict[str, Any]:
    """Return a receipt of a real one's size."""
    counted = PastCredit(
        credit=draw.gauss(0.01, 0.01), standard_error=0.001, novel=draw.gauss(0.01, 0.01), novel_standard_error=0.001
    )
    return {"counted": asdict(counted), "strike": False, "numbers": {str(place): draw.random() for place in range(60)}}


def measure(n_rounds: int, n_participants: int, *, totals: bool) -> dict[str, Any]:
    """Return one row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), n_rounds, n_participants, totals=totals)
        began = time.perf_counter()
        rules = RULES if totals else RULES.model_copy(update={"window": n_rounds})
        history, _ = remembered(run, run, run.rows, rules)  # type: ignore[arg-type]
        restore_s = time.perf_counter() - began
    hotkeys = list(history.recent[-1].credits)
    pay_ms = 1e3 * _median_s(lambda: payable(history, hotkeys, hotkeys, RULES))
    return {
        "totals": totals,
        "receipts_read": run.n_read,
        "restore_s": round(restore_s, 3),
        "pay_ms": round(pay_ms, 2),
    }


def _median_s(call: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def main() -> None:
    """Measure both and print them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=2000, help="settled rounds  [default: 2000]")
    parser.add_argument("--participants", type=int, default=20, help="receipts a round  [default: 20]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if options.rounds < 1 or options.participants < 1:
        sys.exit("at least one round and one participant")
    rows = [measure(options.rounds, options.participants, totals=totals) for totals in (False, True)]
    if options.json:
        print(json.dumps({"rounds": options.rounds, "participants": options.participants, "rows": rows}))
        return
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))


if __name__ == "__main__":
    main()
