"""A validator that is killed while it settles orders: each one moves its money exactly once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from subnet.orders import Inbox
from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.owners import ALICE, CAROL, purse
from tokenomics import HeightSchedule, Shares, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, verify_ledger

ROOT = Path(__file__).parents[2]
SETTLE_FOR_EVER = """
import sys
from pathlib import Path
from subnet.orders import Inbox, taken
from tests.tokenomics.ledger.owners import ALICE, order_of, settlement
from tokenomics.keys import Keypair
from tokenomics.ledger import Ledger

root, last = Path(sys.argv[1]), int(sys.argv[2])
validator = Keypair.from_seed(bytes(32))
with Ledger.open(root / "ledger.sqlite") as ledger:
    inbox = Inbox(root)
    for number in range(ledger.height + 1, last + 1):
        # two orders a round, handed in again after a crash until they are known to be settled
        for nonce in (2 * number - 1, 2 * number):
            inbox.submit(order_of(ALICE, ledger.genesis, source=f"owner:{ledger.genesis.owner}", nonce=nonce,
                                  amount=1, expires=10_000))
        with taken(root, ledger) as waiting:
            ledger.settle(settlement(number, *waiting.orders), validator, on_refused=waiting.refuse)
            waiting.close(number)
        print(number, flush=True)
"""


def test_a_killed_validator_settles_every_order_once(tmp_path):
    """SIGKILL at whatever instant, four times, then to the end: as many units moved as there are nonces."""
    validator = Keypair.from_seed(bytes(32))
    genesis = Genesis(
        subnet="digits",
        spec_hash="00" * 32,
        validator=validator.public,
        owner=ALICE.coldkey.public,
        token=Token("DIG"),
        schedule=HeightSchedule(subsidy=1_000, interval=1_000),
        shares=Shares(),
        vesting=0,
        model_hash=digest("model 0"),
        validation_root="00" * 32,
        created_at=0,
    )
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path, genesis, validator).close()
    last = 0
    for n_rounds in (1, 3, 6, 10):
        process = _start(tmp_path, 10_000)
        with process:
            for _ in range(n_rounds):
                last = int(process.stdout.readline())
            process.send_signal(signal.SIGKILL)
        assert verify_ledger(path).errors == []
    with Ledger.open(path) as ledger:
        assert ledger.height >= last
        last = ledger.height + 2
    with _start(tmp_path, last) as process:
        process.communicate(timeout=100)
    assert process.returncode == 0
    with Ledger.open(path, read_only=True) as ledger:
        settled = [(number, one) for number in range(1, last + 1) for one in ledger.orders(number)]
        assert [one.order.nonce for _, one in settled] == list(range(1, 2 * last + 1))
        assert ledger.balances()[purse(CAROL)] == 2 * last
        outcomes = Inbox(tmp_path).outcomes()
        assert {one.state for one in outcomes} == {"settled"}
        assert {one.signed.hash: one.round for one in outcomes} == {one.hash: number for number, one in settled}
    assert verify_ledger(path).errors == []


def _start(root, last):
    return subprocess.Popen(
        [sys.executable, "-c", SETTLE_FOR_EVER, str(root), str(last)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
