"""Statements of account: what a participant's balance was, everything that moved it, and what it is.

```
lines.py       postings to lines, pure                  period.py     from dates and rounds to a stretch of rounds
statement.py   a statement, read from a ledger          outlook.py    recent pay, and pay to come
document.py    JSON, with proofs                        tables.py     CSV, and Koinly's
beancount.py   plain-text accounting                    pdf.py        for people; alone needs reportlab
```
"""

from tokenomics.statement.lines import Balance, Line, lines_of
from tokenomics.statement.outlook import Outlook, Paid, Rate, Window, look_out, paid_rounds, rates, windows
from tokenomics.statement.period import Period, find_period, parse_moment
from tokenomics.statement.statement import Statement, proofs_of, read_statement

__all__ = [
    "Balance",
    "Line",
    "Outlook",
    "Paid",
    "Period",
    "Rate",
    "Statement",
    "Window",
    "find_period",
    "lines_of",
    "look_out",
    "paid_rounds",
    "parse_moment",
    "proofs_of",
    "rates",
    "read_statement",
    "windows",
]
