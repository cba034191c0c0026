"""`subnet wallet`: made, shown, restored, rotated, and used to sign."""

import json
from functools import partial

import pytest

from tokenomics import _keyfile


@pytest.fixture
def command(command, monkeypatch):
    """Runs `subnet wallet ...` in this process; gives exit code, output and error stream."""
    monkeypatch.setattr(_keyfile, "SCRYPT", {"n": 16, "r": 8, "p": 1})
    monkeypatch.setenv("SUBNET_WALLET_PASSWORD", "pass")
    return partial(command, "wallet")


def test_a_lost_wallet_comes_back(command, tmp_path, monkeypatch):
    """What `new` shows once restores the coldkey elsewhere."""
    code, out, _ = command("new", tmp_path, "--name", "ada")
    assert code == 0
    coldkey = out.splitlines()[2].split()[1]
    phrase = " ".join(line for line in out.splitlines() if line.startswith("  "))
    assert len(phrase.split()) == 24
    monkeypatch.setenv("SUBNET_WALLET_PHRASE", phrase)
    code, out, _ = command("restore", tmp_path, "--name", "ada2")
    assert (code, out.splitlines()[2].split()[1]) == (0, coldkey)
    code, out, _ = command("export", tmp_path / "ada2", "--phrase")
    assert out.split() == phrase.split()
    monkeypatch.setenv("SUBNET_WALLET_PHRASE", "abandon")
    code, _, err = command("restore", tmp_path, "--name", "ada3")
    assert code == 3
    assert "has 1 words, not 24" in err


@pytest.mark.parametrize("options", [(), ("--coldkey",)])
def test_a_signature_holds_for_its_message_and_key(command, tmp_path, options):
    """For a text as for the file with the same bytes; for no other message, and exit 1 says so."""
    command("new", tmp_path)
    shown = json.loads(command("show", tmp_path / "default", "--json")[1])
    code, out, _ = command("sign", tmp_path / "default", "--message", "hello", *options)
    signed = json.loads(out)
    assert (code, signed["key"]) == (0, shown["coldkey" if options else "hotkey"])
    (tmp_path / "text").write_text("hello")
    checks = ("verify", "--key", signed["key"], "--signature", signed["signature"])
    assert command(*checks, "--file", tmp_path / "text")[0] == 0
    assert command(*checks, "--message", "hullo")[:2] == (1, "the signature doesn't hold\n")


def test_a_rotated_wallet_keeps_its_coldkey(command, tmp_path, monkeypatch):
    """Another hotkey, the same coldkey; a wrong password is one line with a remedy."""
    command("new", tmp_path)
    before = json.loads(command("export", tmp_path / "default")[1])
    assert command("rotate", tmp_path / "default")[0] == 0
    after = json.loads(command("export", tmp_path / "default")[1])
    assert (after["coldkey"], after["hotkey"] == before["hotkey"]) == (before["coldkey"], False)
    monkeypatch.setenv("SUBNET_WALLET_PASSWORD", "wrong")
    code, _, err = command("rotate", tmp_path / "default")
    assert code == 3
    assert "the password is wrong" in err


def test_a_message_is_named_once(command, tmp_path):
    """Neither text nor file, or a file that isn't there."""
    command("new", tmp_path)
    assert "give a text or a file" in command("sign", tmp_path / "default")[2]
    assert "can't be read" in command("sign", tmp_path / "default", "--file", tmp_path / "none")[2]
