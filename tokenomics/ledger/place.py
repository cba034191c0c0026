"""Where a ledger's tables are: in a file, or on a PostgreSQL server that a small file in its place names.

A ledger goes by the path of its file either way: beside that path lies its checkpoint, and what is on a server has
`<path>.url` there in place of the file itself.
"""

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from tokenomics._files import replace_atomically
from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerCorruptError, LedgerError

DRIVER: Final = "postgresql+psycopg"
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_MAX_FILE_BYTES: Final = 65_536
_PASSWORD_REMEDY: Final = "give it in PGPASSWORD or ~/.pgpass, where neither files nor lists of processes show it"  # noqa: S105 - words


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerPlace:
    """A schema of its own in a PostgreSQL database.

    Args:
        url: `postgresql+psycopg://[USER@][HOST[:PORT]]/DATABASE[?PARAMETER=VALUE&...]`, with libpq's parameters and
            without a password.
        schema: lower-case letters, digits and underscores, at most 63.

    Raises:
        LedgerError: one of them is malformed, of another database, or has a password.
    """

    url: str
    schema: str

    def __post_init__(self) -> None:
        parse_url(self.url)
        if not _SCHEMA.fullmatch(self.schema):
            raise LedgerError(f"schema {self.schema!r:.80} isn't a plain name", remedy="see `ServerPlace`")

    @classmethod
    def new(cls, url: str, subnet: str) -> "ServerPlace":
        """Return a place that no other ledger has: a schema named after the subnet, and 8 random digits."""
        name = re.sub(r"[^a-z0-9]+", "_", subnet.lower())[:48]
        return cls(url=url, schema=f"subnet_{name}_{secrets.token_hex(4)}")


def parse_url(url: str) -> URL:
    """Return a PostgreSQL URL taken apart.

    Raises:
        LedgerError: it isn't one, or has a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # ValueError: a port that is no number
        raise LedgerError("the ledger's URL can't be read", remedy=f"give {DRIVER}://USER@HOST/DATABASE") from error
    if parsed.password is not None or "password" in parsed.query:
        raise LedgerError("the ledger's URL has a password in it", remedy=_PASSWORD_REMEDY)
    if "require_auth" in parsed.query:
        raise LedgerError("the ledger's URL says how to log in", remedy="set PGREQUIREAUTH instead of require_auth")
    if parsed.drivername not in {"postgresql", DRIVER}:
        message = f"a ledger on {parsed.drivername!r:.40} isn't possible"
        raise LedgerError(message, remedy=f"give {DRIVER}://USER@HOST/DATABASE, or no URL for a SQLite file")
    return parsed.set(drivername=DRIVER)


def url_path(path: Path) -> Path:
    """Return where it is written that the ledger at `path` is on a server: `<path>.url`."""
    return path.with_name(f"{path.name}.url")


def ledger_exists(path: Path) -> bool:
    """Whether a ledger was made at `path`: as a file, or on a server that is named there."""
    return path.is_file() or url_path(path).is_file()


def find_server(path: Path) -> ServerPlace | None:
    """Return where on a server the ledger at `path` is; None where it is a file.

    Raises:
        LedgerError: there is no ledger.
        LedgerCorruptError: what names the server can't be read.
    """
    if path.is_file():
        return None
    file = url_path(path)
    remedy = "restore it from a backup"
    try:
        with file.open("rb") as stream:
            found = json.loads(stream.read(_MAX_FILE_BYTES))
        return ServerPlace(**found)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        message = f"there is no ledger at {path}"
        raise LedgerError(message, remedy="check the path, or start the subnet first") from error
    except OSError as error:
        raise LedgerCorruptError(f"{file} can't be read: {error.strerror}", remedy=remedy) from error
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerCorruptError(f"{file} doesn't name a server: {error}", remedy=remedy) from error


def write_server(path: Path, place: ServerPlace) -> None:
    """Write down where on a server the ledger at `path` is.

    Raises:
        OSError: the folder can't be written to.
    """
    replace_atomically(url_path(path), canonical_json({"schema": place.schema, "url": place.url}) + b"\n")
