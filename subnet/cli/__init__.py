"""The command line: `subnet`, for teams, participants and researchers alike.

Heavy imports (torch, Flower) live inside the commands that need them, so that `--help` is quick. Exit codes: 0 done,
1 a check found something wrong, 2 the command line can't be understood, 3 an error with a remedy, 130 interrupted.
"""

import os
import sys

from subnet.errors import StoppedError, SubnetError

EXIT_ERROR = 3
EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command line; every known error is one red line and a remedy."""
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
    from subnet.cli.app import app

    try:
        app()
    except StoppedError as error:
        _show(error.message, error.remedy)
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        _show("interrupted", "")
        sys.exit(EXIT_INTERRUPTED)
    except Exception as error:
        if not _is_known(error) or "--debug" in sys.argv or os.environ.get("SUBNET_DEBUG"):
            raise
        _show(str(error), str(getattr(error, "remedy", "")))
        sys.exit(EXIT_ERROR)


def _is_known(error: Exception) -> bool:
    if isinstance(error, SubnetError):
        return True
    roots = {"ClientError": "clients", "StrategyError": "strategies", "TokenomicsError": "tokenomics"}
    return any(
        roots.get(ancestor.__name__) == ancestor.__module__.partition(".")[0] for ancestor in type(error).__mro__
    )


def _show(message: str, remedy: str) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]error:[/] {escape(' '.join(message.split()))}")
    if remedy:
        console.print(f"[dim]remedy:[/] {escape(remedy)}")
