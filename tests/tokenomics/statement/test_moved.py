"""Statements and earnings of accounts that orders have moved money of: every unit of it is on a line."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pypdfium2
import pytest
from beancount import loader

from tests.tokenomics.ledger.conftest import make_genesis, validator
from tests.tokenomics.ledger.owners import (
    ALICE,
    BOB,
    CAROL,
    escrow,
    order_of,
    participant,
    purse,
    settle_orders,
    settlement,
)
from tokenomics.errors import LedgerCorruptError, StatementError
from tokenomics.keys import Keypair
from tokenomics.ledger import AccountFacts, Genesis, Ledger, Posting, verify_proof
from tokenomics.statement import Balance, Statement, lines_of, proofs_of, read_statement
from tokenomics.statement.beancount import to_beancount
from tokenomics.statement.document import to_json
from tokenomics.statement.pdf import to_pdf
from tokenomics.statement.tables import to_csv, to_koinly

__all__ = ["make_genesis", "validator"]  # fixtures

Make = Callable[..., Any]
HOTKEY = ALICE.hotkey.keypair.public


@pytest.fixture
def genesis(make_genesis: Make) -> Genesis:
    found: Genesis = make_genesis()
    return found


@pytest.fixture
def ledger_file(tmp_path: Path, genesis: Genesis, validator: Keypair) -> Path:
    """The rounds of `settle_orders`, and a sixth in which Bob transfers 3 to Alice's hotkey, which sends 4 on twice."""
    path = settle_orders(tmp_path / "ledger.sqlite", genesis, validator)
    with Ledger.open(path) as ledger:
        orders = [order_of(ALICE, genesis, amount=4, nonce=nonce) for nonce in (5, 6)]
        gift = order_of(BOB, genesis, destination=participant(ALICE), amount=3, nonce=2)
        ledger.settle(settlement(6, *orders, gift), validator)
    return path


@pytest.fixture
def statement(ledger_file: Path) -> Statement:
    with Ledger.open(ledger_file) as ledger:
        return read_statement(ledger, HOTKEY)


def test_earnings_tell_what_was_earned_from_what_was_moved(ledger_file: Path) -> None:
    """Giving money away lowers nobody's earnings, and receiving it raises none."""
    with Ledger.open(ledger_file) as ledger:
        earned = ledger.earnings()[HOTKEY]
        pay = sum(posting.amount for _, posting in ledger.moved(HOTKEY, until=6) if posting.kind == "emission")
        assert earned.balance == ledger.balances()[participant(ALICE)]
    assert (earned.vested, earned.paid, earned.moved) == (pay, pay, -10 - 50 - 5 - 4 - 4 + 3)


def test_the_lines_of_orders_lead_from_opening_to_closing_balance(
    ledger_file: Path, statement: Statement, genesis: Genesis
) -> None:
    moved = [(line.round, line.kind, line.vested, line.counterparty) for line in statement.lines if line.counterparty]
    assert sorted(moved) == [
        (2, "sent", -10, purse(CAROL)),
        (2, "staked", -50, escrow(ALICE, genesis)),
        (5, "burned", -5, "burn"),
        (6, "received", 3, participant(BOB)),
        (6, "sent", -4, purse(CAROL)),
        (6, "sent", -4, purse(CAROL)),
    ]
    with Ledger.open(ledger_file) as ledger:
        assert statement.closing == Balance(vested=ledger.balances()[participant(ALICE)])
        later = read_statement(ledger, HOTKEY, start="5")
        hashes = {one.hash for number in range(1, 7) for one in ledger.orders(number)}
    assert later.opening.vested + sum(line.vested for line in later.lines) == later.closing.vested
    assert {line.receipt_hash for line in statement.lines if line.counterparty} < hashes


def test_every_form_tells_them(ledger_file: Path, statement: Statement) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(statement))))
    assert [row["counterparty"] for row in rows if row["kind"] == "burned"] == ["burn"]
    assert [row["amount"] for row in rows if row["kind"] == "sent"].count("0.000000004") == 2
    with Ledger.open(ledger_file) as ledger:
        document = json.loads(to_json(statement, proofs_of(ledger, statement)))
    assert [line["counterparty"] for line in document["lines"] if line["kind"] == "received"] == [participant(BOB)]
    koinly = list(csv.DictReader(io.StringIO(to_koinly(statement))))
    assert sum(1 for row in koinly if row["Sent Amount"]) == 5
    assert [row["Received Amount"] for row in koinly if row["Received Amount"] and not row["Label"]] == ["0.000000003"]
    pdf = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(to_pdf(statement)))
    assert all(word in pdf for word in ("Received", "Sent", "Staked", "Burned", "the signed order"))


def test_beancount_finds_the_balances_right(statement: Statement) -> None:
    entries, errors, _ = loader.load_string(to_beancount(statement))
    assert errors == []
    assert any("Moved" in getattr(entry, "account", "") for entry in entries)


def test_money_that_no_order_moved_has_no_line(statement: Statement) -> None:
    """It is an error, whoever wrote such a posting."""
    posting = Posting(position=0, account=participant(ALICE), kind="transfer", amount=-5)
    with pytest.raises(LedgerCorruptError, match="moved -5 on participant:"):
        lines_of([(1, posting)], settled_at={1: 0}, receipt_hashes={}, vesting=0)


def accounts(genesis: Genesis) -> dict[str, str]:
    """Accounts that aren't a participant's, by what they are."""
    validator = f"validator:{genesis.validator}"
    found = {"wallet": purse(ALICE), "escrow": escrow(ALICE, genesis), "owner": f"owner:{genesis.owner}"}
    return found | {"validator": validator}


def test_other_accounts_have_statements_of_their_own(ledger_file: Path, genesis: Genesis) -> None:
    """A wallet's and an escrow's lines are orders; owner and validator have a part of every round, without receipt."""
    named = accounts(genesis)
    with Ledger.open(ledger_file) as ledger:
        found = {kind: read_statement(ledger, account) for kind, account in named.items()}
        parts = {
            kind: [
                (number, one.amount)
                for number in range(1, 7)
                for one in ledger.postings(number)
                if one.account == named[kind]
            ]
            for kind in ("owner", "validator")
        }
        balances = ledger.balances()
        later = read_statement(ledger, named["escrow"], start="3", end="4")
    told = [(line.round, line.kind, line.vested, line.counterparty) for line in found["wallet"].lines]
    assert told == [(2, "received", 7, participant(BOB)), (3, "received", 20, escrow(ALICE, genesis))]
    told = [(line.round, line.kind, line.vested, line.counterparty) for line in found["escrow"].lines]
    assert told == [(2, "received", 50, participant(ALICE)), (3, "unstaked", -20, purse(ALICE))]
    for kind, amounts in parts.items():
        lines = found[kind].lines
        assert [(line.round, line.vested) for line in lines] == amounts
        assert len(amounts) > 3
        assert {(line.kind, line.receipt_hash, line.earned_in == line.round) for line in lines} == {
            ("credit", "", True)
        }
    for kind, account in named.items():
        assert found[kind].closing == Balance(vested=balances[account])
    assert (later.opening.vested, [line.kind for line in later.lines], later.closing.vested) == (50, ["unstaked"], 30)


@pytest.mark.parametrize("kind", ["wallet", "escrow", "owner", "validator"])
def test_every_form_tells_of_other_accounts_with_proofs(ledger_file: Path, genesis: Genesis, kind: str) -> None:
    account = accounts(genesis)[kind]
    with Ledger.open(ledger_file) as ledger:
        found = read_statement(ledger, account)
        proofs, key = proofs_of(ledger, found), ledger.key
    assert sorted(proofs) == sorted({line.round for line in found.lines})
    shown = [verify_proof(json.loads(json.dumps(proof)), key) for proof in proofs.values()]
    assert all(isinstance(facts, AccountFacts) and facts.account == account for facts in shown)
    assert sum(amount for facts in shown for _, _, amount in facts.movements) == found.closing.vested  # type: ignore[union-attr]
    document = json.loads(to_json(found, proofs))
    assert (document["account"], "hotkey" in document) == (account, False)
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert {row["hotkey"] for row in rows} == {account}
    assert len(list(csv.DictReader(io.StringIO(to_koinly(found))))) == len(found.lines)
    entries, errors, _ = loader.load_string(to_beancount(found))
    assert errors == []
    assert any(f":{kind.capitalize()}-" in getattr(entry, "account", "") for entry in entries)
    pdf = "".join(page.get_textpage().get_text_range() for page in pypdfium2.PdfDocument(to_pdf(found)))
    assert all(word in pdf for word in ("Account", account, "needs none"))
    assert "Participant" not in pdf


@pytest.mark.parametrize("name", ["wallet:" + "0" * 64, "participant", "pending", "nonsense:1"])
def test_accounts_without_a_statement_are_refused(ledger_file: Path, name: str) -> None:
    """Nothing was posted to it, or it is a part of a participant's own statement."""
    account = participant(ALICE) if name == "participant" else f"pending:{HOTKEY}" if name == "pending" else name
    with Ledger.open(ledger_file) as ledger, pytest.raises(StatementError, match=f"no statement of {account}"):
        read_statement(ledger, account)
