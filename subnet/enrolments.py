"""Which coldkey each hotkey works for: the signed enrolments that a run keeps, one file a hotkey.

The first one counts. A hotkey is what lies on a training machine, so whoever steals it must not be able to move what it
earned to a coldkey of his own.
"""

from pathlib import Path

from clients.contribution import Enrolment, Signed, open_enrolment
from clients.errors import ContributionError
from subnet.errors import StoreError
from subnet.store import write_atomically

_FOLDER = "enrolments"


class Enrolments:
    """The enrolments in a run's folder.

    Args:
        root: the run's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / _FOLDER

    def keep(self, signed: Signed) -> None:
        """Keep a hotkey's enrolment if it has none yet.

        Args:
            signed: the enrolment as received.

        Raises:
            ContributionError: it isn't well signed, or the hotkey enrolled for another coldkey before.
            StoreError: what is kept was altered, or can't be written.
        """
        enrolment = open_enrolment(signed)
        path = self._folder / f"{enrolment.hotkey}.json"
        if not path.exists():
            _make(self._folder)
            write_atomically(path, signed.to_bytes())
        elif (first := _read(path)).coldkey != enrolment.coldkey:
            raise ContributionError(
                "duplicate",
                f"hotkey {enrolment.hotkey[:12]} works for coldkey {first.coldkey[:12]} in this run, and can't change "
                f"to {enrolment.coldkey[:12]}",
            )

    def coldkey(self, hotkey: str) -> str | None:
        """Return the coldkey that a hotkey works for; None where it hasn't enrolled.

        Args:
            hotkey: 64 hexadecimal digits.

        Raises:
            StoreError: its enrolment can't be read or was altered.
        """
        path = self._folder / f"{hotkey}.json"
        return _read(path).coldkey if path.exists() else None

    def signed(self, hotkey: str) -> Signed | None:
        """Return a hotkey's enrolment as it was received; None where it hasn't enrolled.

        Raises:
            StoreError: it can't be read or was altered.
        """
        if self.coldkey(hotkey) is None:
            return None
        return Signed.from_bytes((self._folder / f"{hotkey}.json").read_bytes())

    def coldkeys(self) -> dict[str, str]:
        """Return the coldkey by hotkey, hotkeys ascending; none for a run from before enrolments were kept.

        Raises:
            StoreError: an enrolment can't be read or was altered.
        """
        return {path.stem: _read(path).coldkey for path in sorted(self._folder.glob("*.json"))}


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"can't make {folder}: {error.strerror}", remedy="check the disk and the folder's permissions"
        ) from error


def _read(path: Path) -> Enrolment:
    try:
        enrolment = open_enrolment(Signed.from_bytes(path.read_bytes()))
    except OSError as error:
        raise StoreError(
            f"{path} can't be read: {error.strerror}", remedy="restore the run's folder from a copy"
        ) from error
    except (ContributionError, ValueError, TypeError, LookupError) as error:
        raise StoreError(
            f"{path} was altered: it isn't a signed enrolment", remedy="restore the file from a copy"
        ) from error
    if enrolment.hotkey != path.stem:
        raise StoreError(f"{path} is another hotkey's enrolment", remedy="restore the file from a copy")
    return enrolment
