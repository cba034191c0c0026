"""Crashes and read-only media, with real processes: a ledger is always at a whole round, and always readable."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tokenomics.ledger.database import Database
from tokenomics.errors import LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, verify_ledger

ROOT = Path(__file__).parents[3]
SETTLE_FOR_EVER = """
import sys
from pathlib import Path
from tokenomics.keys import Keypair
from tokenomics.ledger import Ledger, ReceiptEntry, Settlement

validator = Keypair.from_seed(bytes(32))
ledger = Ledger.open(Path(sys.argv[1]))
last = ledger.genesis.model_hash if not ledger.height else next(ledger.rounds(ledger.height)).model_hash
for number in range(ledger.height + 1, 100_000):
    entries = tuple(
        ReceiptEntry(hotkey=f"{i:064x}", receipt_hash=f"{number:064x}", status="accepted", score=i + number,
                     struck=False)
        for i in range(20)
    )
    model = f"{number:064x}"
    ledger.settle(
        Settlement(round=number, base_hash=last, model_hash=model, record_hash=model, settled_at=number,
                   entries=entries, unpaid_score=0, pays=True),
        validator,
    )
    last = model
    print(number, flush=True)
"""


def test_what_a_crash_left_of_a_checkpoint_is_removed_by_the_next_validator(
    database: Database, tmp_path: Path, make_genesis: Callable[..., Genesis], validator: Keypair
) -> None:
    """An old temporary file goes; one that another validator may be writing, and files of other names, stay."""
    path = tmp_path / "ledger.sqlite"
    database.create(path, make_genesis(), validator).close()
    old, young, other = (
        tmp_path / name for name in (".ledger.sqlite.checkpoint.a", ".ledger.sqlite.checkpoint.b", ".x")
    )
    for file in (old, young, other):
        file.write_bytes(b"half")
    for file in (old, other):
        os.utime(file, (0, 0))
    Ledger.open(path, read_only=True).close()
    assert old.exists()
    Ledger.open(path).close()
    assert (old.exists(), young.exists(), other.exists()) == (False, True, True)
    assert verify_ledger(path).ok


def test_a_killed_validator_leaves_whole_rounds_and_every_acknowledged_one(
    database: Database, tmp_path: Path, make_genesis: Callable[..., Genesis], validator: Keypair
) -> None:
    """SIGKILL after a few acknowledged rounds, at whatever instant it strikes, four times on one ledger."""
    path = tmp_path / "ledger.sqlite"
    database.create(path, make_genesis(), validator).close()
    height = 0
    for n_acknowledged in (1, 4, 9, 14):
        process = subprocess.Popen(
            [sys.executable, "-c", SETTLE_FOR_EVER, str(path)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        with process:
            assert process.stdout is not None
            acknowledged = [int(process.stdout.readline()) for _ in range(n_acknowledged)]
            process.send_signal(signal.SIGKILL)
            acknowledged += [
                int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")
            ]
        assert acknowledged[0] == height + 1
        result = verify_ledger(path, validator=validator.public)
        assert result.errors == []
        assert result.rounds in {acknowledged[-1], acknowledged[-1] + 1}
        with Ledger.open(path) as ledger:
            height = ledger.height
            assert height == result.rounds


@pytest.mark.only("sqlite")
def test_a_ledger_that_may_only_be_read_is_verified_where_it_lies(path: Path) -> None:
    """An auditor's copy on read-only media, where no WAL index can be made beside it. As nobody, should we be root."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    try:
        for file in path.parent.iterdir():
            shutil.copy(file, folder)
        folder.chmod(0o555)
        os.seteuid(user or 65534)
        with pytest.raises(PermissionError):
            (folder / "new").touch()
        assert verify_ledger(folder / path.name).errors == []
        with Ledger.open(folder / path.name, read_only=True) as ledger:
            assert ledger.height == 6
        with pytest.raises(LedgerError, match=r"may only be read|can't be opened"):
            Ledger.open(folder / path.name)
        assert len(list(folder.iterdir())) == 2
    finally:
        os.seteuid(user)
        folder.chmod(0o755)
        shutil.rmtree(folder)
