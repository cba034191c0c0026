"""`subnet wallet transfer` and its like: from a wallet to the ledger, and every mistake in one line."""

import json
from pathlib import Path

import pytest

from clients.seeds import seed_bytes
from subnet.orders import Inbox
from tokenomics import _keyfile
from tokenomics.keys import Keypair, Wallet
from tokenomics.ledger import Ledger, SignedOrder

BOB = Keypair.from_seed(bytes([5] * 32)).public


@pytest.fixture
def played(game):
    """A run of two honest ones, one round in, which pays at once."""
    running = game("honest=2", scoring={"vesting": 0})
    running.play()
    return running


@pytest.fixture
def run(played):
    return played.fixture.store.root


@pytest.fixture
def wallet(tmp_path):
    """The folder of client 0's wallet, not encrypted."""
    documents = Wallet.from_seed(seed_bytes("wallet", 0, 0)).documents(password=None)
    _keyfile.write_wallet(tmp_path, "ada", documents)
    return tmp_path / "ada"


def balances(game):
    return game.fixture.ledger.balances()


def test_from_wallet_to_ledger(command, played, run, wallet):
    """Transfer, stake, unstake and burn, round by round, and what the balance says of it."""
    mine = Wallet.load(wallet, None)
    hotkey, coldkey = mine.hotkey.keypair.public, mine.coldkey.public
    base = ("--run", run, "--no-password")
    code, out, _ = command("wallet", "transfer", wallet, *base, "--amount", "1.5", "--to", BOB)
    assert code == 0
    for words in (
        "1.5 TOY",
        f"participant:{hotkey}",
        f"wallet:{BOB}",
        "nonce    1, holds until round 101",
        "waits for",
    ):
        assert words in out
    assert command("wallet", "stake", wallet, *base, "--amount", "2")[0] == 0
    assert "(nonce 2)" in command("ledger", "orders", run)[1]
    played.play()
    assert balances(played)[f"wallet:{BOB}"] == 1_500_000_000
    escrow = f"escrow:{played.fixture.ledger.genesis.validator}:{coldkey}"
    assert balances(played)[escrow] == 2 * 10**9
    assert command("wallet", "unstake", wallet, *base, "--amount", "0.5")[0] == 0
    assert command("wallet", "burn", wallet, *base, "--amount", "0.25")[0] == 0
    played.play()
    assert (balances(played)[escrow], balances(played)["burn"]) == (1_500_000_000, 250_000_000)
    code, out, _ = command("wallet", "balance", wallet, "--run", run, "--json")
    shown = json.loads(out)
    assert (shown["coldkey"], shown["next_nonce"]) == (coldkey, 5)
    own = [f"wallet:{coldkey}", escrow, f"participant:{hotkey}"]
    assert shown["accounts"] == {account: balances(played)[account] for account in sorted(own)}
    assert f"{escrow}  1.5 TOY" in command("wallet", "balance", wallet, "--run", run)[1]
    states = [(one["state"], one["round"]) for one in json.loads(command("ledger", "orders", run, "--json")[1])]
    assert sorted(states) == [("settled", 2)] * 2 + [("settled", 3)] * 2
    proof = run.parent / "proof.json"
    proof.write_text(command("ledger", "prove-order", run, coldkey, 2)[1])
    code, out, _ = command("verify", proof, "--key", command("ledger", "key", run)[1].strip())
    assert (code, f"to       {escrow}" in out, "stake    2000000000 base units" in out) == (0, True, True)
    shown = command("earnings", run)[1]
    assert "moved" in shown
    assert "balance" in shown


def test_an_order_is_written_here_and_handed_in_there(command, played, run, wallet, tmp_path):
    """As for a coldkey on a machine of its own, which has a copy of the run."""
    out = tmp_path / "order.json"
    give = ("wallet", "transfer", wallet, "--run", run, "--no-password", "--to", BOB, "--out", out)
    assert command(*give, "--amount", "1")[0] == 0
    assert SignedOrder.from_bytes(out.read_bytes()).is_signed
    assert command("ledger", "orders", run)[1] == "no order has been handed in\n"
    assert command(*give, "--amount", "1")[0] == 3
    assert command("ledger", "submit", run, out)[0] == 0
    played.play()
    assert "settled in round 2: transfer 1 TOY" in command("ledger", "orders", run)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--amount", "1000000", "--to", BOB), "base units, not 1000000000000000"),
        (("--amount", "0", "--to", BOB), "amount is 0"),
        (("--amount", "-1", "--to", BOB), "amount is -1000000000"),
        (("--amount", "9223372037", "--to", BOB), "more than 9223372036854775807"),
        (("--amount", "1e3", "--to", BOB), "isn't a plain decimal"),
        (("--amount", "0.0000000001", "--to", BOB), "has 10 decimals"),
        (("--amount", "1", "--to", "bob"), "'bob' is no coldkey of 64"),
        (("--amount", "1", "--to", "wallet:bob"), "can't be paid"),
        (("--amount", "1", "--to", "participant:" + "0" * 64), "has never been paid"),
        (("--amount", "1", "--to", BOB, "--nonce", "3"), "leaves a gap"),
        (("--amount", "1", "--to", BOB, "--expires", "1"), "held until round 1"),
        (("--amount", "1", "--to", BOB, "--from", "owner"), "belongs to coldkey"),
        (("--amount", "1", "--to", BOB, "--from", "wallet"), "has 0 base units"),
        (("--amount", "1", "--to", BOB, "--from", "burn"), "nobody can spend burn"),
        (("--amount", "1", "--to", BOB, "--from", "participant:" + "0" * 64), "hasn't enrolled"),
    ],
)
def test_what_the_next_round_would_refuse_isnt_handed_in(command, played, run, wallet, options, message):
    code, _, error = command("wallet", "transfer", wallet, "--run", run, "--no-password", *options)
    assert (code, message in error) == (3, True)
    assert not Inbox(run).waiting()


def test_refused_orders_are_shown_with_their_reason(command, played, run, wallet):
    assert command("wallet", "transfer", wallet, "--run", run, "--no-password", "--amount", "1", "--to", BOB)[0] == 0
    [path] = Inbox(run).waiting()
    path.write_bytes(path.read_bytes().replace(b'"amount":1000000000', b'"amount":2000000000'))
    (path.parent / "junk.json").write_text("[]")
    played.play()
    shown = " ".join(command("ledger", "orders", run)[1].split())
    assert "refused in round 2: transfer 2 TOY" in shown
    assert "the signature isn't that of coldkey" in shown
    assert "refused in round 2: junk.json: this isn't an order" in shown


def test_a_simulated_clients_wallet_is_written_down(command, played, run, tmp_path):
    """And its orders are as good as anybody's."""
    [first, *_] = played.kinds
    code, out, _ = command("wallet", "simulated", run, first[:12], tmp_path, "--name", "bea")
    assert (code, first in out) == (0, True)
    spend = ("--run", run, "--no-password", "--amount", "1", "--to", BOB)
    assert command("wallet", "transfer", tmp_path / "bea", *spend)[0] == 0
    played.play()
    with Ledger.open(run / "ledger.sqlite", read_only=True) as ledger:
        assert len(ledger.orders(2)) == 1
    assert "begins the hotkeys of 0 of 2 clients" in command("wallet", "simulated", run, "zz", tmp_path)[2]
    (run / "run.json").write_text("{}")
    assert "isn't a simulation" in command("wallet", "simulated", run, first, tmp_path)[2]


def test_a_chain_is_chosen_for_good(command, played, run, wallet):
    assert "is settled on chain 5" in command("settlement", "open", run, "--chain-id", 5)[1]
    assert "settled on chain 5, not 6" in command("settlement", "open", run, "--chain-id", 6)[2]
    assert command("wallet", "transfer", wallet, "--run", run, "--no-password", "--amount", "1", "--to", BOB)[0] == 3
    assert Path(run, "settlement", "book.json").exists()
