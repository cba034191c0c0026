"""The little of Ethereum that a settlement needs: its hash, its addresses, its amounts and two contract calls."""

import re
from collections.abc import Sequence
from typing import Final

from Crypto.Hash import keccak

from tokenomics._checks import INT64_MAX, check_integer
from tokenomics.errors import SettlementError

DECIMALS: Final = 18
"""Decimals of the claims' amounts, as of nearly every ERC-20 token."""

UINT256_MAX: Final = 2**256 - 1

_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")


def keccak256(data: bytes) -> bytes:
    """Return the 32-byte Keccak-256 of `data`: Ethereum's hash, which isn't the SHA3-256 of FIPS 202.

    >>> keccak256(b"").hex()
    'c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470'
    """
    return keccak.new(digest_bits=256, data=data).digest()


def checksum_address(text: object) -> str:
    """Return an address in the spelling that carries its checksum.

    Args:
        text: `0x` and 40 hexadecimal digits; all lower or all upper case, or mixed case with the right checksum.

    Raises:
        SettlementError: it is malformed, its checksum is wrong, or it is the zero address, which nobody owns.

    Source: EIP-55 (Buterin and Van de Sande, 2016).

    >>> checksum_address("0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed")
    '0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed'
    """
    if not isinstance(text, str) or _ADDRESS.fullmatch(text) is None:
        raise SettlementError(
            f"address {text!r:.80} isn't 0x and 40 hexadecimal digits", remedy="copy the address from your wallet"
        )
    digits = text[2:].lower()
    if not int(digits, 16):
        raise SettlementError(f"address {text} is the zero address, which nobody owns", remedy="give your own address")
    marks = keccak256(digits.encode()).hex()
    right = "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, marks, strict=False)
    )
    if text[2:] not in (digits, digits.upper(), right[2:]):
        raise SettlementError(
            f"address {text} has a wrong checksum (the case of its letters): a digit may be mistyped",
            remedy="copy the address from your wallet again",
        )
    return right


def check_hash(what: str, text: object) -> bytes:
    """Return the 32 bytes that `0x` and 64 lower-case hexadecimal digits stand for.

    Raises:
        SettlementError: it is something else.
    """
    if not isinstance(text, str) or _HASH.fullmatch(text) is None:
        raise SettlementError(
            f"{what} is {text!r:.80}, not 0x and 64 lower-case hexadecimal digits", remedy="copy it from the claims"
        )
    return bytes.fromhex(text[2:])


def scale(units: int, decimals: int) -> int:
    """Return a token's base units in units of 18 decimals, exactly.

    Args:
        units: base units, 0 to 2**63 - 1.
        decimals: the token's, 0 to 18.

    Raises:
        SettlementError: a number is out of range.

    >>> scale(1_500_000_000, 9)
    1500000000000000000
    """
    check_integer("base units", units, maximum=INT64_MAX, error=SettlementError)
    check_integer("decimals", decimals, maximum=DECIMALS, error=SettlementError)
    return int(units * 10 ** (DECIMALS - decimals))


def encode_claim(account: str, amount: int) -> bytes:
    """Return the 64 bytes of `abi.encode(address, uint256)`.

    Args:
        account: an address.
        amount: 0 to 2**256 - 1.

    Raises:
        SettlementError: either is out of range.

    Source: Solidity's contract ABI specification.
    """
    check_integer("amount", amount, maximum=UINT256_MAX, error=SettlementError)
    return bytes(12) + bytes.fromhex(checksum_address(account)[2:]) + amount.to_bytes(32, "big")


def claim_call(account: str, amount: int, proof: Sequence[str]) -> str:
    """Return the call data of `claim(address,uint256,bytes32[])`, which anyone may send to the distributor.

    Args:
        account: who is paid.
        amount: its cumulative amount, in units of 18 decimals.
        proof: what `ClaimTree.proof` gave.

    Raises:
        SettlementError: something is malformed.
    """
    steps = [check_hash("a step of the proof", step) for step in proof]
    words = (3 * 32).to_bytes(32, "big") + len(steps).to_bytes(32, "big") + b"".join(steps)
    return "0x" + (_selector("claim(address,uint256,bytes32[])") + encode_claim(account, amount) + words).hex()


def post_root_call(root: str) -> str:
    """Return the call data of `postRoot(bytes32)`, which the distributor's owner sends.

    Raises:
        SettlementError: the root is malformed.
    """
    return "0x" + (_selector("postRoot(bytes32)") + check_hash("root", root)).hex()


def _selector(signature: str) -> bytes:
    return keccak256(signature.encode())[:4]
