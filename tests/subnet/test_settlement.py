"""From a played run to claims: who can claim what, who can't, and what stops an export."""

import json

import pytest

from subnet.enrolments import Enrolments
from subnet.errors import RunError, StoreError
from subnet.run import locked
from subnet.settlement import by_coldkey, export_claims, read_bindings
from tokenomics.errors import SettlementError
from tokenomics.settlement import ClaimTree, EvmBinding, checksum_address, scale

ADDRESSES = [checksum_address("0x" + digit * 40) for digit in "1234"]


@pytest.fixture
def played(game):
    """A game of three honest ones and a cheat that earns nothing, two rounds in."""
    running = game("honest=3,unsigned=1", scoring={"vesting": 0})
    running.play(2)
    return running


def wallet_of(game, index):
    """The simulated wallet of a client."""
    from clients.seeds import seed_bytes
    from tokenomics.keys import Wallet

    return Wallet.from_seed(seed_bytes("wallet", game.scenario.seed, index))


def bound(game, index, address, *, nonce=0, chain_id=1):
    return EvmBinding.sign(wallet_of(game, index).coldkey, address=ADDRESSES[address], chain_id=chain_id, nonce=nonce)


def earned(game, index):
    hotkey = wallet_of(game, index).hotkey.keypair.public
    return game.fixture.ledger.balances().get(f"participant:{hotkey}", 0)


def root(game):
    return game.fixture.store.root


def test_a_game_keeps_everyones_enrolment(played):
    """Each hotkey's coldkey is in the run's folder, also that of who earns nothing."""
    wallets = [wallet_of(played, index) for index in range(4)]
    assert Enrolments(root(played)).coldkeys() == {one.hotkey.keypair.public: one.coldkey.public for one in wallets}


def test_bound_participants_can_claim_what_they_earned_and_the_rest_is_listed(played, tmp_path):
    """Exactly the ledger's units, in 18 decimals; owner and validator aren't in it; round after round it grows."""
    out = tmp_path / "claims.json"
    done = export_claims(root(played), [bound(played, 0, 0), bound(played, 1, 1)], out=out)
    token = played.fixture.ledger.genesis.token
    assert ClaimTree.load(out.read_text()) == done.tree
    assert {one.account: one.amount for one in done.tree.claims} == {
        ADDRESSES[index]: scale(earned(played, index), token.decimals) for index in (0, 1)
    }
    left = wallet_of(played, 2)
    assert [(one.hotkey, one.coldkey, one.units) for one in done.unclaimed] == [
        (left.hotkey.keypair.public, left.coldkey.public, earned(played, 2))
    ]
    assert (done.round, done.chain_id, done.n_other_chain) == (2, 1, 0)
    played.play()
    later = export_claims(root(played), [bound(played, 2, 1)], out=out)
    amounts = {one.account: one.amount for one in later.tree.claims}
    assert amounts[ADDRESSES[0]] == scale(earned(played, 0), token.decimals)
    assert amounts[ADDRESSES[1]] == scale(earned(played, 1) + earned(played, 2), token.decimals)
    assert all(amounts[one.account] >= one.amount for one in done.tree.claims)
    assert (later.round, later.unclaimed) == (3, ())


def test_hotkeys_of_one_coldkey_are_summed_and_only_participants_accounts_count():
    """What hasn't vested, the owner's and the validator's parts, and hotkeys without an enrolment can't be claimed."""
    balances = {"participant:a1": 5, "participant:a2": 6, "participant:b": 7, "participant:c": 8, "participant:d": 0}
    others = {"issuance": -1000, "owner:A": 100, "validator:a1": 200, "pending:a1": 300, "pending:b": 400}
    coldkeys = {"a1": "A", "a2": "A", "b": "B", "d": "A"}
    totals, unclaimed = by_coldkey(balances | others, coldkeys, bound=frozenset({"A"}))
    assert totals == {"A": 11}
    assert [(one.hotkey, one.coldkey, one.units) for one in unclaimed] == [("b", "B", 7), ("c", None, 8)]


def test_old_bindings_are_refused_in_later_exports(played, tmp_path):
    """The run remembers the newest nonce it has seen."""
    out = tmp_path / "claims.json"
    export_claims(root(played), [bound(played, 0, 1, nonce=5)], out=out)
    before = out.read_bytes()
    with pytest.raises(SettlementError, match="older than 5"):
        export_claims(root(played), [bound(played, 0, 0, nonce=4)], out=out)
    assert out.read_bytes() == before


def test_the_chain_is_chosen_once(played, tmp_path):
    """A second chain would pay everything twice."""
    out = tmp_path / "claims.json"
    bindings = [bound(played, 0, 0), bound(played, 1, 0, chain_id=10)]
    with pytest.raises(SettlementError, match="chains 1, 10, and a run is settled on one"):
        export_claims(root(played), bindings, out=out)
    with pytest.raises(SettlementError, match="no chain, and a run is settled on one"):
        export_claims(root(played), [], out=out)
    done = export_claims(root(played), bindings, out=out, chain_id=10)
    assert (done.chain_id, done.n_other_chain, len(done.tree.claims)) == (10, 1, 1)
    assert export_claims(root(played), bindings, out=out).chain_id == 10
    with pytest.raises(SettlementError, match="settled on chain 10, not 1"):
        export_claims(root(played), bindings, out=out, chain_id=1)


def test_what_stops_an_export(played, tmp_path):
    """Nothing earned, no run, an export at work, a damaged book: nothing is written."""
    out = tmp_path / "claims.json"
    with pytest.raises(SettlementError, match="nobody with a binding for chain 1 has earned"):
        export_claims(root(played), [bound(played, 3, 0)], out=out)
    with pytest.raises(RunError, match=r"no ledger\.sqlite"):
        export_claims(tmp_path, [bound(played, 0, 0)], out=out)
    with locked(root(played) / "settlement"), pytest.raises(RunError, match="in use"):
        export_claims(root(played), [bound(played, 0, 0)], out=out)
    (root(played) / "settlement" / "book.json").write_text("{")
    with pytest.raises(StoreError, match=r"book\.json can't be read"):
        export_claims(root(played), [bound(played, 0, 0)], out=out)
    assert not out.exists()


def test_an_altered_ledger_isnt_exported(played, tmp_path):
    """One unit more on one posting."""
    import shutil
    import sqlite3

    copy = tmp_path / "copy"
    shutil.copytree(root(played), copy)
    with sqlite3.connect(copy / "ledger.sqlite") as database:
        for (trigger,) in list(database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute("UPDATE postings SET amount = amount + 1 WHERE round = 2 AND position = 3")
    database.close()
    with pytest.raises(SettlementError, match="doesn't verify"):
        export_claims(copy, [bound(played, 0, 0)], out=tmp_path / "claims.json")
    assert not (tmp_path / "claims.json").exists()


def test_files_of_bindings_are_named_in_errors(played, tmp_path):
    """Several files, one of them not there or with a bad line."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(bound(played, 0, 0).to_dict()) + "\n")
    bad.write_text("{}\n")
    assert read_bindings([good, good]) == [bound(played, 0, 0)] * 2
    with pytest.raises(SettlementError, match=r"bad\.json: line 1"):
        read_bindings([good, bad])
    with pytest.raises(SettlementError, match=r"none\.json can't be read"):
        read_bindings([tmp_path / "none.json"])
    bad.write_bytes(b"\xff")
    with pytest.raises(SettlementError, match=r"bad\.json can't be read"):
        read_bindings([bad])
