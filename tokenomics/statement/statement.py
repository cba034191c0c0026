"""A statement: opening balance, lines and closing balance of one participant over some rounds, and what proves them."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenomics.amount import Amount, Token
from tokenomics.errors import LedgerCorruptError, StatementError
from tokenomics.ledger import Ledger, prove_payment
from tokenomics.ledger.vesting import PARTICIPANT_PREFIX
from tokenomics.note import TreeHead
from tokenomics.statement.lines import Balance, Line, lines_of
from tokenomics.statement.period import find_period


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One participant's account over a period.

    Raises:
        LedgerCorruptError: the opening balance and the lines don't make the closing balance.
    """

    subnet: str
    token: Token
    hotkey: str
    vesting: int
    """Rounds for which pay is pending."""
    first: int
    """The period's first round."""
    last: int
    """Its last."""
    began_at: int
    """When the first was settled: Unix time in seconds."""
    ended_at: int
    """When the last was."""
    opening: Balance
    """Before the first round."""
    lines: tuple[Line, ...]
    closing: Balance
    """After the last round."""
    tree: TreeHead
    """The log's checkpoint that proofs lead to: it can be later than the period."""
    key: str
    """What the validator signs it with: NAME+ID+KEY."""

    def __post_init__(self) -> None:
        reached = self.balances[-1] if self.lines else self.opening
        if reached != self.closing:
            raise LedgerCorruptError(
                f"{self.hotkey[:12]}'s lines of rounds {self.first} to {self.last} lead to {reached}, not to "
                f"{self.closing}",
                remedy="see `subnet ledger verify`",
            )

    @property
    def balances(self) -> tuple[Balance, ...]:
        """The balance after each line."""
        running = itertools.accumulate(self.lines, lambda balance, line: line.after(balance), initial=self.opening)
        return tuple(running)[1:]

    def decimal(self, units: int) -> str:
        """Return base units as an exact decimal of the token, without its symbol."""
        return str(Amount(units, self.token)).removesuffix(f" {self.token.symbol}")

    def total(self, kind: str) -> int:
        """Return what the lines of a kind moved together, in base units."""
        return sum(line.amount for line in self.lines if line.kind == kind)


def read_statement(ledger: Ledger, hotkey: str, *, start: str = "", end: str = "") -> Statement:
    """Read a participant's statement from a ledger, as it is at the last settled round; a validator may be at work.

    Opening and closing balance are the ledger's own sums, and the lines must lead from one to the other.

    Args:
        ledger: to be read.
        hotkey: whose, 64 hexadecimal digits.
        start: the first round or day, as `find_period` takes it.
        end: the last.

    Raises:
        StatementError: nobody of this hotkey has a receipt, or the period isn't one.
        LedgerCorruptError: the ledger doesn't add up.
    """
    height = ledger.height
    rows = list(itertools.islice(ledger.rounds(), height))
    entries = ledger.entries(hotkey, until=height)
    if not entries:
        raise StatementError(
            f"hotkey {hotkey:.12} has no receipt in {height} rounds", remedy="see `subnet earnings` for all hotkeys"
        )
    period = find_period([row.settled_at for row in rows], start=start, end=end)
    lines = lines_of(
        ledger.moved(hotkey, until=period.last),
        settled_at={row.round: row.settled_at for row in rows},
        receipt_hashes={number: entry.receipt_hash for number, entry in entries.items()},
        vesting=ledger.genesis.vesting,
        ordered=ledger.ordered(f"{PARTICIPANT_PREFIX}{hotkey}", until=period.last),
    )
    opening, closing = (_balance(ledger, hotkey, until=number) for number in (period.first - 1, period.last))
    return Statement(
        subnet=ledger.genesis.subnet,
        token=ledger.genesis.token,
        hotkey=hotkey,
        vesting=ledger.genesis.vesting,
        first=period.first,
        last=period.last,
        began_at=rows[period.first - 1].settled_at,
        ended_at=rows[period.last - 1].settled_at,
        opening=opening,
        lines=tuple(line for line in lines if line.round >= period.first),
        closing=closing,
        tree=ledger.checkpoint_of(height).tree,
        key=str(ledger.key),
    )


def proofs_of(ledger: Ledger, statement: Statement) -> dict[int, dict[str, Any]]:
    """Return the proof of payment of each round that a statement has lines of, against the statement's checkpoint.

    Args:
        ledger: that the statement was read from; rounds settled since change nothing.
        statement: whose lines to prove.
    """
    leaves: Sequence[str] = ledger.leaf_hashes(until=statement.tree.size - 1)
    numbers = dict.fromkeys(line.round for line in statement.lines)
    return {number: prove_payment(ledger, number, statement.hotkey, leaves=leaves) for number in numbers}


def _balance(ledger: Ledger, hotkey: str, *, until: int) -> Balance:
    found = ledger.earnings(until=until).get(hotkey)
    return Balance() if found is None else Balance(vested=found.balance, pending=found.pending)
