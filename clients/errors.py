"""Errors a participant can meet.

```
ClientError                 anything wrong on the participant's side
├── TaskError               the task's code or data doesn't keep its contract
├── CastError               a simulated cast or data partition that can't be set up
├── InstructionError        the validator's message isn't one this participant agreed to work on
└── ContributionError       a contribution that can't be read, or isn't what it says it is
```
"""

from typing import ClassVar


class ClientError(Exception):
    """Root of everything that can go wrong on the participant's side."""

    code: ClassVar[str] = "client"

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class TaskError(ClientError):
    """The task's code or data doesn't keep the contract of `clients.task.Task`."""

    code = "client.task"


class CastError(ClientError):
    """A simulated cast or a data partition that can't be set up."""

    code = "client.cast"


class InstructionError(ClientError):
    """The validator's message isn't one that this participant agreed to work on."""

    code = "client.instruction"


class ContributionError(ClientError):
    """A contribution that can't be read, or isn't what it says it is.

    `reason` is the short code that a receipt carries (`malformed`, `wrong_shapes`, ...).
    """

    code = "client.contribution"

    def __init__(self, reason: str, message: str, *, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.reason = reason
