"""A statement for Beancount, a plain-text double-entry bookkeeper: a file that stands alone and checks itself.

Source: Beancount Language Syntax (beancount.github.io/docs). An account's parts begin with a capital letter and go on
with letters, digits and dashes; a commodity is capitals, digits and a few signs. A balance is asserted for the
beginning of a day, and here without any tolerance.
"""

import re
from datetime import UTC, date, datetime, timedelta
from typing import Final

from tokenomics.errors import StatementError
from tokenomics.statement.lines import MOVED, Line
from tokenomics.statement.period import utc
from tokenomics.statement.statement import Statement

_RESERVED: Final = {"TRUE", "FALSE", "NULL"}
"""Words of Beancount's own that a commodity can't have as its name."""

_OPENING: Final = "Equity:Opening-Balances"


def to_beancount(statement: Statement) -> str:
    """Return a statement as a Beancount file of its own: opening balance, a transaction a line, two assertions.

    Raises:
        StatementError: the closing balance would have to be asserted after the year 9999.
    """
    # clocks can go back: the first and last days on which anything happened, whichever line that is
    days = [_day(seconds) for seconds in (statement.began_at, statement.ended_at)]
    days += [_day(line.settled_at) for line in statement.lines]
    began, last = min(days), max(days)
    if last == date.max:
        raise StatementError("nothing can be asserted after the year 9999", remedy="check the validator's clock")
    accounts = _accounts(statement)
    commodity = _commodity(statement)
    parts = [_head(statement, accounts, commodity, began)]
    if statement.opening.vested or statement.opening.pending:
        parts.append(_opening(statement, accounts, commodity, began))
    parts += [_transaction(statement, line, accounts, commodity) for line in statement.lines]
    asserted = {"vested": statement.closing.vested, "pending": statement.closing.pending}
    parts.append(
        "\n".join(
            f"{last + timedelta(days=1)} balance {accounts[name]}  {statement.decimal(units)} ~ 0 {commodity}"
            for name, units in asserted.items()
        )
    )
    return "\n\n".join(parts) + "\n"


def _head(statement: Statement, accounts: dict[str, str], commodity: str, began: date) -> str:
    log = statement.tree
    lines = [
        f"; rounds {statement.first} to {statement.last}; `subnet ledger prove` gives the proof of a round's lines",
        f'option "title" {_text(f"{statement.subnet}: {statement.name}")}',
        f'option "operating_currency" "{commodity}"',
        "",
        f"{began} commodity {commodity}",
        f"  symbol: {_text(statement.token.symbol)}",
        f'  decimals: "{statement.token.decimals}"',
        *(f"{began} open {account}  {commodity}" for account in accounts.values()),
        f"{began} open {_OPENING}",
        f'{began} custom "flower-subnet-log" {_text(log.origin)} "{log.size}" "{log.root}"',
        f"  {'hotkey' if statement.is_participant else 'account'}: {_text(statement.whose)}",
        f"  key: {_text(statement.key)}",
    ]
    return "\n".join(lines)


def _opening(statement: Statement, accounts: dict[str, str], commodity: str, began: date) -> str:
    units = {"vested": statement.opening.vested, "pending": statement.opening.pending}
    total = sum(units.values())
    postings = [f"  {accounts[name]}  {statement.decimal(amount)} {commodity}" for name, amount in units.items()]
    postings.append(f"  {_OPENING}  {statement.decimal(-total)} {commodity}")
    return "\n".join([f'{began} * "Balance before round {statement.first}"', *postings])


def _transaction(statement: Statement, line: Line, accounts: dict[str, str], commodity: str) -> str:
    moved = {
        accounts["vested"]: line.vested,
        accounts["pending"]: line.pending,
        accounts["pay"]: -line.amount if line.kind == "credit" else 0,
        accounts["voided"]: line.amount if line.kind == "void" else 0,
    }
    if line.kind in MOVED:
        moved[accounts["burned" if line.kind == "burned" else "moved"]] = -line.vested
    words = {
        "credit": f"Pay of round {line.round}",
        "release": f"Pay of round {line.earned_in}, released",
        "void": "Pending pay, voided by a strike",
        "received": f"Received from {line.counterparty}",
        "sent": f"Sent to {line.counterparty}",
        "staked": f"Staked to {line.counterparty}",
        "unstaked": f"Unstaked to {line.counterparty}",
        "burned": "Burned",
    }
    document = "order" if line.kind in MOVED else "receipt"
    because = [f'  {document}: "{line.receipt_hash}"'] if line.receipt_hash else []
    lines = [
        f"{_day(line.settled_at)} * {_text(statement.subnet)} {_text(words[line.kind])}",
        f'  settled: "{utc(line.settled_at)}"',
        f'  round: "{line.round}"',
        *because,
        *(f"  {account}  {statement.decimal(units)} {commodity}" for account, units in moved.items() if units),
    ]
    return "\n".join(lines)


def _accounts(statement: Statement) -> dict[str, str]:
    name = re.sub(r"[^A-Za-z0-9]+", "-", statement.subnet).strip("-") or "Subnet"
    account = f"Hotkey-{statement.name}" if statement.is_participant else statement.name.capitalize()
    whose = f"Subnet-{name}:{re.sub(r'[^A-Za-z0-9-]+', '-', account)}"
    accounts = {
        "vested": f"Assets:{whose}:Vested",
        "pending": f"Assets:{whose}:Pending",
        "pay": f"Income:{whose}:Pay",
        "voided": f"Expenses:{whose}:Voided",
    }
    kinds = {line.kind for line in statement.lines}
    if kinds & {"received", "sent", "staked", "unstaked"}:
        accounts["moved"] = f"Equity:{whose}:Moved"
    if "burned" in kinds:
        accounts["burned"] = f"Expenses:{whose}:Burned"
    return accounts


def _commodity(statement: Statement) -> str:
    name = statement.token.symbol.upper()
    return f"{name}-TOKEN" if len(name) == 1 or name in _RESERVED else name


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _day(seconds: int) -> date:
    utc(seconds)  # refuses what no calendar holds
    return datetime.fromtimestamp(seconds, tz=UTC).date()
