"""What a participant signs: an enrolment (who I am) and a contribution (what I trained).

Both are small JSON documents over canonical bytes, signed with the hotkey under a domain of their own, so that one
can't be passed off as the other. The update itself travels beside its envelope, which names its hash.
"""

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from clients.errors import ContributionError
from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.keys import Hotkey, verify

Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]

MAX_DOCUMENT_CHARS = 4096
"""No signed document is longer; checked before it is parsed."""

MAX_EXAMPLES = 2**53
"""No contribution claims more."""

MAX_GPU_MS = 2**53
"""Nor to have trained for longer, in milliseconds."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = 1
    subnet: Hex32
    """Content hash of the subnet's spec."""
    hotkey: Hex32
    """Who signs: an Ed25519 public key."""

    def canonical(self) -> str:
        """Return the text whose UTF-8 bytes are signed and hashed."""
        return canonical_json(self.model_dump()).decode()


class Enrolment(_Document):
    """A node says which hotkey it works for, and which coldkey owns that one."""

    coldkey: Hex32
    binding: Hex64
    """The coldkey's signature over the hotkey."""
    challenge: Annotated[str, StringConstraints(max_length=128)]
    """The random id of the message that this answers."""


class Envelope(_Document):
    """What a contribution is, in the participant's own signed words."""

    round: Annotated[int, Field(ge=1, le=2**53)]
    base_hash: Hex32
    """Hash of the model that training started from."""
    update_hash: Hex32
    """SHA-256 of the update's safetensors bytes."""
    message_id: Annotated[str, StringConstraints(max_length=128)]
    """The random id of the message that this answers: a signed envelope can't be sent twice."""
    validator: Hex32
    """Whom it is meant for."""
    n_examples: Annotated[int, Field(ge=0, le=MAX_EXAMPLES)]
    """Examples trained on: information, never a weight."""
    epsilon_micro: Annotated[int, Field(ge=0, le=2**53)] | None
    """Differential-privacy budget spent so far, in millionths; None without differential privacy."""
    gpu_ms: Annotated[int, Field(ge=0, le=MAX_GPU_MS)] | None = None
    """Milliseconds for which training held a GPU, by its sender's word: information. None where it doesn't say; then it
    isn't in the document either."""

    def canonical(self) -> str:
        """Return the text whose UTF-8 bytes are signed and hashed."""
        return canonical_json(self.model_dump(exclude={"gpu_ms"} if self.gpu_ms is None else None)).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A document's text and the signature over its bytes, as they travel and are stored."""

    document: str
    signature: str

    @property
    def hash(self) -> str:
        """SHA-256 over document and signature: the contribution's name in receipts and in the validation draw."""
        return sha256_hex(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the JSON in which the pair is stored."""
        return canonical_json({"document": self.document, "signature": self.signature})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read what `to_bytes` wrote."""
        stored = json.loads(data)
        return cls(document=stored["document"], signature=stored["signature"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """A signed envelope and the update that it names."""

    signed: Signed
    update: bytes


D = TypeVar("D", bound=_Document)


def sign_enrolment(document: Enrolment, hotkey: Hotkey) -> Signed:
    """Sign an enrolment with the hotkey."""
    return _sign("enrolment", document, hotkey)


def sign_envelope(document: Envelope, hotkey: Hotkey) -> Signed:
    """Sign a contribution's envelope with the hotkey."""
    return _sign("contribution", document, hotkey)


def open_enrolment(signed: Signed) -> Enrolment:
    """Return the enrolment if its own signature and the coldkey's binding hold.

    Raises:
        ContributionError: with reason `malformed` or `bad_signature`.
    """
    document = _open("enrolment", Enrolment, signed)
    bound = verify(
        public=document.coldkey, domain="hotkey-binding", message=document.hotkey.encode(), signature=document.binding
    )
    if not bound:
        raise ContributionError("bad_signature", "the coldkey didn't sign this hotkey")
    return document


def open_envelope(signed: Signed) -> Envelope:
    """Return the envelope if its signature holds.

    Raises:
        ContributionError: with reason `malformed` or `bad_signature`.
    """
    return _open("contribution", Envelope, signed)


def _sign(domain: str, document: _Document, hotkey: Hotkey) -> Signed:
    text = document.canonical()
    return Signed(document=text, signature=hotkey.keypair.sign(domain, text.encode()))


def _open(domain: str, kind: type[D], signed: Signed) -> D:
    if len(signed.document) > MAX_DOCUMENT_CHARS:
        raise ContributionError("oversized", f"a signed document of {len(signed.document):,} characters")
    try:
        document = kind.model_validate_json(signed.document)
    except ValidationError as error:
        raise ContributionError("malformed", f"{kind.__name__.lower()}: {_first_problem(error)}") from error
    if document.canonical() != signed.document:
        raise ContributionError("malformed", f"{kind.__name__.lower()} isn't in canonical form")
    if not verify(public=document.hotkey, domain=domain, message=signed.document.encode(), signature=signed.signature):
        raise ContributionError("bad_signature", f"the signature isn't that of hotkey {document.hotkey[:12]}")
    return document


def _first_problem(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(part) for part in first['loc']) or 'document'}: {first['msg']}"
