"""A ledger's files: made whole or not at all, opened with a checkpoint that fits, copied, not changed by reading."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tokenomics.ledger.database import Database
from tokenomics import _files
from tokenomics.errors import LedgerCorruptError, LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import (
    Checkpoint,
    Ledger,
    checkpoint_path,
    copy_ledger,
    creation,
    rewrite_checkpoint,
    store,
    verify_ledger,
)
from tokenomics.ledger.place import url_path
from tokenomics.note import parse_note, write_note

Make = Callable[..., Any]


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
