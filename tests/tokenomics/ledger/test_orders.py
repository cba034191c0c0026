"""Orders in a real ledger: settled with their round or not at all, and no forged one is found sound."""
# ruff: noqa: S608 - the statements are the tests' own

import contextlib
import hashlib
import json
import re
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenomics.ledger.database import Database
from tests.tokenomics.ledger.owners import (
    ALICE,
    BOB,
    CAROL,
    drawn_order,
    entry,
    escrow,
    order_of,
    participant,
    purse,
    settle_orders,
    settlement,
)
from tokenomics import Shares, SupplySchedule
from tokenomics.canonical import canonical_json
from tokenomics.errors import LedgerError, ProofError, TokenomicsError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Genesis,
    Ledger,
    OrderFacts,
    PaymentFacts,
    Refusal,
    checkpoint_path,
    copy_ledger,
    prove_order,
    prove_payment,
    verify_ledger,
    verify_proof,
)
from tokenomics.ledger.order import MAX_ORDERS

Make = Callable[..., Any]


@pytest.fixture
def genesis(make_genesis: Make) -> Genesis:
    found: Genesis = make_genesis(owner=CAROL.coldkey.public)
    return found


@pytest.fixture
def played(database: Database, tmp_path: Path, validator: Keypair, genesis: Genesis) -> Path:
    return settle_orders(tmp_path / "ledger.sqlite", genesis, validator, create=database.create)


def test_a_ledger_without_orders_has_the_bytes_that_it_always_had(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Head, log and dump as the version before orders wrote them."""
    with database.create(tmp_path / "ledger.sqlite", make_genesis(vesting=2), validator) as ledger:
        for number in range(1, 7):
            struck = ("bob",) if number == 5 else ()
            ledger.settle(make_settlement(number, pays=number != 4, struck=struck), validator)
        assert ledger.head == "8be56415b0c80b12727d0ce3d595b211f03745723f67ecf332c8fec643993207"
        assert ledger.checkpoint.tree.root == "f04625f436ad0b158dc8a746717417ac63d7829941f2a2fa095c263e01e91cfd"
        dump = hashlib.sha256(b"".join(ledger.dump())).hexdigest()
        assert dump == "0d89a2b4acd357a5b3ccc9821a35895e85cf108f78de6c5c33b7a41ebca06bbb"


def test_orders_move_money_and_the_ledger_verifies(played: Path, genesis: Genesis) -> None:
    assert verify_ledger(played).errors == []
    with Ledger.open(played) as ledger:
        balances = ledger.balances()
        pay = [273, 273, 137, 137, 69]
        moved = [[one.order.kind for one in ledger.orders(number)] for number in range(1, 6)]
    assert sum(balances.values()) == 0
    assert balances[participant(ALICE)] == sum(pay) - 10 - 50 - 5
    assert (balances[purse(CAROL)], balances[escrow(ALICE, genesis)], balances["burn"]) == (10, 30, 5)
    assert balances[purse(ALICE)] == 7 + 20
    assert (moved[0], sorted(moved[1]), moved[2:]) == (
        [],
        ["stake", "transfer", "transfer"],
        [["unstake"], [], ["burn"]],
    )


def test_the_dump_tells_the_orders_and_a_replay_gives_the_same_bytes(
    database: Database, played: Path, tmp_path: Path, genesis: Genesis, validator: Keypair
) -> None:
    """Whatever order they were handed in, and over a restart before every round."""
    again = tmp_path / "again.sqlite"
    database.create(again, genesis, validator).close()
    with Ledger.open(played, read_only=True) as first:
        for number in range(1, 6):
            with Ledger.open(again) as second:
                second.settle(settlement(number, *reversed(first.orders(number))), validator)
        with Ledger.open(again) as second:
            assert list(first.dump()) == list(second.dump())
        lines = [json.loads(line) for line in first.dump()]
    assert ["orders" in line for line in lines] == [False, False, True, True, False, True]
    assert lines[2]["round"]["orders_root"]
    assert "orders_root" not in lines[1]["round"]


def test_what_doesnt_apply_is_left_out_and_told_and_the_rest_is_settled(
    played: Path, genesis: Genesis, validator: Keypair
) -> None:
    """The round is settled all the same, with nothing of the refused order in it."""
    told: list[Refusal] = []
    good = order_of(BOB, genesis, nonce=2, amount=3)
    bad = order_of(ALICE, genesis, nonce=5, amount=10**6)
    with Ledger.open(played) as ledger:
        before = ledger.balances()
        ledger.settle(settlement(6, bad, good, pays=False), validator, on_refused=told.append)
        assert ledger.orders(6) == [good]
        assert [(one.signed, one.reason) for one in told] == [(bad, "overdraft")]
        after = ledger.balances()
    assert {account: after[account] - before[account] for account in after if after[account] != before[account]} == {
        participant(BOB): -3,
        purse(CAROL): 3,
    }
    assert verify_ledger(played).errors == []


def test_an_order_is_settled_once_whatever_is_handed_in_again(
    played: Path, genesis: Genesis, validator: Keypair
) -> None:
    """As after a crash between the settlement and the note of it: the ledger knows the round."""
    told: list[Refusal] = []
    with Ledger.open(played) as ledger:
        old = [one for number in range(1, 6) for one in ledger.orders(number)]
        ledger.settle(settlement(6, *old, pays=False), validator, on_refused=told.append)
        assert ledger.postings(6) == []
        assert sorted(ledger.round_of(one) or 0 for one in old) == [2, 2, 2, 3, 5]
        assert ledger.round_of(order_of(ALICE, genesis, nonce=4)) is None
        assert ledger.round_of(order_of(ALICE, genesis, nonce=9)) is None
    assert [one.reason for one in told] == ["nonce_used"] * 5


def test_two_handles_on_one_ledger_judge_by_the_same_book(played: Path, genesis: Genesis, validator: Keypair) -> None:
    """What one remembers is brought up to what the other has settled."""
    with Ledger.open(played) as first, Ledger.open(played) as second:
        first.settle(settlement(6, order_of(ALICE, genesis, nonce=5)), validator)
        second.settle(settlement(7, order_of(ALICE, genesis, nonce=6)), validator)
        told: list[Refusal] = []
        again = order_of(ALICE, genesis, nonce=6, amount=1)
        first.settle(settlement(8, again, order_of(ALICE, genesis, nonce=7)), validator, on_refused=told.append)
        assert ([one.reason for one in told], len(first.orders(8))) == (["nonce_used"], 1)
        assert first.book().nonces[ALICE.coldkey.public] == 7
    assert verify_ledger(played).errors == []


def test_what_one_handle_has_settled_it_counts_once(played: Path, genesis: Genesis, validator: Keypair) -> None:
    """Alice has 824 after round 5: with one more than that she is refused, round after round, and 824 she can move."""
    told: list[Refusal] = []
    with Ledger.open(played) as ledger:
        for number in (6, 7, 8):
            over = order_of(ALICE, genesis, nonce=5, amount=825)
            ledger.settle(settlement(number, over, pays=False), validator, on_refused=told.append)
        assert [one.reason for one in told] == ["overdraft"] * 3
        ledger.settle(settlement(9, order_of(ALICE, genesis, nonce=5, amount=824), pays=False), validator)
        assert len(ledger.orders(9)) == 1
    assert verify_ledger(played).errors == []


@pytest.mark.only("sqlite")
def test_an_open_ledger_that_is_put_back_to_an_earlier_state_forgets_what_came_after(
    played: Path, genesis: Genesis, validator: Keypair
) -> None:
    """As by a backup that is restored below it: the nonces of later rounds are free again, all pay before is known."""
    first = order_of(ALICE, genesis, nonce=5, amount=824)
    with Ledger.open(played) as ledger, contextlib.closing(sqlite3.connect(":memory:")) as kept:
        with contextlib.closing(sqlite3.connect(played)) as raw:
            raw.backup(kept)
        ledger.settle(settlement(6, first, pays=False), validator)
        ledger.settle(settlement(7, order_of(BOB, genesis, nonce=2)), validator)
        with contextlib.closing(sqlite3.connect(played)) as raw:
            kept.backup(raw)
        assert ledger.height == 5
        ledger.settle(settlement(6, first, pays=False), validator)
        assert ledger.orders(6) == [first]
        ledger.settle(settlement(7), validator)
    result = verify_ledger(played)
    assert (result.rounds, result.errors) == (7, [])


def test_released_pay_can_be_spent_in_the_round_of_its_release_and_no_sooner(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    """Releases and voids come before orders."""
    vesting = make_genesis(vesting=2)
    path = tmp_path / "ledger.sqlite"
    told: list[Refusal] = []
    with database.create(path, vesting, validator) as ledger:
        ledger.settle(settlement(1), validator)
        ledger.settle(settlement(2, order_of(ALICE, vesting)), validator, on_refused=told.append)
        struck = (entry(3, ALICE, 20), entry(3, BOB, 0, struck=True))
        both = (order_of(ALICE, vesting), order_of(BOB, vesting))
        ledger.settle(settlement(3, *both, entries=struck), validator, on_refused=told.append)
        assert [one.order.coldkey for one in ledger.orders(3)] == [ALICE.coldkey.public]
    assert [(one.signed.order.coldkey, one.reason) for one in told] == [
        (ALICE.coldkey.public, "overdraft"),
        (BOB.coldkey.public, "overdraft"),
    ]
    assert verify_ledger(path).errors == []


def test_a_round_has_only_so_many_orders(genesis: Genesis) -> None:
    signed = order_of(ALICE, genesis)
    with pytest.raises(LedgerError, match=f"{MAX_ORDERS + 1} orders, more than {MAX_ORDERS}"):
        settlement(1, *[signed] * (MAX_ORDERS + 1))


def test_a_payments_proof_shows_what_was_transferred(played: Path) -> None:
    hotkey = ALICE.hotkey.keypair.public
    with Ledger.open(played) as ledger:
        facts = verify_proof(json.loads(json.dumps(prove_payment(ledger, 2, hotkey))), ledger.key)
    assert isinstance(facts, PaymentFacts)
    assert {(kind, amount) for _, kind, amount in facts.movements} == {
        ("emission", 273),
        ("transfer", -10),
        ("stake", -50),
    }


def copied(number: int, *, amount: str = "amount", nonce: str = "nonce", expires: str = "expires") -> str:
    """The statement that enters the order of round 3 in another round, too."""
    values = f"{number}, 0, kind, coldkey, source, destination, {amount}, {nonce}, {expires}"
    return f"INSERT INTO orders SELECT {values}, signature, title, title_signature FROM orders WHERE round = 3"


def test_an_orders_proof_holds_with_the_validators_key_alone(played: Path) -> None:
    """And shows what was signed; a changed amount, round or path, another log's key and a stranger's order don't."""
    coldkey = ALICE.coldkey.public
    with Ledger.open(played) as ledger:
        proof, key = json.loads(json.dumps(prove_order(ledger, coldkey, 1))), ledger.key
        signed = ledger.find_order(coldkey, 1)
        with pytest.raises(LedgerError, match="no order 9 of coldkey"):
            prove_order(ledger, coldkey, 9)
        stakes = prove_order(ledger, coldkey, 2)
        other = json.loads(json.dumps(prove_payment(ledger, 4, ALICE.hotkey.keypair.public)))
    facts = verify_proof(proof, key)
    assert isinstance(facts, OrderFacts)
    assert signed == (2, replace(signed[1], order=facts.order))
    assert (facts.round, facts.size, facts.order.amount) == (2, 6, 10)
    forged = json.loads(json.dumps(proof))
    forged["order"]["entry"]["order"]["amount"] = 11
    for changed in (
        forged,
        proof | {"order": stakes["order"] | {"index": proof["order"]["index"]}},
        proof | {"round": other["round"], "path": other["path"]},
        proof | {"order": None},
        proof | {"order": other["receipt"]},
        proof | {"path": None},
        proof | {"more": 1},
    ):
        with pytest.raises(ProofError):
            verify_proof(changed, key)
    with pytest.raises(ProofError):
        verify_proof(proof, replace(key, public=BOB.hotkey.keypair.public))


SOURCE, TARGET = participant(ALICE), purse(CAROL)
FORGERIES = {
    "an amount raised everywhere": (
        [
            f"UPDATE orders SET amount = 11 WHERE round = 2 AND destination = '{TARGET}'",
            f"UPDATE postings SET amount = amount + 1 WHERE round = 2 AND account = '{TARGET}'",
            "UPDATE postings SET amount = amount - 1 WHERE round = 2 AND kind = 'transfer' AND amount = -10",
        ],
        "the signature isn't that of coldkey",
    ),
    "another destination": (
        [
            f"UPDATE orders SET destination = '{purse(BOB)}' WHERE round = 2 AND destination = '{TARGET}'",
            f"UPDATE postings SET account = '{purse(BOB)}' WHERE round = 2 AND account = '{TARGET}'",
        ],
        "the signature isn't that of coldkey",
    ),
    "an order gone": (["DELETE FROM orders WHERE round = 5"], "round 5: orders_root is"),
    "an order and its postings gone": (
        ["DELETE FROM orders WHERE round = 5", "DELETE FROM postings WHERE round = 5 AND kind = 'burn'"],
        "round 5: orders_root is",
    ),
    "an order moved to a later round": (
        ["UPDATE orders SET round = 4 WHERE round = 3"],
        "round 3: orders_root is",
    ),
    "an order settled a second time": (
        [
            copied(4, nonce="9"),
        ],
        "round 4: order 9 of coldkey",
    ),
    "an order of a round to come": (
        ["UPDATE orders SET round = 9 WHERE round = 5"],
        "round 9: orders of a round that was never settled",
    ),
    "two orders that changed places": (
        [
            "UPDATE orders SET position = position + 10 WHERE round = 2",
            "UPDATE orders SET position = 12 - position WHERE round = 2",
        ],
        "round 2: its head is",
    ),
    "a title of somebody else": (
        ["UPDATE orders SET title = replace(title, '\"7\"', '\"8\"') WHERE round = 5"],
        "its title isn't an enrolment of hotkey",
    ),
    "a title gone": (
        ["UPDATE orders SET title = '', title_signature = '' WHERE round = 5"],
        "round 5: its head is",
    ),
    "a title's signature gone": (
        ["UPDATE orders SET title_signature = '' WHERE round = 5"],
        "round 5: the title's signature isn't one",
    ),
    "a negative amount": (["UPDATE orders SET amount = -5 WHERE round = 5"], "amount is -5"),
    "a longer life": (["UPDATE orders SET expires = expires + 1 WHERE round = 5"], "the signature isn't"),
    "a posting of no order": (
        [
            f"INSERT INTO postings VALUES (4, 90, '{SOURCE}', 'transfer', -5)",
            f"INSERT INTO postings VALUES (4, 91, '{TARGET}', 'transfer', 5)",
        ],
        f"round 4: {SOURCE} has -5 (posting 90) of transfer, due nothing",
    ),
    "another root": ([f"UPDATE rounds SET orders_root = '{'00' * 32}' WHERE round = 5"], "round 5: orders_root is"),
    "a root that is none": (["UPDATE rounds SET orders_root = 'x' WHERE round = 5"], "orders_root is 'x'"),
    "a root where there is no order": (
        [f"UPDATE rounds SET orders_root = '{'00' * 32}' WHERE round = 4"],
        "round 4: orders_root is",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_order_is_named(played: Path, tamper: Make, forgery: str) -> None:
    """The triggers are back in place, so nothing but the content gives it away."""
    statements, message = FORGERIES[forgery]
    tamper(played, *statements)
    result = verify_ledger(played)
    assert any(message in error for error in result.errors), result.errors


def test_the_first_order_of_all_may_spend_what_several_rounds_before_it_paid(
    database: Database, tmp_path: Path, genesis: Genesis, validator: Keypair
) -> None:
    """Alice has 273, 273 and 137 by then: those who verify read it all, too."""
    path = tmp_path / "ledger.sqlite"
    with database.create(path, genesis, validator) as ledger:
        ledger.settle(settlement(1), validator)
        ledger.settle(settlement(2), validator)
        ledger.settle(settlement(3, order_of(ALICE, genesis, amount=683)), validator)
        assert ledger.balances()[purse(CAROL)] == 683
    assert verify_ledger(path).errors == []


def test_of_an_accounts_transfers_in_one_round_the_wrong_one_is_named(
    played: Path, genesis: Genesis, validator: Keypair, tamper: Make
) -> None:
    with Ledger.open(played) as ledger:
        both = [order_of(ALICE, genesis, nonce=nonce, amount=nonce) for nonce in (5, 6)]
        ledger.settle(settlement(6, *both, pays=False), validator)
    tamper(played, f"UPDATE postings SET amount = 8 WHERE round = 6 AND account = '{TARGET}' AND amount = 5")
    named = [error for error in verify_ledger(played).errors if "due" in error]
    assert named == [f"round 6: {TARGET} has 8 (posting 1) of transfer, due 5 (posting 1)"]


@pytest.mark.only("sqlite")
def test_text_for_an_amount_beside_orders_is_named_and_does_no_harm(played: Path, tamper: Make) -> None:
    """As a table without strict types can hold it: what orders are judged by is summed without it."""
    with contextlib.closing(sqlite3.connect(played, isolation_level=None)) as raw:
        raw.execute("PRAGMA writable_schema = ON")
        [(sql,)] = raw.execute("SELECT sql FROM sqlite_schema WHERE name = 'postings'")
        lax = re.sub(r",?\s*STRICT\s*$", "", sql)
        raw.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'postings'", [lax])
    tamper(played, "UPDATE postings SET amount = 'much' WHERE round = 3 AND position = 1")
    errors = verify_ledger(played).errors
    assert errors[0] == "schema: table postings isn't STRICT"
    assert any("round 3: amount is 'much', not an integer" in error for error in errors)


def test_a_validator_that_settles_a_forged_order_and_signs_it_is_found(
    played: Path, genesis: Genesis, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It spends what isn't its own, by a signature that doesn't hold: chain, sums and checkpoint are all in order."""
    theft = order_of(ALICE, genesis, nonce=5, amount=100)
    forged = replace(theft, order=replace(theft.order, destination=purse(BOB)))
    with Ledger.open(played) as ledger, monkeypatch.context() as patch:
        patch.setattr("tokenomics.ledger.spending.SignedOrder.is_signed", property(lambda _self: True))
        ledger.settle(settlement(6, forged), validator)
    result = verify_ledger(played)
    assert any("round 6: order 5 of coldkey" in error and "signature" in error for error in result.errors)
    assert result.log_errors == []


def test_a_validator_that_overdraws_and_signs_it_is_found(
    played: Path, genesis: Genesis, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(played) as ledger, monkeypatch.context() as patch:
        patch.setattr("tokenomics.ledger.spending._in_funds", lambda *_: None)
        ledger.settle(settlement(6, order_of(ALICE, genesis, nonce=5, amount=10**6)), validator)
    errors = verify_ledger(played).errors
    coldkey = ALICE.coldkey.public
    assert any(error.startswith(f"round 6: order 5 of coldkey {coldkey[:12]}: ") for error in errors)
    assert any("base units, not 1000000" in error for error in errors)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (f"INSERT INTO postings VALUES (6, 0, '{SOURCE}', 'transfer', -5)", "moves by an order of its owner"),
        (f"INSERT INTO postings VALUES (6, 0, '{SOURCE}', 'gift', -5)", "(?i)check constraint"),
        (copied(3, nonce="5"), "sealed"),
        ("UPDATE orders SET amount = 1", "append-only"),
        ("DELETE FROM orders", "append-only"),
        (
            copied(6),
            "follow its nonces",
        ),
        (
            copied(6, amount="0", nonce="5"),
            "(?i)check constraint",
        ),
        (
            copied(6, nonce="5", expires="5"),
            "(?i)check constraint",
        ),
    ],
)
def test_other_programs_cant_write_what_breaks_a_rule(
    database: Database, played: Path, statement: str, reason: str
) -> None:
    with pytest.raises(database.refused, match=reason):
        database.run(played, statement)


def test_a_copy_of_a_ledger_has_its_orders(played: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    copy_ledger(played, copy)
    with Ledger.open(played, read_only=True) as first, Ledger.open(copy, read_only=True) as second:
        assert list(first.dump()) == list(second.dump())
    assert verify_ledger(copy).errors == []


@pytest.mark.only("sqlite")
def test_the_triggers_find_pay_by_the_primary_key(played: Path) -> None:
    """Else a round of releases would be searched from its start for each of them."""
    query = "SELECT 1 FROM postings WHERE round = 2 AND account = 'x' AND kind = 'release' AND amount = 5"
    with contextlib.closing(sqlite3.connect(played)) as raw:
        [(*_, plan)] = raw.execute(f"EXPLAIN QUERY PLAN {query}")
    assert "USING PRIMARY KEY (round=? AND account=? AND kind=?)" in plan


def test_a_settlement_that_fails_moves_nothing_and_may_be_tried_again(
    played: Path, genesis: Genesis, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash in the middle of the transaction: no order is half settled, nor remembered as settled."""
    signed = order_of(ALICE, genesis, nonce=5)

    def crash(*_: object) -> None:
        raise TokenomicsError("crash")

    with Ledger.open(played) as ledger:
        before = (ledger.head, ledger.balances())
        with monkeypatch.context() as patch:
            patch.setattr("tokenomics.ledger.store.write_round", crash)
            with pytest.raises(TokenomicsError, match="crash"):
                ledger.settle(settlement(6, signed), validator)
        assert (ledger.head, ledger.balances()) == before
        ledger.settle(settlement(6, signed), validator)
        assert ledger.orders(6) == [signed]
    assert verify_ledger(played).errors == []
    assert checkpoint_path(played).exists()


@pytest.mark.only("sqlite")
@settings(suppress_health_check=list(HealthCheck), deadline=None, max_examples=20)
@given(data=st.data())
def test_whatever_is_ordered_the_ledger_verifies_and_nobody_is_overdrawn(
    database: Database,
    tmp_path_factory: pytest.TempPathFactory,
    make_genesis: Make,
    validator: Keypair,
    data: st.DataObject,
) -> None:
    """Rounds that pay, release, void and settle random orders, good and bad, with a restart between them."""
    genesis = make_genesis(owner=CAROL.coldkey.public, vesting=data.draw(st.integers(0, 2)))
    path = tmp_path_factory.mktemp("drawn") / "ledger.sqlite"
    database.create(path, genesis, validator).close()
    n_settled = 0
    for number in range(1, data.draw(st.integers(2, 6)) + 1):
        struck = data.draw(st.integers(0, 5)) == 0
        entries = (entry(number, ALICE, 0 if struck else 20, struck=struck), entry(number, BOB, 10))
        orders = [drawn_order(genesis, data) for _ in range(data.draw(st.integers(0, 5)))]
        refused: list[Refusal] = []
        with Ledger.open(path) as ledger:
            ledger.settle(settlement(number, *orders, entries=entries), validator, on_refused=refused.append)
            assert len(ledger.orders(number)) + len(refused) == len(orders)
            balances, n_settled = ledger.balances(), n_settled + len(ledger.orders(number))
            book = ledger.book()
        assert sum(balances.values()) == 0
        assert all(amount >= 0 for account, amount in balances.items() if account != "issuance")
        assert balances == book.balances
    assert sum(book.nonces.values()) == n_settled
    assert verify_ledger(path).errors == []


def test_an_orders_leaf_is_canonical_json(genesis: Genesis) -> None:
    signed = order_of(ALICE, genesis)
    assert signed.leaf == canonical_json(json.loads(signed.leaf))


def test_money_sent_round_in_circles_overflows_no_sum(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    """All there is, as much as fits: by account, by kind and by round it adds up to far more than it is."""
    most, path = 2**63 - 1, tmp_path / "circles.sqlite"
    schedule, shares = SupplySchedule(cap=most, emission=most), Shares(owner=0, validator=0, participants=1)
    genesis = make_genesis(schedule=schedule, shares=shares)
    own, staked = participant(ALICE), escrow(ALICE, genesis)
    steps = [("stake", own, staked), ("unstake", staked, purse(ALICE)), ("transfer", purse(ALICE), own)] * 4
    refused: list[Refusal] = []
    with database.create(path, genesis, validator) as ledger:
        ledger.settle(settlement(1, entries=(entry(1, ALICE, 1),)), validator)
        for number in (2, 3):
            orders = [
                order_of(
                    *(ALICE, genesis),
                    kind=kind,
                    source=source,
                    destination=destination,
                    amount=most,
                    nonce=12 * (number - 2) + place,
                )
                for place, (kind, source, destination) in enumerate(steps, 1)
            ]
            ledger.settle(settlement(number, *orders, entries=()), validator, on_refused=refused.append)
        assert refused == []
        (earned,) = ledger.earnings().values()
        assert (earned.vested, earned.moved, earned.balance) == (most, 0, most)
        assert ledger.balances() == {own: most, "issuance": -most, purse(ALICE): 0, staked: 0}
        assert ledger.balance(own, until=3) == most
        assert ledger.book().balances == ledger.balances()
    assert verify_ledger(path).errors == []
