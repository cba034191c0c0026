"""What a ledger answers, beside what its dump says to somebody with pencil and paper."""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from tests.tokenomics.ledger.database import Database
from tests.tokenomics.ledger.owners import ALICE, BOB, CAROL, entry, escrow, order_of, participant, purse, settlement
from tokenomics.errors import LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Book, Earnings, Ledger, Payout, ReceiptEntry, SignedOrder

Make = Callable[..., Any]
N_ROUNDS = 9
VESTING = 2
KEYS = {wallet.hotkey.keypair.public: wallet.coldkey.public for wallet in (ALICE, BOB, CAROL)}
ORDER_KINDS = ("transfer", "stake", "unstake", "burn")


@pytest.fixture
def played(database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair) -> Iterator[Ledger]:
    """Nine rounds with all that there is: Bob is struck in 5, Carol comes and goes, orders move money from 4 on."""
    genesis = make_genesis(vesting=VESTING, owner=CAROL.coldkey.public)
    mine = escrow(ALICE, genesis)
    orders = {
        4: (order_of(ALICE, genesis), order_of(BOB, genesis, destination=participant(ALICE), amount=7)),
        6: (order_of(ALICE, genesis, kind="stake", destination=mine, amount=50, nonce=2),),
        7: (
            order_of(ALICE, genesis, kind="unstake", source=mine, destination=purse(ALICE), amount=20, nonce=3),
            order_of(ALICE, genesis, amount=3, nonce=4),
            order_of(CAROL, genesis, source=purse(CAROL), destination=purse(BOB), amount=2),
        ),
        9: (order_of(ALICE, genesis, kind="burn", destination="burn", amount=5, nonce=5),),
    }
    with database.create(tmp_path / "ledger.sqlite", genesis, validator) as ledger:
        for number in range(1, N_ROUNDS + 1):
            entries = [entry(number, ALICE, 20), entry(number, BOB, 0 if number == 5 else 10, struck=number == 5)]
            if number % 2 == 0:
                entries.append(entry(number, CAROL, 5))
            told = settlement(number, *orders.get(number, ()), entries=tuple(entries), pays=number != 3)
            ledger.settle(told, validator)
            assert len(ledger.orders(number)) == len(orders.get(number, ()))
        yield ledger


@pytest.fixture
def rounds(played: Ledger) -> list[dict[str, Any]]:
    """The rounds as the dump has them."""
    return [json.loads(line) for line in played.dump()][1:]


def postings_of(rounds: list[dict[str, Any]], until: int) -> list[tuple[int, dict[str, Any]]]:
    return [(number, one) for number, told in enumerate(rounds[:until], start=1) for one in told["postings"]]


def orders_of(rounds: list[dict[str, Any]], until: int) -> list[tuple[int, SignedOrder]]:
    told = enumerate(rounds[:until], start=1)
    return [(number, SignedOrder.from_dict(one)) for number, line in told for one in line.get("orders", ())]


def balances_of(rounds: list[dict[str, Any]], until: int) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for _, one in postings_of(rounds, until):
        found[one["account"]] += one["amount"]
    return found


def test_every_accounts_balance_and_postings_up_to_every_round(played: Ledger, rounds: list[dict[str, Any]]) -> None:
    accounts = {one["account"] for _, one in postings_of(rounds, N_ROUNDS)}
    assert played.balances() == balances_of(rounds, N_ROUNDS)
    assert list(played.balances()) == sorted(accounts)
    for until in range(N_ROUNDS + 2):
        for account in (*accounts, "nobody"):
            due = [(number, one) for number, one in postings_of(rounds, until) if one["account"] == account]
            found = played.moved_on(account, until=until)
            assert [(number, told(posting)) for number, posting in found] == due
            assert played.balance(account, until=until) == balances_of(rounds, until)[account]
        for hotkey in KEYS:
            own = {f"pending:{hotkey}", f"participant:{hotkey}"}
            due = [(number, one) for number, one in postings_of(rounds, until) if one["account"] in own]
            assert [(number, told(posting)) for number, posting in played.moved(hotkey, until=until)] == due


def told(record: Any) -> dict[str, Any]:
    """A posting or receipt entry as the dump has it."""
    return {name: getattr(record, name) for name in record.__slots__}


def test_everybodys_receipts_up_to_every_round(played: Ledger, rounds: list[dict[str, Any]]) -> None:
    assert played.hotkeys() == sorted(KEYS)
    for until in range(N_ROUNDS + 2):
        for hotkey in (*KEYS, "00" * 32):
            due = {
                number: one
                for number, line in enumerate(rounds[:until], start=1)
                for one in line["receipts"]
                if one["hotkey"] == hotkey
            }
            found = played.entries(hotkey, until=until)
            assert list(found) == list(due)
            assert {number: told(one) for number, one in found.items()} == due
    for number, line in enumerate(rounds, start=1):
        assert played.receipts(number) == [ReceiptEntry(**one) for one in line["receipts"]]


def test_what_came_of_everybodys_pay_after_every_round(played: Ledger, rounds: list[dict[str, Any]]) -> None:
    for until in range(N_ROUNDS + 2):
        sums: dict[str, dict[str, int]] = {}
        for _, one in postings_of(rounds, until):
            prefix, _, hotkey = one["account"].partition(":")
            if prefix in {"pending", "participant"}:
                found = sums.setdefault(hotkey, dict.fromkeys(("vested", "pending", "voided", "moved"), 0))
                if prefix == "pending":
                    found["pending"] += one["amount"]
                    found["voided"] -= one["amount"] if one["kind"] == "void" else 0
                else:
                    found["moved" if one["kind"] in ORDER_KINDS else "vested"] += one["amount"]
        earnings = played.earnings(until=until)
        assert earnings == {hotkey: Earnings(**found) for hotkey, found in sums.items()}
        assert list(earnings) == sorted(earnings)
        waiting = played.pending(until=until)
        assert {hotkey: waiting.of(hotkey) for hotkey in sums} == {
            hotkey: found["pending"] for hotkey, found in sums.items()
        }
    assert played.earnings() == played.earnings(until=N_ROUNDS)
    assert played.pending() == played.pending(until=N_ROUNDS)
    assert any(found.voided and found.moved for found in played.earnings().values())


def test_what_came_of_each_payment(played: Ledger) -> None:
    """Alice's is released after two rounds; of Bob's, what rounds 3 and 4 paid is voided in 5."""
    alice, bob = ALICE.hotkey.keypair.public, BOB.hotkey.keypair.public
    for number in range(1, N_ROUNDS + 1):
        waits = Payout(state="pending" if number + VESTING > N_ROUNDS else "released", round=number + VESTING)
        assert played.payout(number, alice) == waits
        assert played.payout(number, bob) == (Payout(state="voided", round=5) if number in {3, 4} else waits)


def test_every_order_by_account_by_nonce_and_by_round(played: Ledger, rounds: list[dict[str, Any]]) -> None:
    settled = orders_of(rounds, N_ROUNDS)
    assert len(settled) == 7
    for number, signed in settled:
        assert played.find_order(*signed.place) == (number, signed)
        assert played.round_of(signed) == number
    assert played.find_order(ALICE.coldkey.public, 6) is None
    assert played.find_order("00" * 32, 1) is None
    assert played.round_of(order_of(ALICE, played.genesis, amount=11)) is None
    assert played.round_of(order_of(ALICE, played.genesis, nonce=6)) is None
    for until in range(N_ROUNDS + 2):
        for account in (participant(ALICE), purse(ALICE), purse(CAROL), "burn", "nobody"):
            due: dict[int, list[SignedOrder]] = defaultdict(list)
            for number, one in orders_of(rounds, until):
                if account in {one.order.source, one.order.destination}:
                    due[number].append(one)
            found = played.ordered(account, until=until)
            assert found == due
            assert list(found) == list(due)


def test_the_book_has_all_balances_last_nonces_and_whose_hotkeys_have_spent(
    played: Ledger, rounds: list[dict[str, Any]]
) -> None:
    book = played.book()
    assert book.balances == balances_of(rounds, N_ROUNDS)
    assert book.nonces == {ALICE.coldkey.public: 5, BOB.coldkey.public: 1, CAROL.coldkey.public: 1}
    assert book.holders == {hotkey: KEYS[hotkey] for hotkey in KEYS if hotkey != CAROL.hotkey.keypair.public}


def test_the_log_is_told_up_to_every_round(played: Ledger) -> None:
    leaves = played.leaf_hashes(until=N_ROUNDS)
    assert [len(played.leaf_hashes(until=number)) for number in range(N_ROUNDS + 1)] == list(range(1, N_ROUNDS + 2))
    assert all(played.leaf_hashes(until=number) == leaves[: number + 1] for number in range(N_ROUNDS + 1))
    for number in range(N_ROUNDS + 1):
        assert (played.checkpoint_of(number).round, played.checkpoint_of(number).verify(played.key.public)) == (
            number,
            True,
        )
    with pytest.raises(LedgerError, match=f"round {N_ROUNDS + 1} isn't settled"):
        played.checkpoint_of(N_ROUNDS + 1)


def answers_of(ledger: Ledger) -> list[Any]:
    """All that a ledger answers, with the order of everything in it."""
    accounts = [participant(ALICE), f"pending:{BOB.hotkey.keypair.public}", purse(CAROL), "burn"]
    return [
        list(ledger.dump()),
        list(ledger.balances().items()),
        list(ledger.earnings().items()),
        ledger.hotkeys(),
        [ledger.moved(hotkey, until=N_ROUNDS) for hotkey in KEYS],
        [ledger.moved_on(account, until=N_ROUNDS) for account in accounts],
        [list(ledger.entries(hotkey, until=N_ROUNDS).items()) for hotkey in KEYS],
        [list(ledger.ordered(account, until=N_ROUNDS).items()) for account in accounts],
        [list(ledger.pending(until=number).by_round.items()) for number in range(N_ROUNDS)],
        ledger.book(),
    ]


@pytest.mark.only("sqlite")
def test_answers_come_in_order_however_the_database_finds_the_rows(played: Ledger) -> None:
    """SQLite is told to find them backwards wherever no order is asked for."""
    answers = answers_of(played)

    def backwards(raw: sqlite3.Connection, _: object) -> None:
        raw.execute("PRAGMA reverse_unordered_selects=ON")

    played._engine.dispose()
    event.listen(played._engine, "connect", backwards)
    assert answers_of(played) == answers


def test_a_ledger_without_rounds_has_nothing_to_tell(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    hotkey = ALICE.hotkey.keypair.public
    with database.create(tmp_path / "ledger.sqlite", make_genesis(vesting=VESTING), validator) as ledger:
        assert (ledger.height, ledger.minted, ledger.checkpoint.round) == (0, 0, 0)
        assert (ledger.balances(), ledger.earnings(), ledger.hotkeys(), ledger.book()) == ({}, {}, [], Book())
        assert not any(ledger.pending().by_round.values())
        assert ledger.payout(1, hotkey) == Payout(state="pending", round=1 + VESTING)
        assert (ledger.receipt(1, hotkey), ledger.postings(1), ledger.orders(1)) == (None, [], [])
        assert len(list(ledger.dump())) == 1


QUESTIONS: dict[str, Callable[[Ledger], object]] = {
    "height": lambda ledger: ledger.height,
    "rounds": lambda ledger: list(ledger.rounds()),
    "receipts": lambda ledger: ledger.receipts(1),
    "receipt": lambda ledger: ledger.receipt(1, "00" * 32),
    "postings": lambda ledger: ledger.postings(1),
    "orders": lambda ledger: ledger.orders(1),
    "ordered": lambda ledger: ledger.ordered("burn", until=1),
    "find_order": lambda ledger: ledger.find_order("00" * 32, 1),
    "book": lambda ledger: ledger.book(),
    "balances": lambda ledger: ledger.balances(),
    "balance": lambda ledger: ledger.balance("burn", until=1),
    "pending": lambda ledger: ledger.pending(),
    "earnings": lambda ledger: ledger.earnings(),
    "hotkeys": lambda ledger: ledger.hotkeys(),
    "moved": lambda ledger: ledger.moved("00" * 32, until=1),
    "moved_on": lambda ledger: ledger.moved_on("burn", until=1),
    "entries": lambda ledger: ledger.entries("00" * 32, until=1),
    "payout": lambda ledger: ledger.payout(1, "00" * 32),
    "checkpoint_of": lambda ledger: ledger.checkpoint_of(1),
}


@pytest.mark.only("sqlite")
def test_whatever_is_asked_of_a_file_that_goes_bad_the_file_is_named(path: Path) -> None:
    with Ledger.open(path, read_only=True) as ledger:
        ledger._engine.dispose()
        path.write_bytes(b"not a database, but long enough to look at" * 100)
        for ask in QUESTIONS.values():
            with pytest.raises(LedgerError, match=f"^ledger {path}: it is no database"):
                ask(ledger)
