"""Recovery phrases and rotated hotkeys: nothing is lost, and every mistake is named."""

import stat
from pathlib import Path

import pytest

from tokenomics import _keyfile
from tokenomics.errors import WalletError
from tokenomics.keys import BINDING_DOMAIN, Keypair, Wallet, load_hotkey, verify
from tokenomics.recovery import phrase_of, restore_wallet, rotate_hotkey, seed_from_phrase

PASSWORD = "a password"  # noqa: S105 (a test's)
OTHER = "another password"
LEGAL = "legal winner thank year wave sausage worth useful " * 2 + "legal winner thank year wave sausage worth title"
HAMSTER = (
    "hamster diagram private dutch cause delay private meat slide toddler razor book "
    "happy fancy gospel tennis maple dilemma loan word shrug inflict delay length"
)
ZEROS = " ".join(["abandon"] * 23 + ["art"])
"""BIP 39's phrase for 32 zero bytes."""


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a guess at a password cheap: its cost is tested elsewhere."""
    monkeypatch.setattr(_keyfile, "SCRYPT", {"n": 16, "r": 8, "p": 1})


@pytest.mark.parametrize(
    ("entropy", "phrase"),
    [
        ("00" * 32, ZEROS),
        ("7f" * 32, LEGAL),
        ("ff" * 32, f"{'zoo ' * 23}vote"),
        ("68a79eaca2324873eacc50cb9c6eca8cc68ea5d936f98787c60c7ebc74e6ce7c", HAMSTER),
    ],
)
def test_the_published_phrases_come_out(entropy: str, phrase: str) -> None:
    """Vectors of BIP 39's reference implementation with 256 bits."""
    assert phrase_of(Keypair.from_seed(bytes.fromhex(entropy))) == phrase.strip()
    assert seed_from_phrase(phrase).hex() == entropy


def test_a_wallet_comes_back_from_its_phrase(tmp_path: Path) -> None:
    """The same coldkey under another password, with a hotkey of its own."""
    made = Wallet.create(tmp_path, name="a", password=PASSWORD)
    phrase = phrase_of(made.coldkey).upper().replace(" ", "\n ")
    restored = restore_wallet(tmp_path, name="b", phrase=phrase, password=OTHER)
    assert restored.coldkey == made.coldkey
    assert restored.hotkey.keypair != made.hotkey.keypair
    assert Wallet.load(tmp_path / "b", OTHER) == restored


@pytest.mark.parametrize(
    ("phrase", "said"),
    [
        ("", "has 0 words"),
        (ZEROS + " art", "has 25 words"),
        (ZEROS.replace("art", "artt"), "word 24"),
        (ZEROS.replace("art", "abandon"), "checksum"),
        (" ".join(["art", *["abandon"] * 23]), "checksum"),
    ],
)
def test_a_wrong_phrase_is_told_without_telling_it(phrase: str, said: str, tmp_path: Path) -> None:
    """Too short, too long, misspelt, another word, another order; nothing is written."""
    with pytest.raises(WalletError, match=said) as error:
        restore_wallet(tmp_path, phrase=phrase, password=None)
    assert "artt" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_rotated_hotkey_is_vouched_for_and_the_old_one_kept(tmp_path: Path) -> None:
    """The coldkey signs the new one; the old file stays, readable by its owner alone; the wallet loads."""
    made = Wallet.create(tmp_path, password=PASSWORD)
    folder = tmp_path / "default"
    rotated = rotate_hotkey(folder, password=PASSWORD)
    assert rotated.keypair != made.hotkey.keypair
    assert rotated.coldkey == made.coldkey.public
    message = rotated.keypair.public.encode()
    assert verify(public=made.coldkey.public, domain=BINDING_DOMAIN, message=message, signature=rotated.binding)
    assert Wallet.load(folder, PASSWORD).hotkey == rotated
    old = folder / f"hotkey-{made.hotkey.keypair.public[:12]}.json"
    assert load_hotkey(old) == made.hotkey
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    rotate_hotkey(folder, password=PASSWORD)
    assert len(list(folder.glob("hotkey-*.json"))) == 2


def test_a_wrong_password_rotates_nothing(tmp_path: Path) -> None:
    Wallet.create(tmp_path, password=PASSWORD)
    before = {file.name: file.read_bytes() for file in (tmp_path / "default").iterdir()}
    with pytest.raises(WalletError, match="password is wrong"):
        rotate_hotkey(tmp_path / "default", password=OTHER)
    assert {file.name: file.read_bytes() for file in (tmp_path / "default").iterdir()} == before


def test_a_crash_while_rotating_loses_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the old hotkey is written aside and the new one isn't yet, the old one still works."""
    made = Wallet.create(tmp_path, password=None)
    real = _keyfile.replace

    def failing(path: Path, document: object) -> None:
        if path.name == "hotkey.json":
            raise WalletError("no space", remedy="")
        real(path, document)  # type: ignore[arg-type]

    monkeypatch.setattr(_keyfile, "replace", failing)
    with pytest.raises(WalletError, match="no space"):
        rotate_hotkey(tmp_path / "default", password=None)
    assert Wallet.load(tmp_path / "default", None) == made
