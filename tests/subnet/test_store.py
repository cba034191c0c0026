"""The store: what is read is what was written, or an error; a file is whole or not there."""

import errno
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subnet import store as module
from subnet.errors import StoreError
from subnet.store import Store, write_atomically
from tokenomics.canonical import canonical_json, sha256_hex

KINDS = ["models", "updates", "contributions", "receipts", "rounds"]


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@given(data=st.binary(max_size=200))
def test_what_was_put_is_got(tmp_path_factory, data):
    """An object is found by its SHA-256, bit for bit, in the folder of its kind."""
    store = Store(tmp_path_factory.mktemp("store"))
    for kind in KINDS:
        assert store.put(kind, data) == sha256_hex(data)
        assert store.get(kind, sha256_hex(data)) == data
    assert len(files(store.root)) == len(KINDS)


def test_a_document_is_stored_in_canonical_form(tmp_path):
    """Equal documents are one object, whatever the order of their keys."""
    store = Store(tmp_path)
    name = store.put_json("receipts", {"b": 1, "a": [0.1, None]})
    assert store.put_json("receipts", {"a": [0.1, None], "b": 1}) == name
    assert store.get("receipts", name) == canonical_json({"a": [0.1, None], "b": 1})
    assert store.get_json("receipts", name) == {"a": [0.1, None], "b": 1}
    assert len(files(tmp_path)) == 1


@pytest.mark.parametrize("change", [b"", b"hellp", b"hello!", b"hell"])
def test_an_altered_object_isnt_given_out(tmp_path, change):
    """A file that was changed, cut or extended is an error that names it."""
    store = Store(tmp_path)
    name = store.put("updates", b"hello")
    path = tmp_path / "updates" / f"{name}.safetensors"
    path.write_bytes(change)
    with pytest.raises(StoreError, match="was altered") as caught:
        store.get("updates", name)
    assert str(path) in caught.value.message
    assert caught.value.remedy


def test_a_missing_object_is_named(tmp_path):
    """An object that isn't there, or is of another kind, is an error with its path."""
    store = Store(tmp_path)
    name = store.put("updates", b"hello")
    with pytest.raises(StoreError, match=f"models/{name}.safetensors can't be read"):
        store.get("models", name)


def test_putting_again_mends_a_damaged_object(tmp_path):
    """Writing an object that is there is harmless, and replaces one that was damaged."""
    store = Store(tmp_path)
    name = store.put("models", b"hello")
    (tmp_path / "models" / f"{name}.safetensors").write_bytes(b"hellp")
    assert store.put("models", b"hello") == name
    assert store.get("models", name) == b"hello"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "read-only file system"),
        (errno.EIO, "check the disk"),
    ],
)
@pytest.mark.parametrize("call", ["fsync", "mkstemp", "replace"])
def test_a_failing_disk_is_an_error_with_a_remedy_and_leaves_nothing(tmp_path, monkeypatch, number, remedy, call):
    """Wherever writing fails, the old content stands, no temporary file is left, and the remedy fits the cause."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    targets = {
        "fsync": (module.os, "fsync"),
        "mkstemp": (module.tempfile, "mkstemp"),
        "replace": (module.Path, "replace"),
    }
    monkeypatch.setattr(*targets[call], fail)
    with pytest.raises(StoreError, match="can't write") as caught:
        write_atomically(path, b"new and longer")
    assert str(path) in caught.value.message
    assert remedy in caught.value.remedy
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["file"]


def test_an_interruption_leaves_no_temporary_file(tmp_path, monkeypatch):
    """Ctrl-C in mid-write goes through, and takes its temporary file with it."""

    def interrupt(_handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "file", b"new")
    assert files(tmp_path) == []


DIE = "import os; from subnet import store; store.os.fsync = lambda _: os._exit(9)"


def test_what_a_crash_left_half_written_is_swept_when_the_run_goes_on(tmp_path, open_game):
    """A process dies before its file has its name; the next one removes that file, alone, and plays on."""
    with open_game(tmp_path, "honest=3") as game:
        game.play()
    whole = files(tmp_path)
    put = f"store.Store(store.Path({str(tmp_path)!r})).put('updates', b'half')"
    assert subprocess.run([sys.executable, "-c", f"{DIE}; {put}"], check=False).returncode == 9
    [left] = set(files(tmp_path)) - set(whole)
    assert left.startswith("updates/.")
    with open_game(tmp_path, "honest=3") as game:
        assert set(files(tmp_path)) >= set(whole)
        assert left not in files(tmp_path)
        game.play()
        assert game.fixture.ledger.height == 2


def test_a_sweep_that_isnt_allowed_says_why(tmp_path, monkeypatch):
    """The error names the file and has a remedy."""
    store = Store(tmp_path)
    (tmp_path / "models" / ".writing-x").touch()

    def refuse(*_, **__):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module.Path, "unlink", refuse)
    with pytest.raises(StoreError, match=r"\.writing-x: Permission denied") as caught:
        store.sweep()
    assert "permissions" in caught.value.remedy


def test_bytes_reach_the_disk_before_their_name_does(tmp_path, monkeypatch):
    """The whole content is flushed and synced under a temporary name before the rename."""
    seen = []
    fsync, replace = os.fsync, module.Path.replace

    def watch_fsync(handle):
        seen.append(("fsync", os.fstat(handle).st_size))
        fsync(handle)

    def watch_replace(path, target):
        seen.append(("rename", path.stat().st_size))
        return replace(path, target)

    monkeypatch.setattr(module.os, "fsync", watch_fsync)
    monkeypatch.setattr(module.Path, "replace", watch_replace)
    write_atomically(tmp_path / "file", bytes(10_000))
    assert seen[:2] == [("fsync", 10_000), ("rename", 10_000)]


def test_a_store_that_cant_be_made_says_why(tmp_path):
    """A path that runs through a file is an error that offers --out."""
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="can't write") as caught:
        Store(tmp_path / "file" / "run")
    assert "--out" in caught.value.remedy
