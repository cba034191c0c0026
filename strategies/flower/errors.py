"""What goes wrong within a round; none of it ends a run, so none of it leaves this package.

```
ReplyError      a reply that can't be used; the others can
SpoolError      rows that can't be kept on disk; the round has no model
```
"""

from strategies.errors import StrategyError


class ReplyError(Exception):
    """A reply that can't be used.

    Attributes:
        reason: One word for it, as in `Rejected`.
        detail: What is wrong with it.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class SpoolError(StrategyError):
    """The folder of the rows can't be written to or read from."""

    code = "strategy.spool"
