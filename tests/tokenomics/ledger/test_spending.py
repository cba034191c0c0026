"""Which orders apply: never what isn't the coldkey's, never twice, never more than there is."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.owners import (
    ALICE,
    BOB,
    CAROL,
    drawn_order,
    escrow,
    order_of,
    participant,
    purse,
    title_of,
)
from tokenomics.keys import Hotkey, Keypair, Wallet
from tokenomics.ledger import Book, Genesis, SignedOrder, refusal
from tokenomics.ledger.spending import spend

Make = Callable[..., Any]


@pytest.fixture
def genesis(make_genesis: Make) -> Genesis:
    found: Genesis = make_genesis(owner=CAROL.coldkey.public)
    return found


@pytest.fixture
def book(genesis: Genesis) -> Book:
    """Alice and Bob have earned 100 each, owner and validator too; Alice has 50 in her wallet and 20 pending."""
    own = {
        participant(ALICE): 100,
        participant(BOB): 100,
        purse(ALICE): 50,
        f"pending:{ALICE.hotkey.keypair.public}": 20,
    }
    theirs = {f"owner:{genesis.owner}": 100, f"validator:{genesis.validator}": 100}
    return Book(balances={"issuance": -470, **own, **theirs})


def reason_of(genesis: Genesis, book: Book, signed: SignedOrder, *, number: int = 5) -> str:
    found = refusal(genesis, book, signed, round=number)
    return "" if found is None else found.reason


def test_the_owner_of_an_account_moves_what_is_in_it(genesis: Genesis, book: Book) -> None:
    for changes in (
        {},
        {"amount": 100},
        {"source": purse(ALICE)},
        {"destination": participant(BOB)},
        {"destination": f"owner:{genesis.owner}"},
        {"kind": "burn", "destination": "burn"},
        {"kind": "stake", "destination": escrow(ALICE, genesis)},
        {"expires": 5},
    ):
        assert reason_of(genesis, book, order_of(ALICE, genesis, **changes)) == ""
    for account in (f"owner:{genesis.owner}", f"validator:{genesis.validator}"):
        assert reason_of(genesis, book, order_of(CAROL, genesis, source=account)) == ""


def test_an_order_that_doesnt_apply_is_refused_with_its_reason(genesis: Genesis, book: Book) -> None:
    pending = f"pending:{ALICE.hotkey.keypair.public}"
    refused = {
        "other_subnet": {"subnet": digest("another ledger")},
        "expired": {"expires": 4},
        "nonce_gap": {"nonce": 2},
        "not_spendable": {"source": pending},
        "not_owner": {"source": purse(BOB)},
        "unknown_account": {"destination": f"participant:{digest('nobody')}"},
        "unknown_validator": {
            "kind": "stake",
            "destination": f"escrow:{BOB.hotkey.keypair.public}:{ALICE.coldkey.public}",
        },
        "overdraft": {"amount": 101},
    }
    for reason, changes in refused.items():
        found = refusal(genesis, book, order_of(ALICE, genesis, **changes), round=5)
        assert found is not None
        assert (found.reason, bool(found.message)) == (reason, True)


@pytest.mark.parametrize(
    "source", ["issuance", "burn", "owner:somebody", "validator:" + "00" * 32, "x", "participant:ab"]
)
def test_nobody_spends_what_is_nobodys(genesis: Genesis, book: Book, source: str) -> None:
    assert reason_of(genesis, book, order_of(CAROL, genesis, source=source)) == "not_spendable"


@pytest.mark.parametrize("destination", ["issuance", "burn", "x", "wallet:ab", "pending:" + "00" * 32, "escrow:a:b"])
def test_a_transfer_goes_where_somebody_can_spend_it(genesis: Genesis, book: Book, destination: str) -> None:
    assert reason_of(genesis, book, order_of(ALICE, genesis, destination=destination)) == "unknown_account"


def test_an_owner_that_is_a_name_spends_nothing(make_genesis: Make, book: Book) -> None:
    named = make_genesis(owner="team")
    for account in ("owner:team", f"validator:{named.validator}"):
        assert reason_of(named, book, order_of(ALICE, named, source=account)) == "not_spendable"


def test_owner_and_validator_are_the_owners_alone(genesis: Genesis, book: Book) -> None:
    for account in (f"owner:{genesis.owner}", f"validator:{genesis.validator}"):
        assert reason_of(genesis, book, order_of(ALICE, genesis, source=account)) == "not_owner"


def test_a_signature_that_doesnt_hold_is_refused(genesis: Genesis, book: Book) -> None:
    signed = order_of(ALICE, genesis)
    forged = replace(signed, order=replace(signed.order, amount=11))
    assert reason_of(genesis, book, forged) == "bad_signature"
    other_domain = ALICE.coldkey.sign("message", b"x")
    assert reason_of(genesis, book, replace(signed, signature=other_domain)) == "bad_signature"


def test_a_replayed_order_is_refused(genesis: Genesis, book: Book) -> None:
    """In the same round and later."""
    signed = order_of(ALICE, genesis)
    spent = spend(genesis, book, [signed, signed], round=5)
    assert ([one.order.nonce for one in spent.applied], [one.reason for one in spent.refused]) == ([1], ["nonce_used"])
    book.enter(spent.movements, spent.applied)
    assert reason_of(genesis, book, signed) == "nonce_used"
    assert reason_of(genesis, book, order_of(ALICE, genesis, nonce=2)) == ""


def test_two_orders_that_together_overdraw_are_not_both_settled(genesis: Genesis, book: Book) -> None:
    first, second = (order_of(ALICE, genesis, amount=60, nonce=nonce) for nonce in (1, 2))
    spent = spend(genesis, book, [second, first], round=5)
    assert (spent.applied, [one.reason for one in spent.refused]) == ((first,), ["overdraft"])


def test_an_order_after_one_that_is_left_out_is_left_out_too(genesis: Genesis, book: Book) -> None:
    """A gap is a gap: nothing is settled out of turn."""
    orders = [order_of(ALICE, genesis, amount=amount, nonce=nonce) for nonce, amount in ((1, 101), (2, 5))]
    spent = spend(genesis, book, orders, round=5)
    assert (spent.applied, [one.reason for one in spent.refused]) == ((), ["overdraft", "nonce_gap"])


def test_what_is_received_can_be_sent_on_in_the_same_round(genesis: Genesis, book: Book) -> None:
    orders = [
        order_of(ALICE, genesis, destination=purse(ALICE), amount=100),
        order_of(ALICE, genesis, source=purse(ALICE), amount=150, nonce=2),
    ]
    assert spend(genesis, book, orders, round=5).refused == ()


def test_staked_money_comes_back_and_no_more_than_it(genesis: Genesis, book: Book) -> None:
    mine = escrow(ALICE, genesis)
    orders = [
        order_of(ALICE, genesis, kind="stake", destination=mine, amount=30),
        order_of(ALICE, genesis, kind="unstake", source=mine, destination=purse(ALICE), amount=20, nonce=2),
        order_of(ALICE, genesis, kind="unstake", source=mine, destination=purse(ALICE), amount=11, nonce=3),
    ]
    spent = spend(genesis, book, orders, round=5)
    assert [one.reason for one in spent.refused] == ["overdraft"]
    book.enter(spent.movements, spent.applied)
    assert (book.balances[mine], book.balances[purse(ALICE)]) == (10, 70)


def test_a_coldkey_cant_claim_another_hotkeys_account(genesis: Genesis, book: Book) -> None:
    """Neither with its own binding nor with an enrolment that it signed itself or that names somebody else."""
    alices = participant(ALICE)
    cases = {
        "bad_title": [
            title_of(BOB),
            title_of(BOB, hotkey=ALICE.hotkey.keypair.public),
            title_of(ALICE, subnet="0" * 64),
        ],
        "not_owner": [title_of(ALICE)],
    }
    for reason, titles in cases.items():
        for title in titles:
            assert reason_of(genesis, book, order_of(BOB, genesis, source=alices, title=title)) == reason
    signed = order_of(BOB, genesis, source=alices, title=title_of(ALICE))
    assert reason_of(genesis, book, replace(signed, title=None)) == "no_title"


def test_the_first_order_says_once_and_for_all_whose_an_account_is(genesis: Genesis, book: Book) -> None:
    """Later ones need no title, and whoever steals the hotkey can't sign it over to another coldkey any more."""
    first = order_of(ALICE, genesis)
    spent = spend(genesis, book, [first], round=5)
    book.enter(spent.movements, spent.applied)
    second = replace(order_of(ALICE, genesis, nonce=2), title=None)
    assert reason_of(genesis, book, second) == ""
    stolen = ALICE.hotkey.keypair
    binding = BOB.coldkey.sign("hotkey-binding", stolen.public.encode())
    thief = Wallet(coldkey=BOB.coldkey, hotkey=Hotkey(keypair=stolen, coldkey=BOB.coldkey.public, binding=binding))
    assert title_of(thief).holder(hotkey=stolen.public, spec_hash=genesis.spec_hash) == BOB.coldkey.public
    assert reason_of(genesis, book, order_of(thief, genesis)) == "not_owner"


def test_a_rotated_hotkey_leaves_both_accounts_with_the_coldkey(genesis: Genesis, book: Book) -> None:
    """One nonce for all accounts of a coldkey."""
    pair = Keypair.from_seed(bytes([7] * 32))
    binding = ALICE.coldkey.sign("hotkey-binding", pair.public.encode())
    hotkey = Hotkey(keypair=pair, coldkey=ALICE.coldkey.public, binding=binding)
    rotated = Wallet(coldkey=ALICE.coldkey, hotkey=hotkey)
    book.balances[participant(rotated)] = 40
    orders = [order_of(ALICE, genesis), order_of(rotated, genesis, nonce=2)]
    assert len(spend(genesis, book, orders, round=5).applied) == 2
    both = [order_of(ALICE, genesis), order_of(rotated, genesis, nonce=1)]
    assert len(spend(genesis, book, both, round=5).applied) == 1


def test_a_copied_book_says_the_same_and_changes_alone(genesis: Genesis, book: Book) -> None:
    book.enter((), [order_of(ALICE, genesis)])
    copied = book.copy()
    assert copied == book
    copied.enter([("burn", "burn", 1)], [order_of(BOB, genesis)])
    for name in ("balances", "nonces", "holders"):
        assert getattr(copied, name) != getattr(book, name)


def test_a_book_grows_by_what_later_rounds_have_changed() -> None:
    """Amounts are added up; the later nonce and holder count."""
    book = Book(balances={"a": 5, "b": 1}, nonces={"x": 1, "y": 2}, holders={"h": "x"})
    book.grow(Book(balances={"a": -2, "c": 4}, nonces={"x": 3}, holders={"g": "y"}))
    assert book.balances == {"a": 3, "b": 1, "c": 4}
    assert (book.nonces, book.holders) == ({"x": 3, "y": 2}, {"h": "x", "g": "y"})


def test_what_is_in_the_book_stays_as_it_was(genesis: Genesis, book: Book) -> None:
    before = book.copy()
    spend(genesis, book, [order_of(ALICE, genesis)], round=5)
    assert book == before


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_whatever_is_ordered_nothing_is_made_lost_or_overdrawn(
    genesis: Genesis, book: Book, data: st.DataObject
) -> None:
    """Over some rounds of random orders, good and bad; every order is applied once or refused, and never both."""
    book = book.copy()
    total, nonces, settled = sum(book.balances.values()), Counter[str](), Counter[bytes]()
    for number in range(1, data.draw(st.integers(1, 4)) + 1):
        orders = [drawn_order(genesis, data) for _ in range(data.draw(st.integers(0, 6)))]
        spent = spend(genesis, book, orders, round=number)
        assert len(spent.applied) + len(spent.refused) == len(orders)
        book.enter(spent.movements, spent.applied)
        for signed in spent.applied:
            nonces[signed.order.coldkey] += 1
            settled[signed.leaf] += 1
            assert signed.order.nonce == nonces[signed.order.coldkey]
    assert sum(book.balances.values()) == total
    assert all(amount >= 0 for account, amount in book.balances.items() if account != "issuance")
    assert book.balances["issuance"] == -470
    assert max(settled.values(), default=1) == 1
