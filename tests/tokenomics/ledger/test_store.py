"""The ledger: whole rounds or nothing, in order, in amounts that it computes itself."""
# ruff: noqa: S608 - the statements are the tests' own

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event

from tests.tokenomics.ledger.database import Database
from tokenomics import HeightSchedule, Shares, SupplySchedule, _files, divide_round
from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.errors import AmountError, LedgerConflictError, LedgerCorruptError, LedgerError, LedgerRaceError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Genesis,
    Ledger,
    Posting,
    ReceiptEntry,
    checkpoint_path,
    connection,
    copy_ledger,
    creation,
    plan_round,
    reader,
    rewrite_checkpoint,
    store,
    verify_ledger,
    writing,
)
from tokenomics.ledger.place import url_path
from tokenomics.ledger.planning import SealedRound, genesis_tip, round_content
from tokenomics.merkle import root_of_hashes
from tokenomics.note import TreeHead, parse_note, write_note

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


@pytest.mark.only("sqlite")
def test_a_second_ledger_is_never_made_over_a_first(
    database: Database, path: Path, make_genesis: Make, validator: Keypair
) -> None:
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="already"):
        database.create(path, make_genesis(), validator)
    assert path.read_bytes() == before
    path.unlink()
    with pytest.raises(LedgerError, match=r"checkpoint is there already"):
        database.create(path, make_genesis(), validator)


def test_a_ledger_in_no_folder_is_refused(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    with pytest.raises(LedgerError, match="No such file") as caught:
        database.create(tmp_path / "none" / "ledger.sqlite", make_genesis(), validator)
    assert "folder" in caught.value.remedy


def test_creating_leaves_nothing_but_ledger_and_checkpoint(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    database.create(tmp_path / "ledger.sqlite", make_genesis(), validator).close()
    made = "ledger.sqlite" if database.kind == "sqlite" else "ledger.sqlite.url"
    assert {p.name for p in tmp_path.iterdir()} == {made, "ledger.sqlite.checkpoint"}


@pytest.mark.only("sqlite")
def test_opening_says_what_is_wrong_with_the_path(tmp_path: Path, path: Path) -> None:
    with pytest.raises(LedgerError, match="no ledger"):
        Ledger.open(tmp_path / "none.sqlite")
    garbage = tmp_path / "garbage.sqlite"
    garbage.write_bytes(b"not a database, but long enough to look at" * 100)
    with pytest.raises(LedgerCorruptError, match="no database"):
        Ledger.open(garbage)
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    with pytest.raises(LedgerError, match="version 0"):
        Ledger.open(empty)


def test_a_reader_beside_a_writer_sees_whole_rounds_and_changes_nothing(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    with Ledger.open(path) as ledger, Ledger.open(path, read_only=True) as reader:
        ledger.settle(make_settlement(7), validator)
        assert (reader.height, reader.head) == (7, ledger.head)
        with pytest.raises(LedgerError, match="read only"):
            reader.settle(make_settlement(8), validator)


@pytest.mark.only("sqlite")
def test_a_busy_ledger_says_that_another_process_writes(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 20)
    with Ledger.open(path) as ledger, contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerError, match=f"^ledger {path}: another process is writing") as caught:
            ledger.settle(make_settlement(7), validator)
        assert caught.value.remedy
        other.execute("ROLLBACK")
        ledger.settle(make_settlement(7), validator)
        assert ledger.height == 7


@pytest.mark.only("sqlite")
def test_nobody_else_writes_between_what_a_settlement_reads_and_what_it_writes(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = store.seal
    tried: list[str] = []

    def interrupted(*arguments: Any) -> Any:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            tried.append("BEGIN IMMEDIATE")
        return real(*arguments)

    with Ledger.open(path) as ledger:
        monkeypatch.setattr(store, "seal", interrupted)
        ledger.settle(make_settlement(7), validator)
    assert tried


@pytest.mark.parametrize(("n_lost", "height"), [(0, 7), (1, 7), (3, 7), (4, 6), (5, 6)])
def test_whoever_loses_a_race_tries_four_times(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch, n_lost: int, height: int
) -> None:
    """Lost as on a server that lets another transaction go first; it is told when it gives up."""
    real = store.write_round
    lost: list[int] = []

    def lose(connection: Any, sealed: SealedRound) -> None:
        if len(lost) < n_lost:
            lost.append(sealed.row.round)
            raise LedgerRaceError("another was first", remedy="try again")
        real(connection, sealed)

    with Ledger.open(path) as ledger:
        monkeypatch.setattr(store, "write_round", lose)
        with contextlib.nullcontext() if height == 7 else pytest.raises(LedgerRaceError, match="another was first"):
            ledger.settle(make_settlement(7), validator)
        assert (ledger.height, lost) == (height, [7] * min(n_lost, 4))


@pytest.mark.only("sqlite")
def test_a_full_disk_leaves_the_ledger_as_it_was(path: Path, make_settlement: Make, validator: Keypair) -> None:
    """SQLite is told that the file may not grow, and reports it as it reports a full disk."""
    many = tuple(
        ReceiptEntry(hotkey=f"{index:064x}", receipt_hash="00" * 32, status="missing", score=0, struck=False)
        for index in range(2000)
    )
    with Ledger.open(path) as ledger:
        before = list(ledger.dump())
        ledger._engine.dispose()

        def limit(raw: sqlite3.Connection, _: object) -> None:
            raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")

        event.listen(ledger._engine, "connect", limit)
        with pytest.raises(LedgerError, match="disk is full") as caught:
            ledger.settle(make_settlement(7, entries=many), validator)
        assert "space" in caught.value.remedy
        assert list(ledger.dump()) == before
    assert verify_ledger(path).ok


def test_a_round_whose_checkpoint_file_could_not_be_written_is_healed_by_the_next(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    real = store.write_checkpoint

    def fail(path: Path, checkpoint: Checkpoint) -> None:
        raise LedgerError(f"round {checkpoint.round} is settled, but its file isn't")

    def note(path: Path, checkpoint: Checkpoint) -> None:
        written.append(checkpoint.round)
        real(path, checkpoint)

    with Ledger.open(path) as ledger:
        monkeypatch.setattr(store, "write_checkpoint", fail)
        with pytest.raises(LedgerError, match="is settled"):
            ledger.settle(make_settlement(7), validator)
        assert ledger.height == 7
        assert verify_ledger(path).ok
        monkeypatch.setattr(store, "write_checkpoint", note)
        ledger.settle(make_settlement(8), validator)
    assert written == [7, 8]


def test_the_folder_is_flushed_where_a_power_cut_could_leave_no_checkpoint_at_all(
    path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier checkpoint is as good as the last, but none is not: the ledger would be refused."""
    flushed: list[bytes] = []
    monkeypatch.setattr(_files, "sync_folder", lambda _: flushed.append(checkpoint_path(path).read_bytes()))
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
        assert flushed == []
        checkpoint_path(path).unlink()
        ledger.settle(make_settlement(8), validator)
    assert flushed == [checkpoint_path(path).read_bytes()]


def test_a_checkpoint_a_round_behind_is_healed_when_the_ledger_is_opened(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    """As a crash between the commit and the checkpoint's file leaves it."""
    file = checkpoint_path(path)
    with Ledger.open(path) as ledger:
        older = file.read_bytes()
        ledger.settle(make_settlement(7), validator)
        newer = file.read_bytes()
    file.write_bytes(older)
    Ledger.open(path, read_only=True).close()
    assert file.read_bytes() == older
    Ledger.open(path).close()
    assert file.read_bytes() == newer


def test_signatures_that_others_put_on_a_checkpoint_are_of_no_concern(path: Path) -> None:
    """A witness's, and one under the log's own name that is of another kind, above and below the validator's."""
    file = checkpoint_path(path)
    last = Checkpoint.parse(file.read_text())
    text, [own] = parse_note(file.read_text())
    witness = replace(own, name="witness", signature=bytes(64))
    longer = replace(own, signature=bytes(72))
    lines = [write_note(text, one).removeprefix(f"{text}\n") for one in (witness, longer, own, witness)]
    file.write_text(f"{text}\n{''.join(lines)}")
    assert Checkpoint.parse(file.read_text()) == last
    Ledger.open(path).close()
    assert verify_ledger(path).errors == []


def test_a_checkpoint_that_is_up_to_date_is_left_alone_when_the_ledger_is_opened(path: Path) -> None:
    before = checkpoint_path(path).stat()
    Ledger.open(path).close()
    after = checkpoint_path(path).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_lost_checkpoint_is_made_anew_before_the_first_round_and_missed_after_it(
    database: Database, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """As a crash leaves it between the ledger's file and its first checkpoint."""
    path = tmp_path / "ledger.sqlite"
    with database.create(path, make_genesis(), validator) as ledger:
        first = ledger.checkpoint
    checkpoint_path(path).unlink()
    with Ledger.open(path) as ledger:
        assert Checkpoint.parse(checkpoint_path(path).read_text()) == first
        ledger.settle(make_settlement(1), validator)
    checkpoint_path(path).unlink()
    with pytest.raises(LedgerCorruptError, match="is missing, and the ledger is at round 1"):
        Ledger.open(path)


@pytest.mark.only("sqlite")
def test_a_ledger_put_back_to_an_older_copy_does_not_open(
    path: Path, make_settlement: Make, validator: Keypair
) -> None:
    old = path.with_name("old.sqlite")
    shutil.copy(path, old)
    with Ledger.open(path) as ledger:
        ledger.settle(make_settlement(7), validator)
    old.replace(path)
    for read_only in (True, False):
        with pytest.raises(LedgerCorruptError, match="ends at round 6, but its checkpoint is of round 7"):
            Ledger.open(path, read_only=read_only)


def test_a_ledger_without_or_with_a_foreign_checkpoint_does_not_open_until_it_is_rewritten(path: Path) -> None:
    file = checkpoint_path(path)
    right = file.read_bytes()
    tree = replace(Checkpoint.parse(right.decode()).tree, root="00" * 32)
    file.write_text(Checkpoint.sign(tree, Keypair.from_seed(bytes(32))).note)
    with pytest.raises(LedgerCorruptError, match="another round 6"):
        Ledger.open(path)
    file.write_bytes(right[:-20])
    with pytest.raises(LedgerCorruptError, match="isn't a checkpoint"):
        Ledger.open(path)
    file.unlink()
    with pytest.raises(LedgerCorruptError, match="missing"):
        Ledger.open(path)
    rewrite_checkpoint(path)
    assert file.read_bytes() == right
    Ledger.open(path).close()


TABLES = {"genesis": "head", "rounds": "minted", "receipts": "score", "postings": "amount"}


@pytest.mark.parametrize(("table", "column"), TABLES.items())
def test_rows_are_never_changed_nor_deleted_nor_replaced_even_by_other_programs(
    database: Database, path: Path, table: str, column: str
) -> None:
    statements = [f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"]
    if database.kind == "sqlite":
        statements.append(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    else:
        statements.append(f"UPDATE {table} SET {column} = {column} WHERE false")
        statements.append(f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT DO NOTHING")
        statements += [f"TRUNCATE {table} CASCADE", f"DELETE FROM ONLY {table}"]
    for statement in statements:
        with pytest.raises(database.refused):
            database.run(path, statement)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("INSERT INTO postings VALUES (3, 9, 'owner:x', 'emission', -1)", "sealed"),
        (
            f"INSERT INTO postings VALUES (7, 0, 'participant:{'00' * 32}', 'emission', 1)",
            "without an accepted receipt",
        ),
        (f"INSERT INTO receipts VALUES (3, '{'00' * 32}', '', 'missing', 0, 0)", "sealed"),
        (f"INSERT INTO receipts VALUES (7, '{'00' * 32}', '', 'rejected', 1, 0)", "(?i)check constraint"),
        (
            "INSERT INTO rounds SELECT 8, era, 0, 0, 0, supply, 1, 0, '', '', '', 0, '','', '', '', '', '' FROM rounds",
            "in order",
        ),
        (
            "INSERT INTO rounds SELECT 7, era, 5, 5, 0, supply, 1, 0, '', '', '', 0, '','', '', '', '', '' FROM rounds",
            "sum to zero",
        ),
    ],
)
def test_rows_that_break_a_rule_are_refused_even_from_other_programs(
    database: Database, path: Path, statement: str, reason: str
) -> None:
    with pytest.raises(database.refused, match=reason):
        database.run(path, statement)


def test_an_amount_is_an_integer_even_from_other_programs(database: Database, path: Path) -> None:
    refused = sqlite3.IntegrityError if database.kind == "sqlite" else psycopg.errors.InvalidTextRepresentation
    with pytest.raises(refused, match=r"much|cannot store TEXT"):
        database.run(path, "INSERT INTO postings VALUES (7, 0, 'issuance', 'emission', 'much')")


@pytest.mark.only("sqlite")
def test_the_file_is_set_to_survive_a_power_cut(path: Path) -> None:
    with Ledger.open(path) as ledger, ledger._engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000}


def test_a_ledger_with_a_strange_path_is_one_like_any_other(
    database: Database, tmp_path: Path, make_genesis: Make, validator: Keypair
) -> None:
    """The path goes through a URI: what means something there must not mean it here."""
    path = tmp_path / "a ?mode=memory&b#%41é.sqlite"
    database.create(path, make_genesis(), validator).close()
    assert {path, url_path(path)} & set(tmp_path.iterdir())
    assert verify_ledger(path).ok


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


def test_a_copy_tells_the_same_and_is_a_file_wherever_the_ledger_was(
    path: Path, tmp_path: Path, make_settlement: Make, validator: Keypair
) -> None:
    """Even of a ledger that its validator has open; it can go on, as a backup should."""
    copy = tmp_path / "copy.sqlite"
    with Ledger.open(path) as ledger:
        assert copy_ledger(path, copy) == ledger.checkpoint
        told = list(ledger.dump())
    assert checkpoint_path(copy).read_bytes() == checkpoint_path(path).read_bytes()
    assert verify_ledger(copy, validator=validator.public).errors == []
    with Ledger.open(copy) as copied:
        assert list(copied.dump()) == told
        copied.settle(make_settlement(7), validator)
    with pytest.raises(LedgerError, match="is there already"):
        copy_ledger(path, copy)


def test_a_ledger_that_breaks_its_rules_is_not_copied(path: Path, tmp_path: Path, tamper: Make) -> None:
    tamper(path, "UPDATE receipts SET score = 0 WHERE round = 2 AND score = 20")
    with pytest.raises(LedgerError, match="without an accepted receipt"):
        copy_ledger(path, tmp_path / "copy.sqlite")
    assert not list(tmp_path.glob("*copy*"))


def test_a_copy_ends_where_it_began_though_rounds_are_settled_meanwhile(
    path: Path, tmp_path: Path, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = creation.make_file
    copy = tmp_path / "copy.sqlite"
    with Ledger.open(path) as ledger, monkeypatch.context() as patch:

        def late(*arguments: Any) -> None:
            ledger.settle(make_settlement(7), validator)
            real(*arguments)

        patch.setattr(creation, "make_file", late)
        assert copy_ledger(path, copy).round == 6
    result = verify_ledger(copy)
    assert (result.rounds, result.errors) == (6, [])


@pytest.mark.only("sqlite")
def test_whoever_only_reads_changes_no_byte_of_the_file(path: Path, tmp_path: Path) -> None:
    """Not even the journal's mode, which another program has set: to open the ledger to write sets it back."""
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    before = path.read_bytes()
    Ledger.open(path, read_only=True).close()
    assert verify_ledger(path).ok
    copy_ledger(path, tmp_path / "copy.sqlite")
    rewrite_checkpoint(path)
    assert path.read_bytes() == before
    Ledger.open(path).close()
    assert path.read_bytes() != before
