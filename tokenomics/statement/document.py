"""A statement as JSON. Amounts are strings, which no reader can turn into floats on the way."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tokenomics.statement.lines import Balance
from tokenomics.statement.period import utc
from tokenomics.statement.statement import Statement

FORMAT: Final = "flower-subnet-statement"


def to_json(statement: Statement, proofs: Mapping[int, Mapping[str, Any]]) -> str:
    """Return a statement as a JSON object on lines of its own.

    Args:
        statement: to write down.
        proofs: by round, as `proofs_of` gives them; each is what `subnet verify` checks.
    """
    document = {
        "format": FORMAT,
        "version": 1,
        "subnet": statement.subnet,
        "unit": statement.token.symbol,
        "decimals": statement.token.decimals,
        "hotkey" if statement.is_participant else "account": statement.whose,
        "vesting": statement.vesting,
        "period": {
            "first_round": statement.first,
            "last_round": statement.last,
            "began_at": utc(statement.began_at),
            "ended_at": utc(statement.ended_at),
        },
        "opening": _balance(statement, statement.opening),
        "lines": [
            {
                "round": line.round,
                "settled_at": utc(line.settled_at),
                "kind": line.kind,
                "amount": statement.decimal(line.amount),
                "earned_in": line.earned_in,
                "receipt_hash": line.receipt_hash,
                **({"counterparty": line.counterparty} if line.counterparty else {}),
                "after": _balance(statement, balance),
            }
            for line, balance in zip(statement.lines, statement.balances, strict=True)
        ],
        "closing": _balance(statement, statement.closing),
        "log": {
            "origin": statement.tree.origin,
            "size": statement.tree.size,
            "root": statement.tree.root,
            "key": statement.key,
        },
        "proofs": {str(number): proof for number, proof in proofs.items()},
    }
    return json.dumps(document, indent=1) + "\n"


def _balance(statement: Statement, balance: Balance) -> dict[str, str]:
    return {"vested": statement.decimal(balance.vested), "pending": statement.decimal(balance.pending)}
