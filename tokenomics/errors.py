"""Everything that can go wrong with money and keys.

```
TokenomicsError                     root
├── AmountError                     a number that isn't an amount, or amounts of two tokens mixed
├── EmissionError                   an emission schedule that can't be, or a question that it can't answer
├── SplitError                      scores or shares that can't divide an emission
├── WalletError                     a key or a key file that can't be made, read or trusted
├── CanonicalError                  a value that has no canonical bytes
├── SettlementError                 an address, a binding or a claim that can't be paid on a chain
├── StatementError                  a statement of account that can't be made
├── ProofError                      a proof that can't be made, or a signed note that can't be written or read
└── LedgerError                     the ledger refuses, or can't be read or written
    ├── LedgerCorruptError          the ledger's file isn't what its own checkpoint says it is
    ├── LedgerConflictError         a round settled twice, or out of order
    │   └── LedgerRaceError         another validator wrote in the same instant
    └── OrderError                  an order to move money that isn't one, or that doesn't apply
```
"""

from typing import ClassVar


class TokenomicsError(Exception):
    """Root of everything that can go wrong with money and keys.

    Args:
        message: one line that names the offending value and its limit.
        remedy: one line that says what to do about it; empty where the message says it all.
    """

    code: ClassVar[str] = "tokenomics"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class AmountError(TokenomicsError):
    """A number that isn't an amount, an amount out of range, or amounts of two tokens mixed."""

    code = "tokenomics.amount"


class EmissionError(TokenomicsError):
    """An emission schedule that can't be, or a question about it that has no answer."""

    code = "tokenomics.emission"


class SplitError(TokenomicsError):
    """Scores or shares by which an emission can't be divided."""

    code = "tokenomics.split"


class WalletError(TokenomicsError):
    """A key or a key file that can't be made, read or trusted."""

    code = "tokenomics.wallet"


class CanonicalError(TokenomicsError):
    """A value that has no canonical bytes, and so can't be hashed or signed."""

    code = "tokenomics.canonical"


class ProofError(TokenomicsError):
    """A proof that can't be made, or a signed note or verifier key that can't be written or read."""

    code = "tokenomics.proof"


class SettlementError(TokenomicsError):
    """An address, a binding or a claim that can't be paid on a chain."""

    code = "tokenomics.settlement"


class StatementError(TokenomicsError):
    """A statement of account that can't be made: nobody's, of no time, or in a form that can't hold it."""

    code = "tokenomics.statement"


class LedgerError(TokenomicsError):
    """The ledger refuses what it is asked, or can't be read or written."""

    code = "tokenomics.ledger"


class LedgerCorruptError(LedgerError):
    """The ledger's file is damaged, or is behind its own checkpoint."""

    code = "tokenomics.ledger.corrupt"


class LedgerConflictError(LedgerError):
    """A round that is settled already, or that would leave a gap."""

    code = "tokenomics.ledger.conflict"


class LedgerRaceError(LedgerConflictError):
    """Another validator wrote in the same instant, and its round went first."""

    code = "tokenomics.ledger.race"


class OrderError(LedgerError):
    """An order to move money that isn't one, or that doesn't apply to the ledger as it is."""

    code = "tokenomics.ledger.order"
