"""Every form of a statement, read back by somebody else's reader, says what the statement says."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from beancount import loader
from beancount.core.data import Balance as Assertion
from beancount.core.data import Transaction
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.statement.conftest import made_up, settle_rounds
from tokenomics import Token
from tokenomics.errors import StatementError
from tokenomics.ledger import Ledger, verify_proof
from tokenomics.note import VerifierKey
from tokenomics.statement import Balance, Statement, proofs_of, read_statement
from tokenomics.statement.beancount import to_beancount
from tokenomics.statement.document import to_json
from tokenomics.statement.tables import COLUMNS, KOINLY_COLUMNS, safe_cell, to_csv, to_koinly

SIGNS = {"credit": (0, 1), "release": (1, -1), "void": (0, -1)}
HUGE = 2**53 + 1


@pytest.fixture(scope="module", params=[0, 9, 18])
def real(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Ledger, Statement]]:
    """Rounds 3 to 25 of bob, who is struck in round 23, at 0, 9 and 18 decimals; its amounts are beyond a float."""
    path = settle_rounds(
        tmp_path_factory.mktemp("real") / "ledger.sqlite",
        token=Token("DIG", request.param),
        subsidy=10**17 + 12_345_678_901,
        n_rounds=26,
    )
    with Ledger.open(path, read_only=True) as ledger:
        yield ledger, read_statement(ledger, digest("bob"), start="3", end="25")


def table(text: str) -> list[dict[str, str]]:
    assert text.count("\r\n") == text.count("\n"), "RFC 4180 ends lines with CRLF"
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def units(text: str, statement: Statement) -> int:
    """An exact decimal as base units; nothing is lost, or it isn't one."""
    scaled = Decimal(text).scaleb(statement.token.decimals)
    assert scaled == int(scaled)
    return int(scaled)


def test_csv_leads_from_the_opening_to_the_closing_row(real: tuple[Ledger, Statement]) -> None:
    _, statement = real
    first, *lines, last = table(to_csv(statement, {5: "round-000005.json"}))
    assert list(first) == list(COLUMNS)
    assert (first["kind"], last["kind"], len(lines)) == ("opening", "closing", len(statement.lines))
    vested, pending = (units(first[name], statement) for name in ("vested", "pending"))
    assert Balance(vested=vested, pending=pending) == statement.opening
    for row, line in zip(lines, statement.lines, strict=True):
        amount, (to_vested, to_pending) = units(row["amount"], statement), SIGNS[row["kind"]]
        vested, pending = vested + to_vested * amount, pending + to_pending * amount
        assert (units(row["vested"], statement), units(row["pending"], statement)) == (vested, pending)
        assert (row["round"], row["receipt_hash"], row["leaf_index"]) == (
            str(line.round),
            line.receipt_hash,
            row["round"],
        )
        settled = datetime.strptime(row["time"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert settled.timestamp() == line.settled_at
        assert row["proof"] == ("round-000005.json" if line.round == 5 else "")
        assert (row["log_size"], row["log_root"]) == (str(statement.tree.size), statement.tree.root)
    assert Balance(vested=vested, pending=pending) == statement.closing
    assert (units(last["vested"], statement), units(last["pending"], statement)) == (vested, pending)


@given(text=st.text(max_size=20))
def test_no_cell_is_a_formula_and_text_is_never_lost(text: str) -> None:
    cell = safe_cell(text)
    assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell in {text, f"'{text}"}


def test_a_subnets_name_reaches_no_spreadsheet_as_a_formula() -> None:
    """The name is an owner's free text, and the reader of the statement is somebody else."""
    statement = made_up([(0, 5), (5, -5)], subnet='=cmd|"/c calc"!A1')
    assert {row["subnet"] for row in table(to_csv(statement))} == {'\'=cmd|"/c calc"!A1'}
    assert table(to_koinly(statement))[0]["Description"].startswith("'=cmd|")


def test_koinly_gets_what_became_the_participants_own_and_nothing_else(real: tuple[Ledger, Statement]) -> None:
    """Deposits that are rewards, each with a transaction hash of its own; their sum is what vested."""
    _, statement = real
    rows = table(to_koinly(statement))
    assert list(rows[0]) == list(KOINLY_COLUMNS)
    received = [units(row["Received Amount"], statement) for row in rows]
    assert sum(received) == statement.closing.vested - statement.opening.vested
    assert len({row["TxHash"] for row in rows}) == len(rows) == len([x for x in statement.lines if x.kind == "release"])
    for row in rows:
        datetime.strptime(row["Date"], "%Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
        assert (row["Received Currency"], row["Label"]) == ("DIG", "Reward")
        assert not any(row[name] for name in KOINLY_COLUMNS if name.startswith(("Sent", "Fee", "Net Worth")))


def test_beancount_accepts_the_file_and_its_assertions(real: tuple[Ledger, Statement]) -> None:
    """Its own parser and checks find no fault; the asserted balances are the closing ones, without tolerance."""
    _, statement = real
    entries, errors, _ = loader.load_string(to_beancount(statement))
    assert errors == []
    asserted = {e.account.rpartition(":")[2]: e for e in entries if isinstance(e, Assertion)}
    closing = {"Vested": statement.closing.vested, "Pending": statement.closing.pending}
    for name, amount in closing.items():
        assert units(str(asserted[name].amount.number), statement) == amount
        assert asserted[name].tolerance == 0
    moves = [entry for entry in entries if isinstance(entry, Transaction)]
    assert len(moves) == len(statement.lines) + 1, "one is the opening balance"
    for entry in moves:
        assert sum(posting.units.number for posting in entry.postings) == 0


def test_beancount_finds_one_base_unit_that_is_missing(real: tuple[Ledger, Statement]) -> None:
    _, statement = real
    text = to_beancount(statement)
    right = f"Vested  {statement.decimal(statement.closing.vested)} ~"
    wrong = f"Vested  {statement.decimal(statement.closing.vested + 1)} ~"
    assert text.count(right) == 1
    _, [error], _ = loader.load_string(text.replace(right, wrong))
    assert "Balance failed" in error.message


@pytest.mark.parametrize("symbol", ["D", "dig", "True", "NULL", "A1", "ABCDEFGHIJKLMNOP"])
@pytest.mark.parametrize("subnet", ['"; option \\', "1 – élan 数字", "-"])
def test_beancount_takes_any_symbol_and_any_name(symbol: str, subnet: str) -> None:
    statement = made_up([(0, 7), (7, -7), (0, 5), (0, -5)], token=Token(symbol, 2), subnet=subnet)
    entries, errors, _ = loader.load_string(to_beancount(statement))
    assert errors == []
    assert {entry.payee for entry in entries if isinstance(entry, Transaction)} == {subnet}


def test_beancount_holds_where_a_clock_went_back_and_ends_with_the_calendar() -> None:
    """Accounts open on the first day that is in it; after the last day of all nothing can be asserted."""
    statement = made_up([(0, 7), (7, -7)])
    late = replace(statement, lines=(statement.lines[0], replace(statement.lines[1], settled_at=5)))
    entries, errors, _ = loader.load_string(to_beancount(late))
    assert errors == []
    assert min(entry.date for entry in entries) == date(1970, 1, 1)
    with pytest.raises(StatementError, match="9999"):
        to_beancount(replace(statement, ended_at=253_402_300_799))
    with pytest.raises(StatementError, match="9999"):
        to_csv(replace(statement, ended_at=253_402_300_800))


def test_json_has_no_number_that_a_reader_could_round_and_all_proofs(real: tuple[Ledger, Statement]) -> None:
    """Money is text in it, but for the proofs, whose bytes are what they are; these hold."""
    ledger, statement = real
    document = json.loads(to_json(statement, proofs_of(ledger, statement)))
    closing = statement.opening
    for row, line in zip(document["lines"], statement.lines, strict=True):
        closing = line.after(closing)
        amounts: list[Any] = [row["amount"], row["after"]["vested"], row["after"]["pending"]]
        assert all(isinstance(amount, str) for amount in amounts)
        assert [units(amount, statement) for amount in amounts] == [line.amount, closing.vested, closing.pending]
        assert str(line.round) in document["proofs"]
    assert {name: units(text, statement) for name, text in document["closing"].items()} == {
        "vested": closing.vested,
        "pending": closing.pending,
    }
    for proof in document["proofs"].values():
        verify_proof(proof, VerifierKey.parse(document["log"]["key"]))
        assert proof["checkpoint"].splitlines()[0] == document["log"]["origin"]
