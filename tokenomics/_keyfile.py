"""A wallet's files: JSON that only its owner can read, the coldkey encrypted with a password."""

import json
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tokenomics._checks import is_hex
from tokenomics._files import replace_atomically, sync_folder, write_new
from tokenomics.canonical import canonical_json
from tokenomics.errors import WalletError

COLDKEY_FORMAT: Final = "flower-subnet-coldkey"
HOTKEY_FORMAT: Final = "flower-subnet-hotkey"
MAX_FILE_BYTES: Final = 65_536
"""No key file is longer; checked before it is read."""

SCRYPT: Final[Mapping[str, int]] = {"n": 2**15, "r": 8, "p": 3}
"""Cost of one guess at a password: 32 MiB and about a quarter of a second.

Source: RFC 7914; OWASP Password Storage Cheat Sheet.
"""

_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
_COMMON: Final = {"format", "version", "public", "secret"}
_FIELDS: Final = {
    COLDKEY_FORMAT: (_COMMON | {"kind"}, _COMMON | {"kind", "kdf", "salt", "nonce"}),
    HOTKEY_FORMAT: (_COMMON | {"coldkey", "binding"},),
}


def seal_coldkey(*, seed: bytes, public: str, password: str | None) -> dict[str, Any]:
    """Return the coldkey's document: with a password scrypt and ChaCha20-Poly1305, whose header is authenticated too.

    Raises:
        WalletError: the password is empty.
    """
    header: dict[str, Any] = {"format": COLDKEY_FORMAT, "version": 1, "public": public}
    if password is None:
        return {**header, "kind": "unencrypted", "secret": seed.hex()}
    if not password:
        raise WalletError("the password is empty", remedy="choose one, or ask for an unencrypted coldkey explicitly")
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    header |= {"kind": "encrypted", "kdf": {"name": "scrypt", **SCRYPT}, "salt": salt.hex(), "nonce": nonce.hex()}
    secret = ChaCha20Poly1305(_derive(password, salt)).encrypt(nonce, seed, canonical_json(header))
    return {**header, "secret": secret.hex()}


def open_coldkey(document: Mapping[str, Any], *, path: Path, password: str | None) -> bytes:
    """Return the coldkey's seed.

    Raises:
        WalletError: the password is missing, needless or wrong, or the file was altered.
    """
    header = {name: value for name, value in document.items() if name != "secret"}
    if document["kind"] == "unencrypted" and "kdf" not in document:
        if password is not None:
            raise WalletError(f"{path} isn't encrypted, but a password was given", remedy="give none")
        return seed_of(document["secret"], path=path)
    hexes = (document["secret"], 96), (document.get("salt"), 32), (document.get("nonce"), 24)
    if header.get("kdf") != {"name": "scrypt", **SCRYPT} or not all(is_hex(value, n) for value, n in hexes):
        raise WalletError(f"{path} isn't encrypted in a way known here", remedy="restore it from a backup")
    if password is None:
        raise WalletError(f"{path} is encrypted, and no password was given", remedy="give the coldkey's password")
    salt, nonce, secret = (bytes.fromhex(document[name]) for name in ("salt", "nonce", "secret"))
    try:
        return ChaCha20Poly1305(_derive(password, salt)).decrypt(nonce, secret, canonical_json(header))
    except InvalidTag:
        message = f"{path}: the password is wrong, or the file was altered"
        raise WalletError(message, remedy="try again, or restore the file from a backup") from None


def seed_of(secret: object, *, path: Path) -> bytes:
    """Return a plain secret's 32 bytes.

    Raises:
        WalletError: it isn't 64 hexadecimal digits.
    """
    if not isinstance(secret, str) or not is_hex(secret, 64):
        raise WalletError(f"{path}: its secret isn't 64 hexadecimal digits", remedy="restore it from a backup")
    return bytes.fromhex(secret)


def read(path: Path, *, expected: str) -> dict[str, Any]:
    """Return a key file's document, with exactly the fields of its format.

    Raises:
        WalletError: it is missing, readable by others, too long, damaged, or of another format.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise WalletError(f"there is no wallet file {path}", remedy="create a wallet, or give its folder") from None
    except OSError as error:
        raise WalletError(
            f"{path} can't be read: {error.strerror}", remedy="check its owner and permissions"
        ) from error
    if mode & 0o077:
        raise WalletError(f"{path} has mode {mode:04o}: others can read the key", remedy=f"chmod 600 {path}")
    try:
        document = json.loads(data) if len(data) <= MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        document = None
    known = isinstance(document, dict) and document.get("format") == expected and document.get("version") == 1
    if not known or set(document or {}) not in _FIELDS[expected]:
        raise WalletError(f"{path} isn't a whole {expected} file of version 1", remedy="restore it from a backup")
    return dict(document or {})


def write_wallet(directory: Path, name: str, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Write a wallet's folder: whole under a temporary name first, then renamed, so that nothing is ever overwritten.

    Raises:
        WalletError: the name won't do, the wallet exists, or the folder can't be written to.
    """
    if _NAME.fullmatch(name) is None:
        raise WalletError(f"wallet name {name!r:.80} isn't 1 to 64 of A-Z a-z 0-9 . _ -", remedy="choose a plain name")
    folder = directory / name
    if folder.exists():
        raise WalletError(
            f"there is something at {folder} already", remedy="choose another name; wallets aren't replaced"
        )
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=directory))
        try:
            for file, document in files.items():
                write_new(temporary / file, canonical_json(document) + b"\n")
            sync_folder(temporary)
            # a folder that holds something can't be replaced by a rename: the race with another process is safe too
            temporary.rename(folder)
        except BaseException:
            shutil.rmtree(temporary)
            raise
        sync_folder(directory)
    except OSError as error:
        message = f"the wallet can't be written to {folder}: {error.strerror}"
        raise WalletError(message, remedy="check that the folder is yours and the disk has space") from error


def replace(path: Path, document: Mapping[str, Any]) -> None:
    """Write or replace a key file, whole or not at all, readable by its owner alone.

    Raises:
        WalletError: the folder can't be written to.
    """
    try:
        replace_atomically(path, canonical_json(document) + b"\n", mode=0o600)
    except OSError as error:
        message = f"{path} can't be written: {error.strerror}"
        raise WalletError(message, remedy="check that the folder is yours and the disk has space") from error


def _derive(password: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, **SCRYPT).derive(password.encode())
