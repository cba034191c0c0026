"""The ledger: whole rounds or nothing, in order, in amounts that it computes itself."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenomics.ledger.database import Database
from tokenomics import HeightSchedule, Shares, SupplySchedule, divide_round
from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.errors import AmountError, LedgerConflictError, LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Genesis,
    Ledger,
    Posting,
    ReceiptEntry,
    checkpoint_path,
    plan_round,
    reader,
    store,
    verify_ledger,
    writing,
)
from tokenomics.ledger.planning import genesis_tip, round_content
from tokenomics.merkle import root_of_hashes
from tokenomics.note import TreeHead

Make = Callable[..., Any]


def test_a_settled_round_holds_what_was_settled_and_what_follows_from_it(path: Path, make_settlement: Make) -> None:
    settlement = make_settlement(3)
    with Ledger.open(path) as ledger:
        row = next(ledger.rounds(3))
        paid = divide_round(
            emission=500, shares=Shares(), scores={e.hotkey: e.score for e in settlement.entries}, unpaid_score=3
        )
        assert (row.round, row.era, row.emission, row.minted, row.unminted) == (3, 1, 500, paid.minted, paid.unminted)
        for name in ("base_hash", "model_hash", "record_hash", "settled_at", "unpaid_score", "pays"):
            assert getattr(row, name) == getattr(settlement, name)
        assert ledger.receipts(3) == sorted(settlement.entries, key=lambda entry: entry.hotkey)
        postings = {posting.account: posting.amount for posting in ledger.postings(3)}
        assert postings == {
            "issuance": -paid.minted,
            "owner:team": paid.owner,
            f"validator:{ledger.genesis.validator}": paid.validator,
            **{f"participant:{hotkey}": amount for hotkey, amount in paid.participants.items() if amount},
        }


def test_balances_sum_to_zero_and_issuance_is_minus_the_supply(path: Path) -> None:
    with Ledger.open(path) as ledger:
        balances = ledger.balances()
        assert sum(balances.values()) == 0
        assert balances["issuance"] == -ledger.minted == -sum(row.minted for row in ledger.rounds())
        assert [row.supply for row in ledger.rounds()][-1] == ledger.minted > 0


def test_a_refused_model_mints_nothing_and_still_is_a_round(path: Path) -> None:
    with Ledger.open(path) as ledger:
        row = next(ledger.rounds(4))
        assert (row.pays, row.minted, row.unminted) == (False, 0, 500)
        assert ledger.postings(4) == []
        assert len(ledger.receipts(4)) == 3


def test_one_receipt_is_found_and_a_strangers_is_not(path: Path, make_settlement: Make) -> None:
    entry = make_settlement(2).entries[1]
    with Ledger.open(path) as ledger:
        assert ledger.receipt(2, entry.hotkey) == entry
        assert ledger.receipt(2, "00" * 32) is None
        assert ledger.receipt(7, entry.hotkey) is None


@pytest.mark.parametrize("page_size", [1, 2, 5, 6, 7])
def test_rounds_come_in_order_whatever_the_page(path: Path, monkeypatch: pytest.MonkeyPatch, page_size: int) -> None:
    monkeypatch.setattr(reader, "PAGE_SIZE", page_size)
    with Ledger.open(path) as ledger:
        assert [row.round for row in ledger.rounds()] == [1, 2, 3, 4, 5, 6]
        assert [row.round for row in ledger.rounds(start=5)] == [5, 6]


@pytest.mark.parametrize("page_size", [1, 2, 5, 6, 7])
def test_a_ledger_that_was_opened_settles_on_whatever_the_page(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch, page_size: int
) -> None:
    """The log of the rounds before is read a page at a time."""
    monkeypatch.setattr(store, "PAGE_SIZE", page_size)
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
    result = verify_ledger(path)
    assert (result.rounds, result.errors) == (7, [])


def test_each_checkpoint_is_signed_and_the_last_is_beside_the_ledger(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    path = tmp_path / "ledger.sqlite"
    with database.create(path, make_genesis(), validator) as ledger:
        for number in range(3):
            checkpoint = ledger.settle(make_settlement(number), validator) if number else ledger.checkpoint
            assert checkpoint.round == ledger.height == number
            assert checkpoint.tree.root == root_of_hashes(ledger.leaf_hashes(until=number))
            assert checkpoint.verify(validator.public)
            assert not checkpoint.verify(Keypair.generate().public)
            note = checkpoint_path(path).read_text()
            assert Checkpoint.parse(note) == checkpoint == ledger.checkpoint_of(number)
            assert TreeHead.open(note, ledger.key) == checkpoint.tree


def test_equal_ledgers_dump_equal_bytes_in_whatever_order_entries_came(
    database: Database, path: Path, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    with database.create(tmp_path / "other.sqlite", make_genesis(), validator) as other, Ledger.open(path) as ledger:
        for number in range(1, 7):
            entries = tuple(reversed(make_settlement(number).entries))
            other.settle(make_settlement(number, entries=entries, pays=number != 4), validator)
        lines = list(ledger.dump())
        assert lines == list(other.dump())
    assert len(lines) == 7
    assert all(json.loads(line) and line.endswith(b"\n") for line in lines)


@pytest.mark.parametrize("rows_a_statement", [1, 2, 3, 4, 1000])
def test_however_many_rows_go_into_a_statement_the_same_are_written(
    path: Path,
    tmp_path: Path,
    make_genesis: Make,
    make_settlement: Make,
    validator: Keypair,
    monkeypatch: pytest.MonkeyPatch,
    rows_a_statement: int,
) -> None:
    """A round has three receipts and five postings: statements that are full, that aren't, and none."""
    monkeypatch.setattr(writing, "ROWS_A_STATEMENT", rows_a_statement)
    with Ledger.create(tmp_path / "other.sqlite", make_genesis(), validator) as other, Ledger.open(path) as ledger:
        for number in range(1, 7):
            other.settle(make_settlement(number, pays=number != 4), validator)
        assert list(other.dump()) == list(ledger.dump())
        assert {len(other.postings(number)) for number in range(1, 7)} == {0, 5}


def test_a_change_of_any_settled_field_changes_the_head(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    settlement = make_settlement(1)
    altered = ReceiptEntry(hotkey="11" * 32, receipt_hash="22" * 32, status="missing", score=0, struck=False)
    changes = [
        {},
        {"model_hash": "00" * 32},
        {"record_hash": "00" * 32},
        {"settled_at": 1},
        {"unpaid_score": 4},
        {"pays": False},
        {"entries": (*settlement.entries, altered)},
        {"entries": settlement.entries[:2]},
    ]
    heads = set()
    for index, change in enumerate(changes):
        with database.create(tmp_path / f"{index}.sqlite", make_genesis(), validator) as ledger:
            ledger.settle(make_settlement(1, **change), validator)
            heads.add(ledger.head)
    assert len(heads) == len(changes)


@pytest.mark.parametrize("number", [1, 5, 6, 8])
def test_a_round_out_of_order_is_refused_and_changes_nothing(
    path: Path, make_settlement: Make, validator: Keypair, number: int
) -> None:
    with Ledger.open(path) as ledger:
        before = list(ledger.dump())
        with pytest.raises(LedgerConflictError, match=f"round {number}") as caught:
            ledger.settle(make_settlement(number), validator)
        assert caught.value.remedy == "settle round 7"
        assert list(ledger.dump()) == before


def test_a_round_must_start_from_the_model_that_the_last_one_ended_with(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="starts from model"):
        ledger.settle(make_settlement(7, base_hash="00" * 32), validator)


def test_only_the_validator_of_the_genesis_signs(
    database: Database, path: Path, make_genesis: Make, make_settlement: Make
) -> None:
    stranger = Keypair.generate()
    with Ledger.open(path) as ledger, pytest.raises(LedgerError, match="signs, but"):
        ledger.settle(make_settlement(7), stranger)
    with pytest.raises(LedgerError, match="signs, but"):
        database.create(path.with_name("other.sqlite"), make_genesis(), stranger)


@pytest.mark.parametrize(
    ("status", "score"),
    [("rejected", 1), ("missing", 1), ("accepted", -1), ("accepted", 1.0), ("accepted", 2**63), ("paid", 0)],
)
def test_a_receipt_that_can_not_be_is_refused(status: Any, score: Any) -> None:
    with pytest.raises(LedgerError):
        ReceiptEntry(hotkey="00" * 32, receipt_hash="00" * 32, status=status, score=score, struck=False)


@pytest.mark.parametrize(
    "change",
    [
        {"round": 0},
        {"pays": 1},
        {"settled_at": -1},
        {"base_hash": "00"},
        {"model_hash": "AA" * 32},
        {"unpaid_score": 0.5},
    ],
)
def test_a_settlement_that_can_not_be_is_refused(make_settlement: Make, change: dict[str, object]) -> None:
    with pytest.raises(LedgerError, match=next(iter(change))):
        make_settlement(**({"number": 1} | change)) if "round" not in change else make_settlement(0)


def test_a_hotkey_has_one_entry_a_round(make_settlement: Make) -> None:
    entry = make_settlement(1).entries[0]
    with pytest.raises(LedgerError, match="two entries"):
        make_settlement(1, entries=(entry, entry))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"subnet": ""}, LedgerError),
        ({"owner": "a\nb"}, LedgerError),
        ({"validator": "alice"}, LedgerError),
        ({"token": "DIG"}, LedgerError),
        ({"schedule": SupplySchedule(cap=2**63, emission=1)}, AmountError),
        ({"schedule": HeightSchedule(subsidy=2**62, interval=2)}, AmountError),
    ],
)
def test_a_genesis_that_can_not_be_is_refused(make_genesis: Make, change: dict[str, object], error: type) -> None:
    with pytest.raises(error):
        make_genesis(**change)


@pytest.mark.parametrize("schedule", [HeightSchedule(subsidy=7, interval=3), SupplySchedule(cap=10**9, emission=10)])
def test_a_genesis_written_down_reads_back(make_genesis: Make, schedule: object) -> None:
    genesis = make_genesis(schedule=schedule)
    assert Genesis.from_dict(json.loads(json.dumps(genesis.to_dict()))) == genesis


def test_a_schedule_by_supply_pays_by_what_was_minted_and_stops_at_its_end(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Emissions 8, 8, 4 and so on; what nobody earned stays to be minted later."""
    genesis = make_genesis(schedule=SupplySchedule(cap=32, emission=8))
    with database.create(tmp_path / "ledger.sqlite", genesis, validator) as ledger:
        for number in range(1, 16):
            ledger.settle(make_settlement(number, unpaid_score=0, pays=number != 2), validator)
        assert [row.emission for row in ledger.rounds()] == [8, 8, 8, 4, 4, 2, 2, 1, 1, 0, 0, 0, 0, 0, 0]
        assert [row.minted for row in ledger.rounds()][:3] == [8, 0, 8]
        assert ledger.minted == 30
    assert verify_ledger(tmp_path / "ledger.sqlite").errors == []


def test_a_plan_says_what_settling_then_pays(path: Path, make_settlement: Make, validator: Keypair) -> None:
    settlement = make_settlement(7)
    with Ledger.open(path) as ledger:
        plan = plan_round(
            ledger.genesis,
            round=7,
            minted=ledger.minted,
            scores={entry.hotkey: entry.score for entry in settlement.entries},
            unpaid_score=3,
            pays=True,
        )
        ledger.settle(settlement, validator)
        row = next(ledger.rounds(7))
        paid = {p.account.removeprefix("participant:"): p.amount for p in ledger.postings(7)}
    assert (plan.era, plan.emission, plan.split.minted) == (row.era, row.emission, row.minted) == (3, 125, row.minted)
    assert {hotkey: paid.get(hotkey, 0) for hotkey in plan.split.participants} == plan.split.participants


@given(
    account=st.text(
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Cn", "Co", "Cf"]), min_size=1, max_size=20
    ),
    amount=st.integers(-(2**63), 2**63 - 1),
    struck=st.booleans(),
)
def test_leaves_are_the_canonical_bytes(account: str, amount: int, struck: bool) -> None:
    """What is written by hand for speed is what `canonical_json` gives, quotes and backslashes included."""
    if account.isprintable():
        posting = Posting(position=3, account=account, kind='a"\\b', amount=amount)
        assert posting.leaf == canonical_json(asdict(posting))
    entry = ReceiptEntry(
        hotkey="ab" * 32,
        receipt_hash="cd" * 32,
        status="accepted",
        score=abs(amount) // 2 * (not struck),
        struck=struck,
    )
    assert entry.leaf == canonical_json(asdict(entry))


def test_the_head_is_the_hash_of_the_canonical_content(path: Path) -> None:
    """A round's head, put together from leaves, is that of its content as one canonical document."""
    with Ledger.open(path, read_only=True) as ledger:
        previous = genesis_tip(ledger.genesis).head
        for row in ledger.rounds():
            content = round_content(row, ledger.receipts(row.round), ledger.postings(row.round))
            document = canonical_json({"previous": previous, **content})
            assert row.head == sha256_hex(b"flower-subnet/ledger-round/v3\x00" + document)
            previous = row.head
