"""A coldkey's signed word on which EVM address is its own."""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from tokenomics._checks import INT64_MAX, check_hex, check_integer
from tokenomics.canonical import canonical_json
from tokenomics.errors import SettlementError
from tokenomics.keys import Keypair, verify
from tokenomics.settlement.evm import checksum_address

DOMAIN: Final = "evm-binding"
"""Domain in which a coldkey signs the canonical JSON of address, chain id, coldkey and nonce."""

_FORMAT: Final = "flower-subnet-evm-binding"
_SIGNED: Final = ("address", "chain_id", "coldkey", "nonce")
_FIELDS: Final = {"format", "version", "signature", *_SIGNED}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvmBinding:
    """Where a coldkey wants what it earns paid.

    Made by `sign` or `read`; both see to it that the signature holds.

    Attributes:
        coldkey: who signs, 64 lower-case hexadecimal digits.
        chain_id: the chain's number (EIP-155), 1 to 2**63 - 1.
        address: in its checksum spelling.
        nonce: 0 to 2**63 - 1; of two bindings of a coldkey on a chain, that with the higher one counts.
        signature: 128 lower-case hexadecimal digits.
    """

    coldkey: str
    chain_id: int
    address: str
    nonce: int
    signature: str

    @classmethod
    def sign(cls, coldkey: Keypair, *, address: str, chain_id: int, nonce: int) -> Self:
        """Sign a binding with the coldkey.

        Raises:
            SettlementError: the address is malformed, or a number is out of range.
        """
        checked = checksum_address(address)
        _check_numbers(chain_id, nonce)
        message = _message(address=checked, chain_id=chain_id, coldkey=coldkey.public, nonce=nonce)
        signature = coldkey.sign(DOMAIN, message)
        return cls(coldkey=coldkey.public, chain_id=chain_id, address=checked, nonce=nonce, signature=signature)

    @classmethod
    def read(cls, document: object) -> Self:
        """Read what `to_dict` gave, and check it.

        Raises:
            SettlementError: a field is missing, unknown or out of range, or the coldkey didn't sign it.
        """
        if not isinstance(document, dict) or set(document) != _FIELDS or document["format"] != _FORMAT:
            raise SettlementError(
                f"{document!r:.80} isn't a binding", remedy="give what `subnet wallet bind-evm` printed"
            )
        if document["version"] != 1:
            raise SettlementError(f"a binding of version {document['version']!r:.20}, not 1", remedy="sign it again")
        address = checksum_address(document["address"])
        coldkey = check_hex("coldkey", document["coldkey"], error=SettlementError)
        _check_numbers(document["chain_id"], document["nonce"])
        signed = {name: document[name] for name in _SIGNED}
        signature = document["signature"]
        if address != document["address"] or not verify(
            public=coldkey, domain=DOMAIN, message=_message(**signed), signature=signature
        ):
            raise SettlementError(
                f"the binding of {coldkey[:12]} to {address} isn't signed by that coldkey",
                remedy="have its owner sign it with `subnet wallet bind-evm`",
            )
        return cls(**signed, signature=signature)

    @classmethod
    def read_lines(cls, text: str) -> list[Self]:
        """Read bindings, one JSON object a line; empty lines are skipped.

        Raises:
            SettlementError: a line isn't JSON or isn't a binding; the message names the line.
        """
        found = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                found.append(cls.read(json.loads(line)))
            except ValueError as error:
                raise SettlementError(
                    f"line {number} isn't JSON: {error}",
                    remedy="give what `subnet wallet bind-evm` printed, a line each",
                ) from error
            except SettlementError as error:
                raise SettlementError(f"line {number}: {error.message}", remedy=error.remedy) from error
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"format": _FORMAT, "version": 1, **asdict(self)}


def _check_numbers(chain_id: object, nonce: object) -> None:
    check_integer("chain id", chain_id, minimum=1, maximum=INT64_MAX, error=SettlementError)
    check_integer("nonce", nonce, maximum=INT64_MAX, error=SettlementError)


def _message(**signed: Any) -> bytes:
    return canonical_json(signed)
