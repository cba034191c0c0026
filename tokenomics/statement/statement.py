"""A statement: opening balance, lines and closing balance over some rounds, and what proves them.

Of a participant, whose pay is pending before it is its own; or of another account, all of which is its own at once.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tokenomics.amount import Amount, Token
from tokenomics.errors import LedgerCorruptError, StatementError
from tokenomics.ledger import Ledger, prove_account, prove_payment
from tokenomics.ledger.vesting import PARTICIPANT_PREFIX, PENDING_PREFIX
from tokenomics.note import TreeHead
from tokenomics.statement.lines import Balance, Line, lines_of
from tokenomics.statement.period import Period, find_period

_OTHERS: Final = (PARTICIPANT_PREFIX, PENDING_PREFIX)
"""How the accounts begin that a participant's statement is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One participant's, or one other account's, money over a period.

    Raises:
        LedgerCorruptError: the opening balance and the lines don't make the closing balance.
    """

    subnet: str
    token: Token
    whose: str
    """A participant's hotkey; or an account that isn't a participant's, such as `owner:ID` or `wallet:COLDKEY`."""
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
                f"{self.name}'s lines of rounds {self.first} to {self.last} lead to {reached}, not to {self.closing}",
                remedy="see `subnet ledger verify`",
            )

    @property
    def is_participant(self) -> bool:
        """Whether it is of a hotkey."""
        return ":" not in self.whose

    @property
    def name(self) -> str:
        """Whose it is, for people: keys by their first digits."""
        return ":".join(part[:12] for part in self.whose.split(":"))

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


def read_statement(ledger: Ledger, whose: str, *, start: str = "", end: str = "") -> Statement:
    """Read a statement from a ledger, as it is at the last settled round; a validator may be at work.

    Opening and closing balance are the ledger's own sums, and the lines must lead from one to the other.

    Args:
        ledger: to be read.
        whose: a hotkey, 64 hexadecimal digits; or the full name of an account that isn't a participant's.
        start: the first round or day, as `find_period` takes it.
        end: the last.

    Raises:
        StatementError: nobody of this hotkey has a receipt, nothing was posted to the account, or the period isn't one.
        LedgerCorruptError: the ledger doesn't add up.
    """
    height = ledger.height
    rows = list(itertools.islice(ledger.rounds(), height))
    of = _account if ":" in whose else _participant
    period = find_period([row.settled_at for row in rows], start=start, end=end)
    lines, opening, closing = of(ledger, whose, period, {row.round: row.settled_at for row in rows})
    return Statement(
        subnet=ledger.genesis.subnet,
        token=ledger.genesis.token,
        whose=whose,
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
    prove = prove_payment if statement.is_participant else prove_account
    return {number: prove(ledger, number, statement.whose, leaves=leaves) for number in numbers}


def _participant(
    ledger: Ledger, hotkey: str, period: Period, settled_at: Mapping[int, int]
) -> tuple[list[Line], Balance, Balance]:
    """Return a participant's lines up to the period's end, and its balances before and after the period."""
    entries = ledger.entries(hotkey, until=max(settled_at))
    if not entries:
        raise StatementError(
            f"hotkey {hotkey:.12} has no receipt in {len(settled_at)} rounds",
            remedy="see `subnet earnings` for all hotkeys",
        )
    lines = lines_of(
        ledger.moved(hotkey, until=period.last),
        settled_at=settled_at,
        receipt_hashes={number: entry.receipt_hash for number, entry in entries.items()},
        vesting=ledger.genesis.vesting,
        ordered=ledger.ordered(f"{PARTICIPANT_PREFIX}{hotkey}", until=period.last),
    )
    return lines, _balance(ledger, hotkey, until=period.first - 1), _balance(ledger, hotkey, until=period.last)


def _account(
    ledger: Ledger, account: str, period: Period, settled_at: Mapping[int, int]
) -> tuple[list[Line], Balance, Balance]:
    """Return the same of an account that isn't a participant's."""
    moved = ledger.moved_on(account, until=max(settled_at))
    if not moved or account.startswith(_OTHERS):
        raise StatementError(
            f"there is no statement of {account:.80} in {len(settled_at)} rounds",
            remedy="see `subnet ledger show` for all accounts; a participant's statement is of its hotkey",
        )
    lines = lines_of(
        [(number, posting) for number, posting in moved if number <= period.last],
        settled_at=settled_at,
        receipt_hashes=None,
        vesting=ledger.genesis.vesting,
        ordered=ledger.ordered(account, until=period.last),
    )
    opening, closing = (
        Balance(vested=ledger.balance(account, until=number)) for number in (period.first - 1, period.last)
    )
    return lines, opening, closing


def _balance(ledger: Ledger, hotkey: str, *, until: int) -> Balance:
    found = ledger.earnings(until=until).get(hotkey)
    return Balance() if found is None else Balance(vested=found.balance, pending=found.pending)
