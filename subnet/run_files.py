"""Names of the files in a run's folder, apart from everything that is slow to import."""

from pathlib import Path

from subnet.errors import RunError

LEDGER_NAME = "ledger.sqlite"
PLAN_NAME = "run.json"


def has_ledger(folder: Path) -> bool:
    """Whether a run in this folder has a ledger: there, or on a server that is named there."""
    from tokenomics.ledger.place import ledger_exists

    return ledger_exists(folder / LEDGER_NAME)


def find_ledger(folder: Path) -> Path:
    """Return the path that a run's ledger goes by, whether it is a file there or on a server.

    Args:
        folder: the run's folder.

    Raises:
        RunError: it has no ledger.
    """
    if not has_ledger(folder):
        raise RunError(f"no {LEDGER_NAME} in {folder}", remedy="name the folder that a run has printed")
    return folder / LEDGER_NAME
