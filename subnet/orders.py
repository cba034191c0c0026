"""Orders to move money, on their way into a run's ledger: files in an inbox, which the next settled round takes.

```
RUN/orders/NAME.json            waiting
RUN/orders/settled/NAME.json    with the round that settled it
RUN/orders/refused/NAME.json    with the reason
```

The ledger alone says what was settled. A crash between its transaction and the move of a file leaves the file in the
inbox, where the next round finds that the order is settled: its nonce keeps it from being settled twice.
"""

import json
import logging
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from subnet.enrolments import Enrolments
from subnet.errors import RunError, StoreError
from tokenomics._files import replace_atomically
from tokenomics.canonical import canonical_json
from tokenomics.errors import OrderError
from tokenomics.ledger import Ledger, Refusal, SignedOrder
from tokenomics.ledger.accounts import hotkey_of
from tokenomics.ledger.order import MAX_ORDER_BYTES, MAX_ORDERS

log = logging.getLogger(__name__)

BOOK_PATH = Path("settlement", "book.json")
"""In a run's folder: what was exported as claims on a chain."""

State = Literal["waiting", "settled", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What has become of an order that was handed in.

    Attributes:
        name: of its file.
        state: `waiting`, `settled` or `refused`.
        signed: the order; None where the file isn't one.
        round: that settled it, or in which it would have been.
        reason: why it was refused, in a word; empty otherwise.
        why: the same as a sentence.
    """

    name: str
    state: State
    signed: SignedOrder | None
    round: int | None = None
    reason: str = ""
    why: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        order = None if self.signed is None else self.signed.to_dict()
        return {"state": self.state, "round": self.round, "reason": self.reason, "why": self.why, "order": order}


class Inbox:
    """The orders in a run's folder.

    Args:
        root: the run's folder.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / "orders"

    def submit(self, signed: SignedOrder) -> Path:
        """Put an order where the next round will find it, and return its file.

        Raises:
            StoreError: the folder can't be written to.
        """
        path = self.folder / f"{signed.hash}.json"
        _write(path, signed.leaf)
        return path

    def waiting(self) -> list[Path]:
        """Return the files that wait, the oldest first; only plain files of the name `*.json` are looked at."""
        found = []
        for path in self.folder.glob("*.json"):
            try:
                status = path.lstat()
            except OSError as error:  # another process has just moved it
                log.warning("order %s is passed over: %s", path, error)
                continue
            if stat.S_ISREG(status.st_mode):
                found.append((status.st_mtime_ns, path))
        return [path for _, path in sorted(found)]

    def outcomes(self) -> list[Outcome]:
        """Return what has become of all orders that were handed in: settled, refused, waiting; each by round and place.

        Raises:
            StoreError: a file can't be read.
        """
        found = []
        states: tuple[State, ...] = ("settled", "refused")
        for state in states:
            read = [_read_outcome(path, state) for path in (self.folder / state).glob("*.json")]
            found += sorted(read, key=lambda one: (one.round or 0, one.signed.place if one.signed else (), one.name))
        for path in self.waiting():
            try:
                found.append(Outcome(name=path.name, state="waiting", signed=read_order(path)))
            except OrderError as error:
                found.append(Outcome(name=path.name, state="waiting", signed=None, why=error.message))
        return found

    def file(self, path: Path, outcome: Outcome) -> None:
        """Write down what has become of an order, and take it out of the inbox. Where that fails, it stays there."""
        try:
            _write(self.folder / outcome.state / path.name, canonical_json(outcome.to_dict()))
            path.unlink(missing_ok=True)
        except (OSError, StoreError) as error:
            log.warning("order %s can't be moved to the %s ones: %s", path.name, outcome.state, error)
        if outcome.state == "refused":
            log.warning("order %s is refused: %s", path.name, outcome.why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """The orders that a round takes from the inbox; `close` once it is settled.

    Attributes:
        inbox: from which they are.
        files: each order's file, by its hash.
        orders: what is to be settled.
        refusals: by hash, of those that the ledger has left out.
    """

    inbox: Inbox
    files: dict[str, Path] = field(default_factory=dict)
    orders: tuple[SignedOrder, ...] = ()
    refusals: dict[str, Refusal] = field(default_factory=dict)

    def refuse(self, refusal: Refusal) -> None:
        """Take note that the ledger has left an order out."""
        self.refusals[refusal.signed.hash] = refusal

    def close(self, number: int) -> None:
        """Say of each order what became of it in the round, and take it out of the inbox."""
        for signed in self.orders:
            refusal = self.refusals.get(signed.hash)
            path = self.files[signed.hash]
            if refusal is None:
                outcome = Outcome(name=path.name, state="settled", signed=signed, round=number)
            else:
                outcome = _refused(path, signed, number, refusal.reason, refusal.message)
            self.inbox.file(path, outcome)


@contextmanager
def taken(root: Path, ledger: Ledger) -> Iterator[Taken]:
    """Take the waiting orders for the next round, and hold off exports of claims until it is settled.

    What can't be settled whatever the ledger says is refused here: what isn't an order, what its coldkey doesn't own by
    the run's own enrolments, and everything once claims on a chain were exported: the same money must not be spent here
    and claimed there.

    Args:
        root: the run's folder.
        ledger: of the run.

    Yields:
        At most `MAX_ORDERS` orders; none while an export is at work: they wait for another round.
    """
    inbox = Inbox(root)
    waiting = inbox.waiting()[:MAX_ORDERS]
    with ExitStack() as held:
        if waiting:
            from subnet.run import locked  # torch comes with it

            try:
                held.enter_context(locked(root / BOOK_PATH.parent))
            except RunError as error:
                log.warning("%d orders wait for another round: %s", len(waiting), error.message)
                waiting = []
        yield _choose(root, inbox, waiting, ledger)


def read_order(path: Path) -> SignedOrder:
    """Read an order's file; its signature isn't checked.

    Raises:
        OrderError: it isn't an order.
        StoreError: it can't be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_ORDER_BYTES + 1)
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror}", remedy="check its owner and permissions") from error
    return SignedOrder.from_bytes(data)


def _choose(root: Path, inbox: Inbox, waiting: Sequence[Path], ledger: Ledger) -> Taken:
    """Return those of the waiting orders that the ledger is to judge, and say of the others what became of them."""
    number = ledger.height + 1
    files: dict[str, Path] = {}
    orders: dict[str, SignedOrder] = {}
    for path in waiting:
        try:
            signed = read_order(path)
        except OrderError as error:
            inbox.file(path, _refused(path, None, number, "malformed", error.message))
            continue
        except StoreError as error:
            log.warning("order %s is passed over: %s", path.name, error.message)
            continue
        settled_in = ledger.round_of(signed)
        problem = _problem(root, signed)
        if settled_in is not None:
            inbox.file(path, Outcome(name=path.name, state="settled", signed=signed, round=settled_in))
        elif problem is not None:
            inbox.file(path, _refused(path, signed, number, *problem))
        else:
            files[signed.hash], orders[signed.hash] = path, signed
    return Taken(inbox=inbox, files=files, orders=tuple(orders.values()))


def _problem(root: Path, signed: SignedOrder) -> tuple[str, str] | None:
    """Say what stands against an order beside the ledger: a reason in a word, and as a sentence."""
    if (root / BOOK_PATH).exists():
        return "settled_on_chain", "this run's money is claimed on a chain, so it doesn't move in the ledger"
    hotkey = hotkey_of(signed.order.source)
    if hotkey is None or signed.title is None:
        return None
    enrolled = Enrolments(root).coldkey(hotkey)
    if enrolled != signed.order.coldkey:
        whom = f"coldkey {enrolled[:12]}" if enrolled else "nobody"
        return "not_owner", f"hotkey {hotkey[:12]} has enrolled for {whom} in this run"
    return None


def _refused(path: Path, signed: SignedOrder | None, number: int, reason: str, why: str) -> Outcome:
    return Outcome(name=path.name, state="refused", signed=signed, round=number, reason=reason, why=why)


def _read_outcome(path: Path, state: State) -> Outcome:
    try:
        found = json.loads(path.read_bytes())
        signed = None if found["order"] is None else SignedOrder.from_dict(found["order"])
        return Outcome(
            name=path.name,
            state=state,
            signed=signed,
            round=int(found["round"]),
            reason=found["reason"],
            why=found["why"],
        )
    except (OSError, ValueError, LookupError, TypeError, OrderError) as error:
        raise StoreError(
            f"{path} can't be read: {error}", remedy="move it away: the ledger knows what it says"
        ) from error


def _write(path: Path, data: bytes) -> None:
    """Write a file that others may read: who hands an order in need not be who runs the validator."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(path, data)
    except OSError as error:
        message = f"can't write {path}: {error.strerror}"
        raise StoreError(message, remedy="check the disk and the folder's permissions") from error
