"""Orders from the inbox into the ledger of a game that is played: settled once, refused with a reason, never lost."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace

import pytest

from clients.contribution import Enrolment, sign_enrolment
from clients.seeds import seed_bytes
from subnet.audit import audit
from subnet.enrolments import Enrolments
from subnet.errors import RunError, StoreError
from subnet.orders import Inbox
from subnet.run import locked
from subnet.settlement import choose_chain, export_claims
from subnet.state import restore
from tokenomics.errors import SettlementError
from tokenomics.keys import Hotkey, Keypair, Wallet
from tokenomics.ledger import Ledger, Order, Title, verify_ledger
from tokenomics.ledger.log import genesis_head
from tokenomics.settlement import EvmBinding

BOB = Keypair.from_seed(bytes([5] * 32))


def wallet_of(game, index=0):
    """The simulated wallet of a client."""
    return Wallet.from_seed(seed_bytes("wallet", game.scenario.seed, index))


def title_of(game, wallet):
    """What the run keeps of a hotkey's enrolment."""
    kept = Enrolments(game.fixture.store.root).signed(wallet.hotkey.keypair.public)
    return Title(document=kept.document, signature=kept.signature)


def order_of(game, wallet, *, title=None, **changes):
    """A signed order to transfer a unit from a hotkey's account to Bob; keywords change fields."""
    fields = {
        "subnet": genesis_head(game.fixture.ledger.genesis),
        "kind": "transfer",
        "coldkey": wallet.coldkey.public,
        "source": f"participant:{wallet.hotkey.keypair.public}",
        "destination": f"wallet:{BOB.public}",
        "amount": 1,
        "nonce": 1,
        "expires": 99,
    } | changes
    if title is None and fields["source"].startswith("participant:"):
        title = title_of(game, wallet)
    return Order(**fields).sign(wallet.coldkey, title=title)


@pytest.fixture
def played(game):
    """A game of two honest ones, one round in, which pays at once."""
    running = game("honest=2", scoring={"vesting": 0})
    running.play()
    return running


@pytest.fixture
def inbox(played):
    return Inbox(played.fixture.store.root)


@pytest.fixture
def audited(played, monkeypatch, app_dir):
    """Audits the game; the run's folder has the toy's own subnet.toml, not these rules."""
    monkeypatch.setattr("subnet.audit.run.reopened", lambda *_: nullcontext(played.fixture))
    return lambda: audit(played.fixture.store.root, [app_dir])


def told(inbox):
    """State, reason and round of every order that was handed in."""
    return [(one.state, one.reason, one.round) for one in inbox.outcomes()]


def test_an_order_in_the_inbox_is_settled_by_the_next_round(played, inbox, audited):
    """Money moves, the file too, and both the ledger's check and the audit find everything in order."""
    signed = order_of(played, wallet_of(played), amount=5)
    waiting = inbox.submit(signed)
    assert told(inbox) == [("waiting", "", None)]
    before = played.fixture.ledger.balances()
    played.play()
    ledger = played.fixture.ledger
    assert ledger.orders(2) == [signed]
    assert ledger.balances()[f"wallet:{BOB.public}"] == 5
    earned = sum(
        one.amount for one in ledger.postings(2) if (one.account, one.kind) == (signed.order.source, "emission")
    )
    assert ledger.balances()[signed.order.source] == before[signed.order.source] + earned - 5
    assert (told(inbox), waiting.exists()) == ([("settled", "", 2)], False)
    assert verify_ledger(ledger.path).errors == []
    assert audited().ok
    played.play()
    assert ledger.orders(3) == []


def test_a_rounds_pay_is_the_same_with_orders_and_without(open_game, tmp_path):
    """Scores, receipts and emission don't know of them."""
    emitted = []
    for name in ("with", "without"):
        with open_game(tmp_path / name, "honest=2", scoring={"vesting": 0}) as game:
            game.play()
            if name == "with":
                Inbox(game.fixture.store.root).submit(order_of(game, wallet_of(game)))
            game.play()
            postings = game.fixture.ledger.postings(2)
            emitted.append([one for one in postings if one.kind == "emission"])
            receipts = game.fixture.ledger.receipts(2)
            emitted[-1] += receipts
    assert emitted[0] == emitted[1]


def test_refused_orders_are_told_why_and_the_round_is_settled(played, inbox):
    """One that overdraws, one whose nonce leaves a gap, one of another ledger, one that isn't an order."""
    mine = wallet_of(played)
    overdraft = order_of(played, mine, amount=10**15)
    inbox.submit(overdraft)
    inbox.submit(order_of(played, mine, nonce=3))
    inbox.submit(order_of(played, wallet_of(played, 1), subnet="00" * 32))
    (inbox.folder / "junk.json").write_bytes(b"\xff{")
    (inbox.folder / "huge.json").write_bytes(b" " * 20_000)
    played.play()
    assert sorted(told(inbox)) == [
        ("refused", "malformed", 2),
        ("refused", "malformed", 2),
        ("refused", "nonce_gap", 2),
        ("refused", "other_subnet", 2),
        ("refused", "overdraft", 2),
    ]
    assert all(one.why for one in inbox.outcomes())
    assert [one.signed for one in inbox.outcomes() if one.reason == "overdraft"] == [overdraft]
    assert played.fixture.ledger.orders(2) == []
    assert played.fixture.ledger.height == 2


def test_a_crash_after_the_settlement_pays_nothing_twice(played, inbox, monkeypatch):
    """The ledger has the order, the file is still in the inbox: the next round finds that out."""
    inbox.submit(order_of(played, wallet_of(played), amount=5))
    with monkeypatch.context() as patch:
        patch.setattr("subnet.orders.Taken.close", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            played.play()
    assert (told(inbox), played.fixture.ledger.height) == ([("waiting", "", None)], 2)
    played.session.state = restore(played.fixture)
    played.play()
    assert told(inbox) == [("settled", "", 2)]
    assert played.fixture.ledger.balances()[f"wallet:{BOB.public}"] == 5


def test_a_crash_before_the_settlement_loses_no_order(played, inbox, monkeypatch):
    inbox.submit(order_of(played, wallet_of(played)))
    with monkeypatch.context() as patch:
        patch.setattr("tokenomics.ledger.store.write_round", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            played.play()
    assert told(inbox) == [("waiting", "", None)]
    played.play()
    assert told(inbox) == [("settled", "", 2)]


def test_an_order_handed_in_again_later_is_not_settled_again(played, inbox):
    signed = order_of(played, wallet_of(played))
    inbox.submit(signed)
    played.play()
    inbox.submit(signed)
    played.play()
    assert told(inbox) == [("settled", "", 2)]
    assert played.fixture.ledger.balances()[f"wallet:{BOB.public}"] == 1


def test_a_thief_of_a_hotkey_cant_spend_what_it_earned(played, inbox, audited, monkeypatch):
    """An enrolment for the thief's coldkey is well signed, but not the first; a validator that takes it is found."""
    stolen = wallet_of(played).hotkey.keypair
    binding = BOB.sign("hotkey-binding", stolen.public.encode())
    thief = Wallet(coldkey=BOB, hotkey=Hotkey(keypair=stolen, coldkey=BOB.public, binding=binding))
    said = Enrolment(
        subnet=played.scenario.spec.hash, hotkey=stolen.public, coldkey=BOB.public, binding=binding, challenge="x"
    )
    enrolment = sign_enrolment(said, thief.hotkey)
    title = Title(document=enrolment.document, signature=enrolment.signature)
    theft = order_of(played, thief, title=title)
    inbox.submit(theft)
    played.play()
    assert told(inbox) == [("refused", "not_owner", 2)]
    inbox.submit(theft)
    with monkeypatch.context() as patch:
        patch.setattr("subnet.orders._problem", lambda *_: None)
        played.play()
    assert played.fixture.ledger.orders(3) == [theft]
    assert verify_ledger(played.fixture.ledger.path).ok
    first = audited().first
    assert (first.layer, first.round, first.hotkey) == ("signatures", 3, stolen.public)
    assert (first.recorded, first.recomputed) == (BOB.public, wallet_of(played).coldkey.public)


def test_owner_and_validator_spend_by_the_coldkey_that_the_genesis_names(played, inbox):
    genesis = played.fixture.ledger.genesis
    own = Wallet.from_seed(seed_bytes("validator", played.scenario.seed))
    for nonce, account in enumerate((f"owner:{genesis.owner}", f"validator:{genesis.validator}"), start=1):
        inbox.submit(order_of(played, own, source=account, nonce=nonce))
    played.play()
    assert told(inbox) == [("settled", "", 2)] * 2


def test_once_claims_were_exported_no_order_is_settled(played, inbox, tmp_path):
    """What can be claimed on a chain isn't spent in the ledger too."""
    root, mine = played.fixture.store.root, wallet_of(played)
    binding = EvmBinding.sign(mine.coldkey, address="0x" + "1" * 40, chain_id=1, nonce=1)
    export_claims(root, [binding], out=tmp_path / "claims.json")
    inbox.submit(order_of(played, mine))
    played.play()
    assert told(inbox) == [("refused", "settled_on_chain", 2)]
    assert export_claims(root, [], out=tmp_path / "later.json").round == 2


def test_a_chain_can_be_chosen_before_anything_is_exported(played, inbox, tmp_path):
    """So that nobody's first order keeps a team from settling on its chain."""
    root, mine = played.fixture.store.root, wallet_of(played)
    choose_chain(root, 7)
    choose_chain(root, 7)
    with pytest.raises(SettlementError, match="settled on chain 7, not 8"):
        choose_chain(root, 8)
    inbox.submit(order_of(played, mine))
    played.play()
    assert told(inbox) == [("refused", "settled_on_chain", 2)]
    binding = EvmBinding.sign(mine.coldkey, address="0x" + "1" * 40, chain_id=7, nonce=1)
    assert export_claims(root, [binding], out=tmp_path / "claims.json").chain_id == 7
    with pytest.raises(RunError, match="no ledger"):
        choose_chain(tmp_path, 7)


def test_once_money_has_moved_no_claims_are_exported(played, inbox, tmp_path):
    root, mine = played.fixture.store.root, wallet_of(played)
    inbox.submit(order_of(played, mine))
    played.play()
    binding = EvmBinding.sign(mine.coldkey, address="0x" + "1" * 40, chain_id=1, nonce=1)
    with pytest.raises(SettlementError, match="moved money in this ledger since round 2"):
        export_claims(root, [binding], out=tmp_path / "claims.json")
    with pytest.raises(SettlementError, match="moved money"):
        choose_chain(root, 1)
    assert not (root / "settlement" / "book.json").exists()


def test_orders_wait_while_an_export_is_at_work(played, inbox):
    """And are settled by the round after it; the round itself waits for nobody."""
    inbox.submit(order_of(played, wallet_of(played)))
    with locked(played.fixture.store.root / "settlement"):
        played.play()
    assert (told(inbox), played.fixture.ledger.height) == ([("waiting", "", None)], 2)
    played.play()
    assert told(inbox) == [("settled", "", 3)]


def test_a_round_takes_so_many_orders_the_oldest_first(played, inbox, monkeypatch):
    monkeypatch.setattr("subnet.orders.MAX_ORDERS", 2)
    mine = wallet_of(played)
    for nonce in (1, 2, 3):
        path = inbox.submit(order_of(played, mine, nonce=nonce))
        os.utime(path, (1_000 + nonce, 1_000 + nonce))
    played.play()
    assert sorted(told(inbox)) == [("settled", "", 2), ("settled", "", 2), ("waiting", "", None)]
    played.play()
    assert sorted(told(inbox)) == [("settled", "", 2), ("settled", "", 2), ("settled", "", 3)]


def test_what_is_no_plain_file_holds_nobody_up(played, inbox, tmp_path):
    """A pipe would be waited at for ever; a link could show a file that isn't for anybody's eyes."""
    inbox.folder.mkdir()
    os.mkfifo(inbox.folder / "pipe.json")
    (inbox.folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (inbox.folder / "folder.json").mkdir()
    inbox.submit(order_of(played, wallet_of(played)))
    played.play()
    assert told(inbox) == [("settled", "", 2)]


def test_a_file_that_cant_be_moved_stays_and_is_told(played, inbox, caplog, monkeypatch):
    """The ledger has the order all the same, and nothing stops the run."""
    inbox.submit(order_of(played, wallet_of(played)))
    with monkeypatch.context() as patch:
        patch.setattr("subnet.orders.replace_atomically", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
        played.play()
    assert "can't be moved to the settled ones" in caplog.text
    assert told(inbox) == [("waiting", "", None)]
    played.play()
    assert told(inbox) == [("settled", "", 2)]


def test_an_outcome_that_was_altered_is_named(played, inbox):
    inbox.submit(order_of(played, wallet_of(played)))
    played.play()
    [path] = (inbox.folder / "settled").glob("*.json")
    assert json.loads(path.read_bytes())["round"] == 2
    path.write_text("{}")
    with pytest.raises(StoreError, match="can't be read"):
        inbox.outcomes()


def test_an_order_whose_hotkey_enrolled_with_nobody_is_refused(played, inbox):
    """A well-signed enrolment that the run doesn't keep isn't enough."""
    mine = wallet_of(played)
    signed = order_of(played, mine)
    (played.fixture.store.root / "enrolments" / f"{mine.hotkey.keypair.public}.json").unlink()
    inbox.submit(signed)
    played.play()
    assert told(inbox) == [("refused", "not_owner", 2)]


def test_later_orders_of_an_account_need_no_title(played, inbox):
    mine = wallet_of(played)
    inbox.submit(order_of(played, mine))
    played.play()
    inbox.submit(replace(order_of(played, mine, nonce=2), title=None))
    played.play()
    assert sorted(told(inbox)) == [("settled", "", 2), ("settled", "", 3)]
    with Ledger.open(played.fixture.ledger.path, read_only=True) as again:
        assert again.book().holders == {mine.hotkey.keypair.public: mine.coldkey.public}
