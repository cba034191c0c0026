"""Who somebody is: Ed25519 keys, and wallets of a coldkey that owns and a hotkey that works.

A key's public half, in hexadecimal, is its id everywhere. A signature holds for one domain only ("contribution",
"checkpoint", ...), so that a signature given for one purpose can't serve another.
"""

import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from tokenomics import _keyfile
from tokenomics._checks import is_hex
from tokenomics.canonical import sha256_hex
from tokenomics.errors import WalletError

BINDING_DOMAIN: Final = "hotkey-binding"
"""Domain in which a coldkey signs its hotkey's id (64 hexadecimal digits as ASCII)."""

_DOMAIN: Final = re.compile(r"[a-z-]{1,64}")
_FIELD_PRIME: Final = 2**255 - 19
# the y coordinates of the points of order 1, 2, 4 and 8
_SMALL_ORDER_Y: Final = frozenset(
    {
        0,
        1,
        _FIELD_PRIME - 1,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Keypair:
    """An Ed25519 key that signs. Two are equal when their public halves are; the secret half is never shown.

    Source: RFC 8032.
    """

    public: str
    """64 lower-case hexadecimal digits: the id."""
    _private: Ed25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def generate(cls) -> Self:
        """Make a new key from the operating system's randomness."""
        return cls.from_seed(secrets.token_bytes(32))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Make the key that belongs to a secret seed.

        Args:
            seed: exactly 32 bytes; whoever knows them has the key.

        Raises:
            WalletError: the seed has another length.
        """
        if len(seed) != 32:
            raise WalletError(f"the seed has {len(seed)} bytes, not 32", remedy="give 32 secret random bytes")
        private = Ed25519PrivateKey.from_private_bytes(bytes(seed))
        return cls(public=private.public_key().public_bytes_raw().hex(), _private=private)

    @property
    def seed(self) -> bytes:
        """The 32 secret bytes that `from_seed` takes."""
        return self._private.private_bytes_raw()

    def sign(self, domain: str, message: bytes) -> str:
        """Return the signature over a message, for one domain.

        Args:
            domain: what the signature is for: 1 to 64 lower-case letters and hyphens.
            message: any bytes.

        Returns:
            128 lower-case hexadecimal digits.

        Raises:
            WalletError: the domain has other characters.
        """
        if _DOMAIN.fullmatch(domain) is None:
            raise WalletError(f"signature domain {domain!r:.80} isn't 1 to 64 of a-z and -", remedy="use such a domain")
        return self._private.sign(_tagged(domain, message)).hex()

    def sign_note(self, text: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over the text of a signed note, as other programs check it.

        Args:
            text: without a zero byte, which every other message that this key signs has.

        Raises:
            WalletError: there is a zero byte in it.
        """
        if b"\x00" in text:
            raise WalletError("a note's text has a zero byte", remedy="sign such bytes in a domain of their own")
        return self._private.sign(text)


def verify(*, public: str, domain: str, message: bytes, signature: str) -> bool:
    """Whether `signature` is that of `public` over this message in this domain.

    Anything malformed (case, length, digits, domain) is simply not a signature. Keys in a second spelling, and keys of
    small order, under which one signature holds for many messages, aren't accepted either.

    Args:
        public: 64 lower-case hexadecimal digits.
        domain: what it was signed for.
        message: what was signed.
        signature: 128 lower-case hexadecimal digits.

    Source: RFC 8032, section 5.1.7; Chalkias, Garillot and Nikolaenko, Taming the many EdDSAs (2020), section 4.
    """
    if not is_hex(signature, 128) or _DOMAIN.fullmatch(domain) is None:
        return False
    return _holds(public, bytes.fromhex(signature), _tagged(domain, message))


def verify_note(*, public: str, text: bytes, signature: bytes) -> bool:
    """Whether `signature` is that of `public` over the text of a signed note (see `Keypair.sign_note` and `verify`)."""
    return b"\x00" not in text and _holds(public, signature, text)


def _holds(public: str, signature: bytes, signed: bytes) -> bool:
    """Whether a signature holds over these very bytes, by a key in its only spelling and not of small order."""
    if not is_hex(public, 64):
        return False
    y = int.from_bytes(bytes.fromhex(public), "little") & (2**255 - 1)
    if y >= _FIELD_PRIME or y in _SMALL_ORDER_Y:
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hotkey:
    """What a running node holds: a key that signs, and the proof that a coldkey stands behind it."""

    keypair: Keypair
    coldkey: str
    """The owning coldkey's id."""
    binding: str
    """The coldkey's signature over the hotkey's id, in domain `hotkey-binding`."""

    def document(self) -> dict[str, Any]:
        """Return what its file holds, the secret included."""
        return {
            "format": _keyfile.HOTKEY_FORMAT,
            "version": 1,
            "public": self.keypair.public,
            "coldkey": self.coldkey,
            "binding": self.binding,
            "secret": self.keypair.seed.hex(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Wallet:
    """A coldkey, which owns the money and stays offline, and the hotkey that it vouches for."""

    coldkey: Keypair
    hotkey: Hotkey

    @property
    def binding(self) -> str:
        """The coldkey's signature over the hotkey's id."""
        return self.hotkey.binding

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Make the wallet that belongs to a seed, in memory: for simulations, where a run must repeat.

        Args:
            seed: exactly 32 bytes.

        Raises:
            WalletError: the seed has another length.
        """
        if len(seed) != 32:
            raise WalletError(f"the seed has {len(seed)} bytes, not 32", remedy="give 32 bytes")
        cold, hot = (bytes.fromhex(sha256_hex(b"flower-subnet/wallet/" + role + seed)) for role in (b"cold", b"hot"))
        return cls._bind(Keypair.from_seed(cold), Keypair.from_seed(hot))

    @classmethod
    def create(cls, directory: Path, *, name: str = "default", password: str | None) -> Self:
        """Make a new wallet and write it to `directory/name/coldkey.json` and `hotkey.json`, both or neither.

        Args:
            directory: where wallets are kept; made when missing.
            name: 1 to 64 of letters, digits, dot, hyphen and underscore, not a dot first.
            password: what encrypts the coldkey; None, said explicitly, leaves it readable to whoever reads the file.

        Raises:
            WalletError: the wallet exists, the name or password won't do, or the folder can't be written to.
        """
        wallet = cls._bind(Keypair.generate(), Keypair.generate())
        _keyfile.write_wallet(directory, name, wallet.documents(password=password))
        return wallet

    def documents(self, *, password: str | None) -> dict[str, dict[str, Any]]:
        """Return what its files hold, by name, the coldkey encrypted with the password.

        Raises:
            WalletError: the password is empty.
        """
        cold = _keyfile.seal_coldkey(seed=self.coldkey.seed, public=self.coldkey.public, password=password)
        return {"coldkey.json": cold, "hotkey.json": self.hotkey.document()}

    @classmethod
    def load(cls, path: Path, password: str | None) -> Self:
        """Read a wallet's folder, both keys.

        Args:
            path: the folder that `create` made.
            password: the coldkey's; None if it isn't encrypted.

        Raises:
            WalletError: a file is missing, damaged or readable by others, the password is wrong, or the two keys don't
                belong together.
        """
        hotkey = load_hotkey(path)
        document = _keyfile.read(path / "coldkey.json", expected=_keyfile.COLDKEY_FORMAT)
        coldkey = Keypair.from_seed(_keyfile.open_coldkey(document, path=path / "coldkey.json", password=password))
        if coldkey.public != hotkey.coldkey or document["public"] != coldkey.public:
            raise WalletError(
                f"{path}: the hotkey belongs to another coldkey", remedy="restore both files from one backup"
            )
        return cls(coldkey=coldkey, hotkey=hotkey)

    @classmethod
    def _bind(cls, coldkey: Keypair, hotkey: Keypair) -> Self:
        binding = coldkey.sign(BINDING_DOMAIN, hotkey.public.encode())
        return cls(coldkey=coldkey, hotkey=Hotkey(keypair=hotkey, coldkey=coldkey.public, binding=binding))


def load_hotkey(path: Path) -> Hotkey:
    """Read a hotkey; no password, since a node runs unattended.

    Args:
        path: the wallet's folder, or its `hotkey.json`.

    Raises:
        WalletError: it is missing, damaged or readable by others, or its coldkey's signature doesn't hold.
    """
    file = path / "hotkey.json" if path.is_dir() else path
    document = _keyfile.read(file, expected=_keyfile.HOTKEY_FORMAT)
    keypair = Keypair.from_seed(_keyfile.seed_of(document["secret"], path=file))
    coldkey, binding = document["coldkey"], document["binding"]
    bound = verify(public=coldkey, domain=BINDING_DOMAIN, message=keypair.public.encode(), signature=binding)
    if document["public"] != keypair.public or not bound:
        raise WalletError(f"{file}: its keys and signature don't belong together", remedy="restore it from a backup")
    return Hotkey(keypair=keypair, coldkey=coldkey, binding=binding)


def _tagged(domain: str, message: bytes) -> bytes:
    """Neither a slash nor a zero byte can be in a domain, so no two pairs of domain and message give the same bytes."""
    return b"flower-subnet/" + domain.encode("ascii") + b"/v1\x00" + message
