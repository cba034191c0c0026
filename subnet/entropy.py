"""A validator's unguessable numbers: from a simulation's seed, or from a secret in the run's folder."""

import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from clients.seeds import seed_bytes
from subnet.errors import RunError
from subnet.run_files import NONCES_NAME, has_ledger
from subnet.store import write_atomically
from tokenomics.canonical import canonical_json

_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class SeededEntropy:
    """Everything unguessable drawn from a simulation's seed, so that the run repeats."""

    seed: int

    def nonce(self, round_number: int) -> str:
        """Return the round's nonce."""
        return seed_bytes("nonce", self.seed, round_number).hex()

    def message_id(self, round_number: int, hotkey: str) -> str:
        """Return the id of a message."""
        return seed_bytes("message", self.seed, round_number, hotkey)[:16].hex()


@dataclass(frozen=True, slots=True)
class SystemEntropy:
    """The operating system's randomness: one secret, drawn when the run begins, gives nonces and message ids.

    The ledger commits to every nonce a round ahead, so a validator has to find the same one after a crash; and a
    message that it sends again has the same id, to which participants give the same answer. The secret is in the run's
    folder, for its owner alone to read; what was revealed of it says nothing of the rest.

    Source: RFC 2104 (HMAC, with SHA-256), as a pseudorandom function of what each is for.
    """

    folder: Path

    def nonce(self, round_number: int) -> str:
        """Return the round's nonce.

        Raises:
            RunError: the secret of a run that has begun is missing, readable by others, or no secret.
            StoreError: the secret of a new run can't be written.
        """
        return self._derive("nonce", round_number)

    def message_id(self, round_number: int, hotkey: str) -> str:
        """Return the id of a message, the same when it is sent again; nobody foresees it.

        Raises:
            RunError, StoreError: as for `nonce`.
        """
        return self._derive("message", round_number, hotkey)[:32]

    def _derive(self, *what: str | int) -> str:
        return hmac.digest(self._secret(), b"flower-subnet/entropy/v1\x00" + canonical_json(what), "sha256").hex()

    def _secret(self) -> bytes:
        path = self.folder / NONCES_NAME
        if not path.exists() and not has_ledger(self.folder):
            write_atomically(path, secrets.token_bytes(_SECRET_BYTES))  # mode 0600, as all that it writes
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                found = file.read(_SECRET_BYTES + 1)
        except OSError as error:
            raise RunError(
                f"{path} can't be read: {error.strerror}; the nonces that the ledger has committed to come from it",
                remedy="restore it from the validator's own backup: without it the run can't go on",
            ) from error
        if mode & 0o077:
            raise RunError(f"{path} has mode {mode:04o}: others can read the nonces", remedy=f"chmod 600 {path}")
        if len(found) != _SECRET_BYTES:
            raise RunError(f"{path} isn't {_SECRET_BYTES} bytes", remedy="restore it from the validator's own backup")
        return found
