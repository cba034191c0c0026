"""The error tree, and what all of it shares.

Every error has a stable `code`, a `message` that names the offending value and its limit, and a `remedy`. The other
packages have roots of their own, since they stand without this one.

```
SubnetError                 anything wrong on the validator's side or at the command line
├── SpecError               subnet.toml can't be read, or says something that isn't allowed
├── RunError                a run's folder can't be used: another run's, in use, unreadable
├── StoreError              a stored object is missing, altered, or can't be written
├── EngineError             the Flower engine can't do what is asked
├── ArenaError              the arena can't play what is asked
└── StoppedError            somebody stopped the run; nothing settled is lost
clients.errors.ClientError  on the participant's side: task, cast, instruction, contribution
strategies.StrategyError    a strategy or its settings
tokenomics.TokenomicsError  amounts, schedules, wallets, the ledger
```
"""

from typing import ClassVar


class SubnetError(Exception):
    """Root of everything that can go wrong on the validator's side or at the command line."""

    code: ClassVar[str] = "subnet"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class SpecError(SubnetError):
    """The subnet's spec can't be read, or says something that isn't allowed."""

    code = "subnet.spec"


class RunError(SubnetError):
    """A run's folder can't be used: it belongs to another run, is in use, or isn't a run."""

    code = "subnet.run"


class StoreError(SubnetError):
    """A stored object is missing, was altered, or can't be written."""

    code = "subnet.store"


class EngineError(SubnetError):
    """The engine that runs the Flower apps can't do what is asked."""

    code = "subnet.engine"


class ArenaError(SubnetError):
    """The arena can't play what is asked."""

    code = "subnet.arena"


class StoppedError(SubnetError):
    """Somebody stopped the run; nothing settled is lost."""

    code = "subnet.stopped"
