"""What a ledger refuses, to the letter: what is wrong, where, and what to do about it."""

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tokenomics.errors import LedgerError, ProofError
from tokenomics.keys import Keypair
from tokenomics.ledger import Checkpoint, Genesis, Ledger, checkpoint, checkpoint_path, copy_ledger, rewrite_checkpoint
from tokenomics.ledger.place import url_path

Make = Callable[..., Any]
STRANGER = Keypair.from_seed(bytes([9] * 32))
ANOTHER = "open that ledger, or choose another folder"
BACKUP = "restore ledger and checkpoint from one backup; `verify_ledger` says more"
AGAIN = "restore it from a backup; `rewrite_checkpoint` makes it anew for a ledger known to be whole ({path})"


@dataclass(frozen=True, kw_only=True)
class Given:
    """A closed ledger of six rounds, and what it takes to do something with it."""

    path: Path
    genesis: Genesis
    validator: Keypair
    settlement: Make
    tamper: Make

    @property
    def elsewhere(self) -> Path:
        """A ledger's path beside it, at which there is none."""
        return self.path.with_name("none.sqlite")

    def create(self, path: Path, signer: Keypair | None = None) -> Ledger:
        """Make another ledger."""
        return Ledger.create(path, self.genesis, signer or self.validator)

    def settle(self, *, read_only: bool = False, signer: Keypair | None = None, behind: str = "") -> None:
        """Settle another round, after a statement behind the open ledger's back."""
        with Ledger.open(self.path, read_only=read_only) as ledger:
            if behind:
                self.tamper(self.path, behind)
            ledger.settle(self.settlement(7), signer or self.validator)

    def open_with(self, file: str) -> Ledger:
        """Open the ledger with another checkpoint file."""
        checkpoint_path(self.path).write_text(file)
        return Ledger.open(self.path)

    @property
    def last(self) -> Checkpoint:
        """The checkpoint in the file."""
        return Checkpoint.parse(checkpoint_path(self.path).read_text())


@pytest.fixture
def given(path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair, tamper: Make) -> Given:
    return Given(path=path, genesis=make_genesis(), validator=validator, settlement=make_settlement, tamper=tamper)


def at(given: Given, file: Path) -> Ledger:
    """Make a ledger where a file is in the way."""
    file.touch()
    return given.create(given.elsewhere)


def without_checkpoint(given: Given) -> Ledger:
    """Open a ledger that has lost its checkpoint."""
    checkpoint_path(given.path).unlink()
    return Ledger.open(given.path)


def a_folder_for_a_checkpoint(given: Given) -> None:
    """Where the checkpoint's file should be, there is a folder when the round is settled."""
    with Ledger.open(given.path) as ledger:
        checkpoint_path(given.path).unlink()
        checkpoint_path(given.path).mkdir()
        ledger.settle(given.settlement(7), given.validator)


def a_folder_to_read(given: Given) -> Ledger:
    """Where the checkpoint's file should be, there is a folder when the ledger is opened."""
    checkpoint_path(given.path).unlink()
    checkpoint_path(given.path).mkdir()
    return Ledger.open(given.path)


def tampered(given: Given, statement: str) -> Ledger:
    """Open a ledger that somebody has changed."""
    given.tamper(given.path, statement)
    return Ledger.open(given.path)


REFUSED: dict[str, tuple[Callable[[Given], object], str, str]] = {
    "no ledger": (
        lambda given: Ledger.open(given.elsewhere),
        "there is no ledger at {none}",
        "check the path, or start the subnet first",
    ),
    "to settle what is only read": (
        lambda given: given.settle(read_only=True),
        "ledger {path} was opened to be read only",
        "open it without read_only",
    ),
    "another signer": (
        lambda given: given.settle(signer=STRANGER),
        f"{STRANGER.public[:12]} signs, but the ledger's validator is {{validator}}",
        "use the wallet with which the ledger was made",
    ),
    "another maker": (
        lambda given: given.create(given.elsewhere, STRANGER),
        f"{STRANGER.public[:12]} signs, but the ledger's validator is {{validator}}",
        "use the wallet with which the ledger was made",
    ),
    "a log that was changed meanwhile": (
        lambda given: given.settle(behind="UPDATE rounds SET log_root = head WHERE round = 6"),
        "ledger {path}: the log of its rounds isn't what round 6 says",
        "restore it from a backup; `verify_ledger` says more",
    ),
    "a file in the way": (lambda given: at(given, given.elsewhere), "{none} is there already", ANOTHER),
    "a journal in the way": (
        lambda given: at(given, given.elsewhere.with_name("none.sqlite-wal")),
        "{none}-wal is there already",
        ANOTHER,
    ),
    "a server's name in the way": (
        lambda given: at(given, url_path(given.elsewhere)),
        "{none}.url is there already",
        ANOTHER,
    ),
    "a checkpoint in the way": (
        lambda given: at(given, checkpoint_path(given.elsewhere)),
        "{none}.checkpoint is there already",
        ANOTHER,
    ),
    "no folder for a ledger": (
        lambda given: given.create(given.elsewhere / "ledger.sqlite"),
        "ledger {none}/ledger.sqlite can't be made: No such file or directory",
        "make its folder, and check that it is yours",
    ),
    "no folder for a copy": (
        lambda given: copy_ledger(given.path, given.elsewhere / "ledger.sqlite"),
        "ledger {none}/ledger.sqlite can't be made: No such file or directory",
        "make its folder, and check that it is yours",
    ),
    "no checkpoint": (
        without_checkpoint,
        "{path}.checkpoint is missing, and the ledger is at round 6",
        f"{BACKUP}; `rewrite_checkpoint` if it is known to be whole",
    ),
    "a checkpoint of a round to come": (
        lambda given: given.open_with(replace(given.last, tree=replace(given.last.tree, size=9)).note),
        "ledger {path} ends at round 6, but its checkpoint is of round 8",
        BACKUP,
    ),
    "a checkpoint of another round": (
        lambda given: given.open_with(replace(given.last, tree=replace(given.last.tree, size=4)).note),
        "ledger {path} has another round 3 than its checkpoint",
        BACKUP,
    ),
    "a checkpoint of another genesis": (
        lambda given: given.open_with(replace(given.last, tree=replace(given.last.tree, size=1)).note),
        "ledger {path} has another round 0 than its checkpoint",
        BACKUP,
    ),
    "a checkpoint of no leaf": (
        lambda given: given.open_with(replace(given.last, tree=replace(given.last.tree, size=0)).note),
        "{path}.checkpoint isn't a checkpoint: the log hasn't signed this checkpoint",
        AGAIN,
    ),
    "a key's id of seven digits": (
        lambda given: replace(given.last, key_id="0123456"),
        "key id is '0123456', not 8 lower-case hexadecimal digits",
        "",
    ),
    "a signature cut short": (
        lambda given: replace(given.last, signature="ab"),
        "signature is 'ab', not 128 lower-case hexadecimal digits",
        "",
    ),
    "a checkpoint that isn't text": (
        lambda given: (checkpoint_path(given.path).write_bytes(b"\xff"), Ledger.open(given.path)),
        "{path}.checkpoint isn't a checkpoint: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
        AGAIN,
    ),
    "a checkpoint that can't be read": (
        a_folder_to_read,
        "{path}.checkpoint can't be read: Is a directory",
        AGAIN,
    ),
    "a checkpoint that can't be written": (
        a_folder_for_a_checkpoint,
        "round 7 is settled, but {path}.checkpoint can't be written: Is a directory",
        "free some space or mend the permissions, then go on: the next round writes it",
    ),
    "a genesis that is no JSON": (
        lambda given: tampered(given, "UPDATE genesis SET document = '['"),
        "the genesis isn't JSON",
        "restore the ledger from a backup",
    ),
    "no genesis": (
        lambda given: tampered(given, "DELETE FROM genesis"),
        "the ledger hasn't one readable genesis row",
        "restore it from a backup",
    ),
    "two geneses": (
        lambda given: tampered(given, "INSERT INTO genesis SELECT 1, document, head, signature FROM genesis"),
        "the ledger hasn't one readable genesis row",
        "restore it from a backup",
    ),
    "a checkpoint of a round that isn't settled": (
        lambda given: Ledger.open(given.path).checkpoint_of(7),
        "round 7 isn't settled",
        "name a round from 0 to 6",
    ),
}


@pytest.mark.only("sqlite")
@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_what_is_wrong_and_the_remedy(given: Given, case: str) -> None:
    act, message, remedy = REFUSED[case]
    names = {"path": given.path, "none": given.elsewhere, "validator": given.validator.public[:12]}
    with pytest.raises(LedgerError) as caught:
        act(given)
    assert (caught.value.message, caught.value.remedy) == (message.format(**names), remedy.format(**names))


def test_a_published_checkpoint_has_a_leaf_and_its_logs_signature(given: Given) -> None:
    note = given.last.note
    for other in (
        replace(given.last, tree=replace(given.last.tree, size=0)).note,
        note.replace("— digits/", "— others/"),
    ):
        with pytest.raises(ProofError) as caught:
            Checkpoint.parse(other)
        told = ("the log hasn't signed this checkpoint", "give the checkpoint as it was published")
        assert (caught.value.message, caught.value.remedy) == told


@pytest.mark.only("sqlite")
def test_a_folder_that_cant_be_tidied_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only reads needn't tidy it."""

    def refuse(_: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(checkpoint, "remove_leftovers", refuse)
    Ledger.open(path, read_only=True).close()
    with pytest.raises(LedgerError) as caught:
        Ledger.open(path)
    named = f"a temporary file beside {checkpoint_path(path)} can't be removed: Read-only file system"
    assert (caught.value.message, caught.value.remedy) == (named, "mend the folder's permissions")


@pytest.mark.parametrize("read", [Ledger.open, rewrite_checkpoint])
def test_what_is_no_ledger_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    garbage, empty = tmp_path / "garbage.sqlite", tmp_path / "empty.sqlite"
    garbage.write_bytes(b"not a database, but long enough to look at" * 100)
    empty.touch()
    for file, message in ((garbage, f"ledger {garbage}: it is no database"), (empty, f"{empty} has ledger revision")):
        with pytest.raises(LedgerError, match=f"^{re.escape(message)}"):
            read(file)
