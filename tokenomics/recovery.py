"""A coldkey as words that fit a sheet of paper, and hotkeys that are replaced."""

from pathlib import Path
from typing import Final

from mnemonic import Mnemonic

from tokenomics import _keyfile
from tokenomics.errors import WalletError
from tokenomics.keys import BINDING_DOMAIN, Hotkey, Keypair, Wallet, load_hotkey

__all__ = ["phrase_of", "restore_wallet", "rotate_hotkey", "seed_from_phrase"]

N_WORDS: Final = 24
"""Of a recovery phrase: 256 bits of seed and 8 of checksum, 11 bits a word."""

_WORDS: Final = Mnemonic("english")


def phrase_of(coldkey: Keypair) -> str:
    """Return a coldkey's recovery phrase: 24 English words. Whoever knows them owns its money.

    Source: BIP 39, the encoding of 256 bits; the words stand for the Ed25519 seed itself, with no derivation.
    """
    return str(_WORDS.to_mnemonic(coldkey.seed))


def seed_from_phrase(phrase: str) -> bytes:
    """Return the seed that a recovery phrase stands for; case and spacing don't matter.

    Raises:
        WalletError: there aren't 24 words, one isn't in the list (its place is named, never the word), or the checksum
            says that one is wrong.
    """
    words = phrase.lower().split()
    if len(words) != N_WORDS:
        raise WalletError(
            f"the recovery phrase has {len(words)} words, not {N_WORDS}", remedy="give all words in order"
        )
    for place, word in enumerate(words, start=1):
        if word not in _WORDS.wordlist:
            raise WalletError(f"word {place} of the recovery phrase isn't in the list", remedy="check its spelling")
    try:
        return bytes(_WORDS.to_entropy(words))
    except ValueError as error:
        raise WalletError(
            "the recovery phrase's checksum doesn't hold", remedy="check every word and their order"
        ) from error


def restore_wallet(directory: Path, *, name: str = "default", phrase: str, password: str | None) -> Wallet:
    """Make a wallet's folder anew from its recovery phrase: the coldkey of old, with a new hotkey that it vouches for.

    Args:
        directory: where wallets are kept; made when missing.
        name: as for `Wallet.create`.
        phrase: the 24 words.
        password: what encrypts the coldkey; None leaves it readable to whoever reads the file.

    Raises:
        WalletError: the phrase is wrong, or as `Wallet.create`.
    """
    coldkey = Keypair.from_seed(seed_from_phrase(phrase))
    wallet = Wallet(coldkey=coldkey, hotkey=_vouched(coldkey))
    _keyfile.write_wallet(directory, name, wallet.documents(password=password))
    return wallet


def rotate_hotkey(path: Path, *, password: str | None) -> Hotkey:
    """Replace a wallet's hotkey by a new one that the coldkey vouches for; the old one's file is kept beside it.

    The old file is written under its new name before the new hotkey takes its place, so a crash loses neither.

    Args:
        path: the wallet's folder.
        password: the coldkey's; None if it isn't encrypted.

    Returns:
        The new hotkey.

    Raises:
        WalletError: as `Wallet.load`, or the folder can't be written to.
    """
    wallet = Wallet.load(path, password)
    old, new = load_hotkey(path), _vouched(wallet.coldkey)
    kept = path / f"hotkey-{old.keypair.public[:12]}.json"
    if not kept.exists():
        _keyfile.replace(kept, old.document())
    _keyfile.replace(path / "hotkey.json", new.document())
    return new


def _vouched(coldkey: Keypair) -> Hotkey:
    keypair = Keypair.generate()
    binding = coldkey.sign(BINDING_DOMAIN, keypair.public.encode())
    return Hotkey(keypair=keypair, coldkey=coldkey.public, binding=binding)
