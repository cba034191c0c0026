"""Two validators of one ledger, as real processes: every round is settled once, and whoever lost is told."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tokenomics.ledger.database import Database
from tokenomics.keys import Keypair
from tokenomics.ledger import Ledger, verify_ledger

Make = Callable[..., Any]
ROOT = Path(__file__).parents[3]
N_VALIDATORS, N_ROUNDS = 3, 8
SETTLE_WHEN_TOLD = """
import hashlib, sys
from pathlib import Path
from tokenomics.errors import LedgerConflictError
from tokenomics.keys import Keypair
from tokenomics.ledger import Ledger, ReceiptEntry, Settlement

def digest(value):
    return hashlib.sha256(str(value).encode()).hexdigest()

validator, name = Keypair.from_seed(bytes(32)), sys.argv[2]
ledger = Ledger.open(Path(sys.argv[1]))
print("open", flush=True)
for line in sys.stdin:
    number = int(line)
    entries = tuple(
        ReceiptEntry(hotkey=digest(i), receipt_hash=digest((name, i)), status="accepted", score=i + 1, struck=False)
        for i in range(50)
    )
    settlement = Settlement(
        round=number, base_hash=digest(f"model {number - 1}"), model_hash=digest(f"model {number}"),
        record_hash=digest((name, number)), settled_at=number, entries=entries, unpaid_score=0, pays=True,
    )
    try:
        ledger.settle(settlement, validator)
        print("settled", flush=True)
    except LedgerConflictError as error:
        print(f"{type(error).__name__}: {error} ({error.remedy})", flush=True)
"""


def test_of_validators_that_settle_one_round_at_once_one_wins_and_the_others_are_told(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    """Each writes another record, so that a round of two authors, or half of each, could not be sound."""
    path = tmp_path / "ledger.sqlite"
    database.create(path, make_genesis(vesting=2), validator).close()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SETTLE_WHEN_TOLD, str(path), f"validator {index}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        for index in range(N_VALIDATORS)
    ]
    try:
        assert [ask(process) for process in processes] == ["open"] * N_VALIDATORS
        for number in range(1, N_ROUNDS + 1):
            for process in processes:
                tell(process, number)
            answers = [ask(process) for process in processes]
            lost = f"LedgerConflictError: round {number} is settled already: the ledger ends at round {number}"
            assert sorted(answers) == [f"{lost} (settle round {number + 1})"] * (N_VALIDATORS - 1) + ["settled"]
    finally:
        for process in processes:
            process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * N_VALIDATORS
    found = verify_ledger(path, validator=validator.public)
    assert (found.errors, found.rounds) == ([], N_ROUNDS)
    with Ledger.open(path) as ledger:
        assert ledger.checkpoint.round == N_ROUNDS


def tell(process: subprocess.Popen[str], number: int) -> None:
    """Have a validator settle a round."""
    assert process.stdin is not None
    process.stdin.write(f"{number}\n")
    process.stdin.flush()


def ask(process: subprocess.Popen[str]) -> str:
    """Return what a validator says next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
