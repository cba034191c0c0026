"""The records that travel between validator and participant: the only place that knows their names.

Both directions are Flower `RecordDict`s. Tensors are raw safetensors bytes in one `Array`; documents are canonical
JSON. A reader checks every record's presence, type and size before it uses any.
"""

from typing import Annotated, Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clients.contribution import MAX_DOCUMENT_CHARS, Contribution, Hex32, Signed
from clients.errors import ContributionError, InstructionError

_STYPE = "safetensors"


class Instruction(BaseModel):
    """What the validator asks of one participant in one round, beside the base model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    subnet: Hex32
    """Content hash of the spec."""
    round: Annotated[int, Field(ge=1)]
    base_hash: Hex32
    validator: Hex32
    """Hotkey of the validator, for whom the contribution is meant."""
    nonce_commitment: Hex32
    """Hash of the nonce that will help to draw the validation batches once all contributions are in."""
    deadline_s: Annotated[int, Field(ge=1)]
    """Seconds the participant has from the sending of this message."""
    history: tuple[Hex32, ...] = ()
    """Hashes of the models that came before `base_hash`, newest first: public knowledge."""
    acknowledgement: str = ""
    """The validator's signed word (`clients.acknowledgements`) on what it received from this participant last."""


def instruction_record(instruction: Instruction, base: bytes, *, probes: bytes | None = None) -> RecordDict:
    """Pack an instruction, the base model's safetensors bytes, and the participant's probes where it has any."""
    fields = instruction.model_dump() | {"history": list(instruction.history)}
    content = RecordDict({"base": _array(base), "instruction": ConfigRecord(fields)})
    if probes is not None:
        content["probes"] = _array(probes)
    return content


def read_instruction(content: RecordDict) -> tuple[Instruction, bytes]:
    """Unpack what `instruction_record` packed.

    Raises:
        InstructionError: a record or field is missing or of another type.
    """
    try:
        fields: dict[str, Any] = dict(content.config_records["instruction"])
        if isinstance(fields.get("history"), list):
            fields["history"] = tuple(fields["history"])
        return Instruction.model_validate(fields), content.array_records["base"][_STYPE].data
    except (KeyError, ValidationError) as error:
        raise InstructionError(
            f"the validator's message can't be read: {' '.join(str(error).split())[:200]}",
            remedy="run the same version as the validator",
        ) from error


def read_probes(content: RecordDict) -> bytes | None:
    """Unpack the bytes of a round's probes (`clients.probes` reads them); None where the message carries none.

    Raises:
        InstructionError: a record of that name holds something else.
    """
    record = content.get("probes")
    if record is None:
        return None
    if not isinstance(record, ArrayRecord) or set(record) != {_STYPE}:
        raise InstructionError(
            "the validator's message can't be read: its probes aren't in safetensors form",
            remedy="run the same version as the validator",
        )
    return record[_STYPE].data


def enrolment_record(signed: Signed) -> RecordDict:
    """Pack a signed enrolment."""
    return RecordDict({"enrolment": _signed(signed)})


def read_enrolment(content: RecordDict) -> Signed:
    """Unpack a signed enrolment.

    Raises:
        ContributionError: with reason `malformed`, `unsigned` or `oversized`.
    """
    return _read_signed(content, "enrolment")


def contribution_record(contribution: Contribution, *, n_examples: int) -> RecordDict:
    """Pack a contribution; `num-examples` is what any Flower strategy would look for."""
    return RecordDict(
        {
            "update": _array(contribution.update),
            "contribution": _signed(contribution.signed),
            "metrics": MetricRecord({"num-examples": n_examples}),
        }
    )


def read_contribution(content: RecordDict, *, limit_bytes: int) -> Contribution:
    """Unpack a contribution from anyone.

    Args:
        content: the reply's records.
        limit_bytes: the most that the update may weigh.

    Raises:
        ContributionError: with reason `malformed`, `unsigned` or `oversized`.
    """
    record = content.array_records.get("update")
    if record is None or set(record) != {_STYPE}:
        raise ContributionError("malformed", "the reply has no update in safetensors form")
    data = record[_STYPE].data
    if len(data) > limit_bytes:
        raise ContributionError("oversized", f"{len(data):,} bytes, more than the {limit_bytes:,} allowed")
    return Contribution(signed=_read_signed(content, "contribution"), update=data)


def _array(data: bytes) -> ArrayRecord:
    return ArrayRecord({_STYPE: Array(dtype="uint8", shape=(len(data),), stype=_STYPE, data=data)})


def _signed(signed: Signed) -> ConfigRecord:
    return ConfigRecord({"document": signed.document, "signature": signed.signature})


def _read_signed(content: RecordDict, name: str) -> Signed:
    record = content.config_records.get(name)
    if record is None:
        raise ContributionError("malformed", f"the reply has no {name} record")
    document, signature = record.get("document"), record.get("signature")
    if not isinstance(document, str) or not isinstance(signature, str):
        raise ContributionError("malformed", f"the {name}'s document and signature aren't text")
    if not signature:
        raise ContributionError("unsigned", f"the {name} carries no signature")
    if len(document) > MAX_DOCUMENT_CHARS or len(signature) > MAX_DOCUMENT_CHARS:
        raise ContributionError("oversized", f"the {name} has {len(document):,} + {len(signature):,} characters")
    if not (document.isascii() and signature.isascii()):
        raise ContributionError("malformed", f"the {name} isn't plain ASCII")
    return Signed(document=document, signature=signature)
