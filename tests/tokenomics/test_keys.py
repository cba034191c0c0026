"""Keys and wallets: signatures that hold for one purpose, files that nobody else reads."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from tokenomics import _keyfile
from tokenomics.errors import WalletError
from tokenomics.keys import Keypair, Wallet, load_hotkey, verify

PHRASE = "correct horse"
EMPTY = ""
PAIR = Keypair.from_seed(bytes(range(32)))
SIGNATURE = PAIR.sign("checkpoint", b"message")


def test_the_key_of_rfc_8032_test_1_comes_out() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    assert Keypair.from_seed(seed).public == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"


def test_what_is_signed_is_tag_domain_version_zero_byte_and_message() -> None:
    """The bytes are the protocol: another implementation must be able to make and check them."""
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(PAIR.public))
    key.verify(bytes.fromhex(SIGNATURE), b"flower-subnet/checkpoint/v1\x00message")


def test_a_signature_holds_for_its_own_key_domain_and_message_only() -> None:
    good = {"public": PAIR.public, "domain": "checkpoint", "message": b"message", "signature": SIGNATURE}
    assert verify(**good)
    other = Keypair.generate()
    for change in (
        {"public": other.public},
        {"domain": "contribution"},
        {"message": b"message "},
        {"signature": other.sign("checkpoint", b"message")},
    ):
        assert not verify(**(good | change))


@given(st.text(max_size=140), st.text(max_size=140), st.text(max_size=10))
def test_malformed_input_is_no_signature_and_never_raises(public: str, signature: str, domain: str) -> None:
    assert not verify(public=public, domain="checkpoint", message=b"message", signature=SIGNATURE)
    assert not verify(public=PAIR.public, domain="checkpoint", message=b"message", signature=signature)
    assert not verify(public=PAIR.public, domain=domain, message=b"message", signature=SIGNATURE)


@pytest.mark.parametrize(
    "spoil", [str.upper, lambda text: text + "00", lambda text: text[:-2], lambda text: " " + text[1:]]
)
def test_keys_and_signatures_have_one_spelling(spoil: Any) -> None:
    assert not verify(public=spoil(PAIR.public), domain="checkpoint", message=b"message", signature=SIGNATURE)
    assert not verify(public=PAIR.public, domain="checkpoint", message=b"message", signature=spoil(SIGNATURE))


@pytest.mark.parametrize(
    "public",
    [
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ee" + "ff" * 30 + "7f",
    ],
)
def test_a_key_under_which_anybody_can_sign_is_refused(public: str) -> None:
    """Under a key of small order the signature (identity, 0) holds for one message in eight or more."""
    key, signature = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)), bytes([1] + [0] * 63)

    def forged(message: bytes) -> bool:
        try:
            key.verify(signature, b"flower-subnet/checkpoint/v1\x00" + message)
        except InvalidSignature:
            return False
        return True

    message = next(m for m in (str(i).encode() for i in range(500)) if forged(m))
    assert not verify(public=public, domain="checkpoint", message=message, signature=signature.hex())


@pytest.mark.parametrize("domain", ["", "A", "a/b", "a\x00", "a b", "é", "a" * 65])
def test_only_plain_domains_are_signed(domain: str) -> None:
    with pytest.raises(WalletError, match="domain"):
        PAIR.sign(domain, b"")


def test_a_key_does_not_show_its_secret() -> None:
    assert PAIR.seed.hex() not in repr(PAIR)
    assert PAIR.public in repr(PAIR)


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_a_seed_of_another_length_is_refused(seed: bytes) -> None:
    for make in (Keypair.from_seed, Wallet.from_seed):
        with pytest.raises(WalletError, match=f"{len(seed)} bytes"):
            make(seed)


def test_a_seed_gives_the_same_wallet_again_and_another_seed_another() -> None:
    wallet = Wallet.from_seed(bytes(32))
    assert wallet == Wallet.from_seed(bytes(32)) != Wallet.from_seed(bytes([1] * 32))
    assert wallet.coldkey.public == wallet.hotkey.coldkey != wallet.hotkey.keypair.public


def test_the_binding_is_the_coldkeys_signature_over_the_hotkey() -> None:
    wallet = Wallet.from_seed(bytes(32))
    message = wallet.hotkey.keypair.public.encode()
    assert verify(public=wallet.coldkey.public, domain="hotkey-binding", message=message, signature=wallet.binding)


@pytest.mark.parametrize("password", [None, PHRASE])
def test_a_wallet_loads_back_as_it_was_made(tmp_path: Path, password: str | None) -> None:
    wallet = Wallet.create(tmp_path, password=password)
    folder = tmp_path / "default"
    assert Wallet.load(folder, password) == wallet
    assert load_hotkey(folder) == load_hotkey(folder / "hotkey.json") == wallet.hotkey


def test_only_the_owner_can_read_a_wallet(tmp_path: Path) -> None:
    Wallet.create(tmp_path / "new", name="alice", password=None)
    folder = tmp_path / "new" / "alice"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"alice": 0o700, "coldkey.json": 0o600, "hotkey.json": 0o600}


def test_an_encrypted_coldkey_is_not_in_its_file(tmp_path: Path) -> None:
    wallet = Wallet.create(tmp_path, password=PHRASE)
    text = (tmp_path / "default" / "coldkey.json").read_text()
    assert wallet.coldkey.seed.hex() not in text
    assert json.loads(text)["kind"] == "encrypted"


def test_a_wallet_is_never_overwritten(tmp_path: Path) -> None:
    wallet = Wallet.create(tmp_path, password=None)
    with pytest.raises(WalletError, match="already"):
        Wallet.create(tmp_path, password=None)
    assert Wallet.load(tmp_path / "default", None) == wallet
    assert [path.name for path in tmp_path.iterdir()] == ["default"]


def test_a_wallet_that_can_not_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up between the two files."""
    written = []

    def fill_up(path: Path, data: bytes) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(path)
        path.write_bytes(data)

    monkeypatch.setattr(_keyfile, "write_new", fill_up)
    with pytest.raises(WalletError, match="No space left"):
        Wallet.create(tmp_path, password=None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a" * 65, "é"])
def test_a_wallets_name_can_not_leave_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(WalletError, match="name"):
        Wallet.create(tmp_path, name=name, password=None)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="empty"):
        Wallet.create(tmp_path, password=EMPTY)


@pytest.mark.parametrize(
    ("made", "given", "message"),
    [("right", "wrong", "password is wrong"), ("right", None, "no password"), (None, "needless", "isn't encrypted")],
)
def test_only_the_right_password_opens_a_coldkey(
    tmp_path: Path, made: str | None, given: str | None, message: str
) -> None:
    Wallet.create(tmp_path, password=made)
    with pytest.raises(WalletError, match=message):
        Wallet.load(tmp_path / "default", given)


def test_a_missing_wallet_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="nobody"):
        load_hotkey(tmp_path / "nobody")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"format": "flower-subnet-hotkey"}', b"[" * 60_000, b" " * 70_000]
)
def test_a_damaged_file_is_refused_with_its_path(tmp_path: Path, content: bytes) -> None:
    Wallet.create(tmp_path, password=None)
    path = tmp_path / "default" / "hotkey.json"
    path.write_bytes(content)
    with pytest.raises(WalletError, match="isn't a whole"):
        load_hotkey(path)


@pytest.mark.parametrize("name", ["hotkey.json", "coldkey.json"])
@pytest.mark.parametrize("length", [1, 40, -2])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, length: int) -> None:
    Wallet.create(tmp_path, password=None)
    path = tmp_path / "default" / name
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(WalletError, match=name):
        Wallet.load(tmp_path / "default", None)


@pytest.mark.parametrize("name", ["hotkey.json", "coldkey.json"])
def test_a_key_that_others_can_read_is_refused_with_the_chmod_to_do(tmp_path: Path, name: str) -> None:
    Wallet.create(tmp_path, password=None)
    path = tmp_path / "default" / name
    path.chmod(0o640)
    with pytest.raises(WalletError, match="0640") as caught:
        Wallet.load(tmp_path / "default", None)
    assert caught.value.remedy == f"chmod 600 {path}"


FIELDS = {
    "hotkey.json": ["public", "coldkey", "binding", "secret"],
    "coldkey.json": ["public", "secret", "salt", "nonce", "kdf", "kind"],
}


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, fields in FIELDS.items() for field in fields])
@pytest.mark.parametrize("value", ["00" * 32, None])
def test_an_altered_field_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, field: str, value: Any
) -> None:
    monkeypatch.setattr(_keyfile, "SCRYPT", {"n": 2**4, "r": 8, "p": 1})
    Wallet.create(tmp_path, password=PHRASE)
    path = tmp_path / "default" / name
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(WalletError):
        Wallet.load(tmp_path / "default", PHRASE)


def test_keys_of_two_wallets_do_not_make_a_third(tmp_path: Path) -> None:
    Wallet.create(tmp_path, name="a", password=None)
    Wallet.create(tmp_path, name="b", password=None)
    (tmp_path / "a" / "hotkey.json").replace(tmp_path / "b" / "hotkey.json")
    with pytest.raises(WalletError, match="another coldkey"):
        Wallet.load(tmp_path / "b", None)
