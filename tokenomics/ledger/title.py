"""A hotkey's own word on the coldkey that its account belongs to: an enrolment, as participants give it to validators.

Only the hotkey can say so: the coldkey's binding alone would let any coldkey claim any hotkey's pay. It is the
enrolment and no document of its own because a run keeps it, in public: so a coldkey that comes back from its recovery
phrase, and has lost the hotkey, still reaches what that earned.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from tokenomics._checks import is_hex
from tokenomics.errors import OrderError
from tokenomics.keys import BINDING_DOMAIN, verify

ENROLMENT_DOMAIN: Final = "enrolment"
"""Domain in which a hotkey signs the document."""

_MAX_CHARACTERS: Final = 4096
_NAMES: Final = ("subnet", "hotkey", "coldkey", "binding")


@dataclass(frozen=True, slots=True, kw_only=True)
class Title:
    """An enrolment's text and the hotkey's signature over its bytes.

    Raises:
        OrderError: it has another form; what it says is `holder`'s business.
    """

    document: str
    """JSON with at least `subnet`, `hotkey`, `coldkey` and `binding`, 1 to 4096 characters."""
    signature: str
    """128 hexadecimal digits."""

    def __post_init__(self) -> None:
        if not 0 < len(self.document) <= _MAX_CHARACTERS:
            message = f"the title's document has {len(self.document)} characters, not 1 to {_MAX_CHARACTERS}"
            raise OrderError(message, remedy="give the enrolment as the run keeps it")
        try:
            self.document.encode()
        except UnicodeEncodeError as error:
            message = "the title's document isn't Unicode text: half a surrogate pair is in it"
            raise OrderError(message, remedy="give the enrolment as the run keeps it") from error
        if not is_hex(self.signature, 128):
            raise OrderError("the title's signature isn't one", remedy="give the enrolment as the run keeps it")

    @classmethod
    def from_dict(cls, data: object) -> Self:
        """Read what `to_dict` gave, which is also the form in which a run keeps enrolments.

        Raises:
            OrderError: it is something else.
        """
        whole = isinstance(data, dict) and set(data) == {"document", "signature"}
        if not isinstance(data, dict) or not whole or not isinstance(data["document"], str):
            message = "the title isn't a document and a signature"
            raise OrderError(message, remedy="give the enrolment as the run keeps it")
        return cls(**data)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)

    def holder(self, *, hotkey: str, spec_hash: str) -> str | None:
        """Return the coldkey that a hotkey names as its own; None where this isn't that hotkey's word.

        Both have to have signed: the hotkey the document, and the coldkey the hotkey's id, in domain `hotkey-binding`.

        Args:
            hotkey: whose word it should be, 64 hexadecimal digits.
            spec_hash: of the subnet that it must have enrolled in.
        """
        try:
            said = json.loads(self.document)
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in _NAMES):
            return None
        if (said["subnet"], said["hotkey"]) != (spec_hash, hotkey):
            return None
        text = self.document.encode()
        signed = verify(public=hotkey, domain=ENROLMENT_DOMAIN, message=text, signature=self.signature)
        coldkey: str = said["coldkey"]
        bound = verify(public=coldkey, domain=BINDING_DOMAIN, message=hotkey.encode(), signature=said["binding"])
        return coldkey if signed and bound else None
