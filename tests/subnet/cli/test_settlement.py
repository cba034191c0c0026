"""`subnet wallet bind-evm` and `subnet settlement`: from a wallet to a claim."""

import json

import pytest

from clients.seeds import seed_bytes
from tokenomics import _keyfile
from tokenomics.keys import Wallet
from tokenomics.settlement import ClaimTree, claim_call, post_root_call, verify_claim

ADDRESS = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.fixture
def wallet(tmp_path):
    """The folder of client 0's wallet, not encrypted."""
    documents = Wallet.from_seed(seed_bytes("wallet", 0, 0)).documents(password=None)
    _keyfile.write_wallet(tmp_path, "ada", documents)
    return tmp_path / "ada"


@pytest.fixture
def played(game):
    """A run of two honest ones, one round in, which pays at once."""
    running = game("honest=2", scoring={"vesting": 0})
    running.play()
    return running.fixture


def test_from_wallet_to_proof(command, tmp_path, wallet, played):
    """bind-evm, export, proof: the claim is the ledger's balance, and its proof holds against the root printed."""
    options = ("--address", ADDRESS.lower(), "--chain-id", 1, "--nonce", 3, "--no-password")
    code, out, _ = command("wallet", "bind-evm", wallet, *options)
    assert (code, len(out.splitlines())) == (0, 1)
    assert json.loads(out) | {"signature": "", "coldkey": ""} == {
        "format": "flower-subnet-evm-binding",
        "version": 1,
        "coldkey": "",
        "chain_id": 1,
        "address": ADDRESS,
        "nonce": 3,
        "signature": "",
    }
    bindings, claims = tmp_path / "bindings.jsonl", tmp_path / "claims.json"
    bindings.write_text(out)
    export = ("settlement", "export", played.store.root, "--bindings", bindings, "--out", claims)
    code, out, _ = command(*export, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["calldata"] == post_root_call(found["root"])
    hotkeys = [Wallet.from_seed(seed_bytes("wallet", 0, index)).hotkey for index in range(2)]
    units = [played.ledger.balances()[f"participant:{one.keypair.public}"] for one in hotkeys]
    assert (found["total"], found["n_claims"]) == (str(units[0] * 10**9), 1)
    [left] = found["unclaimed"]
    assert left == {"hotkey": hotkeys[1].keypair.public, "coldkey": hotkeys[1].coldkey, "units": units[1]}
    code, out, _ = command("settlement", "proof", claims, "--address", ADDRESS, "--json")
    claim = json.loads(out)
    assert (code, claim["account"], claim["root"], claim["amount"]) == (0, ADDRESS, found["root"], found["total"])
    parts = {"account": ADDRESS, "amount": int(claim["amount"]), "proof": claim["proof"]}
    assert verify_claim(root=found["root"], **parts)
    assert claim["calldata"] == claim_call(*parts.values())
    for words in (found["root"], found["total"], found["calldata"], hotkeys[1].keypair.public, "has no binding"):
        assert words in command(*export)[1]
    for words in (ADDRESS, claim["amount"], found["root"], claim["calldata"]):
        assert words in command("settlement", "proof", claims, "--address", ADDRESS)[1]
    assert ClaimTree.load(claims.read_text()).root == found["root"]


def test_a_nonce_that_isnt_given_is_the_time(command, wallet, monkeypatch):
    """So that the later of two bindings has the higher one."""
    monkeypatch.setattr("time.time", lambda: 1_234_567_890.9)
    options = ("--address", ADDRESS, "--chain-id", 8453, "--no-password")
    assert json.loads(command("wallet", "bind-evm", wallet, *options)[1])["nonce"] == 1_234_567_890


def test_mistakes_get_one_line_and_a_remedy(command, tmp_path, wallet, played):
    """A wrong address before the password is asked for, claims that aren't there or aren't any, bindings of nobody."""
    wrong = ADDRESS[:-1] + "e"
    cases = {
        ("wallet", "bind-evm", wallet, "--address", wrong, "--chain-id", 1): "wrong checksum",
        ("settlement", "proof", tmp_path / "none", "--address", ADDRESS): "can't be read",
        ("settlement", "proof", wallet / "hotkey.json", "--address", ADDRESS): "aren't a dump",
        ("settlement", "export", played.store.root, "--out", tmp_path / "claims.json"): "no chain",
        ("settlement", "export", tmp_path, "--out", tmp_path / "claims.json"): "no ledger.sqlite",
    }
    for arguments, words in cases.items():
        code, _, err = command(*arguments)
        assert code == 3, arguments
        assert words in err
        assert "remedy:" in err
    assert not (tmp_path / "claims.json").exists()
