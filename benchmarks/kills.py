"""Kill validators while they settle: no acknowledged round may be lost, none torn, and none paid twice.

`python -m benchmarks.kills [--database sqlite|postgresql] [--kills 200] [--entries 20] [--seed 0] [--json]`

A child process opens the ledger and settles rounds, and writes each to a pipe once it is settled: from then on somebody
counts on it. It is killed (SIGKILL) at a random moment: while it opens the ledger, which is where it repairs what the
last kill left, or while it settles. The next child begins with the round after the last acknowledged one, as a
validator does that heard nothing of it: if that round was settled after all, it has to be refused.

On PostgreSQL each fifth kill is of the server, with all its processes, which is then started again; the child has to
end by itself, with the ledger's own error.

Every round settles orders too: the owner pays somebody and stakes, and that somebody burns some of it.

After each kill the acknowledged rounds are looked up; after each tenth and at the end everything is recomputed, and
what everybody was paid and has moved is added up from scores and orders. The exit status is 1 if a round was lost, torn
or paid twice. A killed process isn't a power cut: what the operating system has taken, it still writes.
"""

import argparse
import contextlib
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.postgres import Server, running_server
from tokenomics import HeightSchedule, Shares, Token, divide_round
from tokenomics.errors import LedgerConflictError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Genesis,
    Ledger,
    Order,
    ReceiptEntry,
    Settlement,
    SignedOrder,
    checkpoint_path,
    verify_ledger,
)
from tokenomics.ledger.accounts import BURN, escrow_account, wallet_account
from tokenomics.ledger.log import genesis_head
from tokenomics.ledger.order import OrderKind
from tokenomics.split import RoundSplit

ROOT: Final = Path(__file__).parents[1]
SIGNER: Final = Keypair.from_seed(bytes(32))
OWNER: Final = Keypair.from_seed(bytes([1]) * 32)
FRIEND: Final = Keypair.from_seed(bytes([2]) * 32)
"""Whom the owner pays."""
SCHEDULE: Final = HeightSchedule(subsidy=10**12, interval=500)
VESTING: Final = 5
SETTLING_S: Final = 0.06
"""A child lives at most so long once it has settled a round: some more rounds, so that every part of one is hit."""
OPENING_S: Final = 0.02
"""Others live at most so long once they begin to open the ledger."""
OPENING_EVERY: Final = 4
"""One child of so many is killed while it opens."""
SERVER_EVERY: Final = 5
"""One kill of so many is of the server, where there is one."""


@dataclass(slots=True, kw_only=True)
class Row:
    """What the kills did."""

    database: str
    kills: int = 0
    server_kills: int = 0
    """Those of them that killed the server instead of the validator."""
    acknowledged_rounds: int = 0
    lost_rounds: int = 0
    """Acknowledged, but missing or another one after the kill."""
    torn_rounds: int = 0
    """Findings of `verify_ledger`, and rounds beyond the one that was being settled."""
    paid_twice: int = 0
    """Hotkeys that were paid anything else than their rounds' scores give, and accounts that orders left wrong."""
    killed_before_first_round: int = 0
    settled_unacknowledged: int = 0
    """Kills between the commit and the acknowledgement; the round was refused when it was settled again."""
    checkpoint_behind: int = 0
    """Kills between the commit and the checkpoint file, which the next opening wrote anew."""
    seconds: float = 0.0

    @property
    def sound(self) -> bool:
        """Whether nothing went wrong, and something was tried."""
        return self.acknowledged_rounds > 0 and not (self.lost_rounds or self.torn_rounds or self.paid_twice)


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill, print, and return the exit status."""
    wanted = _parser().parse_args(arguments)
    if wanted.child is not None:
        _settle_for_ever(Path(wanted.child), wanted.first, wanted.entries)
        return 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-"))
        server = stack.enter_context(running_server()) if wanted.database == "postgresql" else None
        path = Path(folder) / "ledger.sqlite"
        row = kill(path, wanted.kills, n_entries=wanted.entries, seed=wanted.seed, server=server)
    if wanted.json:
        print(json.dumps({"rows": [asdict(row)]}, indent=2))
    else:
        for name, value in asdict(row).items():
            print(f"{name:28} {value:.1f}" if isinstance(value, float) else f"{name:28} {value}")
    return 0 if row.sound else 1


def kill(path: Path, n_kills: int, *, n_entries: int, seed: int, server: Server | None = None) -> Row:
    """Make a ledger, settle it by children that are killed, and count what that did.

    Args:
        path: of the ledger to make.
        n_kills: children to kill.
        n_entries: participants of each round.
        seed: of the moments of the kills.
        server: where the ledger is kept; in a SQLite file without one.
    """
    began, draw = time.perf_counter(), random.Random(seed)
    Ledger.create(path, genesis(), SIGNER, url=None if server is None else server.url).close()
    row, roots = Row(database="sqlite" if server is None else "postgresql"), dict[int, str]()
    for number in range(1, n_kills + 1):
        known = len(roots)
        with _started(path, known + 1, n_entries) as child:
            if server is None or number % SERVER_EVERY:
                roots |= _die(child, child.kill, draw, settles=number % OPENING_EVERY != 0)
            else:
                roots |= _die(child, server.kill, draw, settles=number % OPENING_EVERY != 0)
                _check_told(child)
                server.start()
                row.server_kills += 1
        row.kills += 1
        row.killed_before_first_round += len(roots) == known
        look_at(path, roots, row)
        if number % 10 == 0 or number == n_kills:
            row.torn_rounds += len(verify_ledger(path, validator=SIGNER.public).errors)
    row.acknowledged_rounds = len(roots)
    row.paid_twice = wrongly_paid(path, n_entries) + wrongly_moved(path, n_entries)
    row.seconds = time.perf_counter() - began
    return row


@contextlib.contextmanager
def _started(path: Path, first: int, n_entries: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "benchmarks.kills", "--child", str(path)]
    command += ["--first", str(first), "--entries", str(n_entries)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def _die(
    child: subprocess.Popen[str], strike: Callable[[], None], draw: random.Random, *, settles: bool
) -> dict[int, str]:
    """Strike at a random moment, and return the rounds that the child acknowledged, each with the log's root."""
    assert child.stdout is not None
    assert child.stderr is not None
    lines = [child.stdout.readline()]
    if settles:
        lines.append(child.stdout.readline())
    time.sleep(draw.uniform(0, SETTLING_S if settles else OPENING_S))
    if not all(lines) or child.poll() is not None:
        raise SystemExit(f"the child ended by itself:\n{child.stderr.read()[-3000:]}")
    strike()
    lines += child.stdout.read().splitlines(keepends=True)
    whole = [line.split() for line in lines[1:] if line.endswith("\n")]
    return {int(number): root for number, root in whole}


def _check_told(child: subprocess.Popen[str]) -> None:
    """See that a child whose server was killed ended by itself, with the ledger's own error."""
    assert child.stderr is not None
    said = child.stderr.read()
    if child.wait(timeout=60) == 0 or "LedgerError" not in said:
        raise SystemExit(f"the server was killed, and the child only said:\n{said[-3000:]}")


def look_at(path: Path, roots: dict[int, str], row: Row) -> None:
    """Compare the ledger with what was acknowledged, before anything is repaired."""
    with Ledger.open(path, read_only=True) as ledger:
        height = ledger.height
        row.settled_unacknowledged += height == len(roots) + 1
        row.torn_rounds += height > len(roots) + 1
        row.checkpoint_behind += Checkpoint.parse(checkpoint_path(path).read_text()).round < height
        found = {settled.round: settled.log_root for settled in ledger.rounds()}
        row.lost_rounds += sum(found.get(number) != root for number, root in roots.items())


def wrongly_paid(path: Path, n_entries: int) -> int:
    """Add up what everybody should have been paid, and count whose sum the ledger doesn't have."""
    due: Counter[str] = Counter()
    with Ledger.open(path, read_only=True) as ledger:
        for split in _splits(ledger.height, n_entries):
            due.update(split.participants)
        paid = {hotkey: earned.paid for hotkey, earned in ledger.earnings().items()}
    return sum(paid.get(hotkey, 0) != due[hotkey] for hotkey in paid.keys() | due.keys())


def wrongly_moved(path: Path, n_entries: int) -> int:
    """Add up what orders should have moved, and count the accounts that have anything else."""
    with Ledger.open(path, read_only=True) as ledger:
        height, balances = ledger.height, ledger.balances()
        voided = sum(earned.voided for earned in ledger.earnings().values())
    emitted = sum(split.owner for split in _splits(height, n_entries))
    paid, burned = sum(range(1, height + 1)), max(0, height - 1)
    due = {
        f"owner:{OWNER.public}": emitted - 3 * paid,
        wallet_account(FRIEND.public): paid - burned,
        escrow_account(SIGNER.public, OWNER.public): 2 * paid,
        BURN: burned + voided,
    }
    return sum(balances.get(account, 0) != amount for account, amount in due.items())


def _splits(height: int, n_entries: int) -> Iterator[RoundSplit]:
    """Yield what each round up to a height had to pay."""
    for number in range(1, height + 1):
        scores = {entry.hotkey: entry.score for entry in settlement(number, n_entries).entries}
        yield divide_round(emission=SCHEDULE.emission(height=number - 1), shares=Shares(), scores=scores)


def _settle_for_ever(path: Path, first: int, n_entries: int) -> None:
    """Be the child: settle from a round on, and acknowledge each once it is settled."""
    print("opening", flush=True)
    with Ledger.open(path) as ledger:
        for due in _settlements(first, n_entries):
            try:
                checkpoint = ledger.settle(due, SIGNER)
            except LedgerConflictError:
                if due.round != first or ledger.height != first:
                    raise
                checkpoint = ledger.checkpoint_of(first)  # settled before the kill, though nobody was told
            print(due.round, checkpoint.tree.root, flush=True)


def _settlements(first: int, n_entries: int) -> Iterator[Settlement]:
    number = first
    while True:
        yield settlement(number, n_entries)
        number += 1


def settlement(number: int, n_entries: int) -> Settlement:
    """Return a round, always the same for its number: uneven scores, a few of them 0, and now and then a strike."""
    return Settlement(
        round=number,
        base_hash=_digest(f"model {number - 1}"),
        model_hash=_digest(f"model {number}"),
        record_hash=_digest(f"record {number}"),
        settled_at=number,
        entries=tuple(_entry(number, place) for place in range(n_entries)),
        unpaid_score=0,
        pays=True,
        orders=orders(number),
    )


def orders(number: int) -> tuple[SignedOrder, ...]:
    """Return a round's orders: the owner pays a friend as many base units, and stakes twice that; he burns one."""
    source, wallet = f"owner:{OWNER.public}", wallet_account(FRIEND.public)
    escrow = escrow_account(SIGNER.public, OWNER.public)
    signed = [
        _order(OWNER, "transfer", source, wallet, number, nonce=2 * number - 1),
        _order(OWNER, "stake", source, escrow, 2 * number, nonce=2 * number),
    ]
    if number > 1:
        signed.append(_order(FRIEND, "burn", wallet, BURN, 1, nonce=number - 1))
    return tuple(signed)


def _order(coldkey: Keypair, kind: OrderKind, source: str, destination: str, amount: int, *, nonce: int) -> SignedOrder:
    order = Order(
        subnet=genesis_head(genesis()),
        kind=kind,
        coldkey=coldkey.public,
        source=source,
        destination=destination,
        amount=amount,
        nonce=nonce,
        expires=2**31,
    )
    return order.sign(coldkey)


def _entry(number: int, place: int) -> ReceiptEntry:
    struck = (number + place) % 13 == 0
    score = 0 if struck else number * (place + 1) % 7
    return ReceiptEntry(
        hotkey=_digest(f"hotkey {place}"),
        receipt_hash=_digest(f"receipt {number} {place}"),
        status="accepted",
        score=score,
        struck=struck,
    )


def genesis() -> Genesis:
    """Return the first row of the ledgers that are settled here."""
    return Genesis(
        subnet="kills",
        spec_hash=_digest("spec"),
        validator=SIGNER.public,
        owner=OWNER.public,
        token=Token("KIL"),
        schedule=SCHEDULE,
        shares=Shares(),
        vesting=VESTING,
        model_hash=_digest("model 0"),
        validation_root=_digest("validation"),
        created_at=0,
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--entries", type=int, default=20, help="participants of each round")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", metavar="LEDGER", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=1, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
