"""Records that travel: what was packed is unpacked, and whatever else came is refused with its reason."""

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from hypothesis import given
from hypothesis import strategies as st

from clients.contribution import MAX_DOCUMENT_CHARS, Contribution, Signed
from clients.errors import ContributionError, InstructionError
from clients.wire import (
    Instruction,
    contribution_record,
    enrolment_record,
    instruction_record,
    read_contribution,
    read_enrolment,
    read_instruction,
    read_probes,
)

INSTRUCTION = Instruction(
    subnet="a" * 64,
    round=3,
    base_hash="b" * 64,
    validator="c" * 64,
    nonce_commitment="d" * 64,
    deadline_s=600,
    history=("e" * 64, "f" * 64),
    acknowledgement='{"document":"x","signature":"y"}',
)
CONTRIBUTION = Contribution(signed=Signed(document='{"a":1}', signature="ab" * 64), update=b"\x00\x01bytes")


def over_the_wire(content):
    """The records after Flower's own serialisation."""
    return recorddict_from_proto(recorddict_to_proto(content))


def packed(**changes):
    """An instruction's records with some of its fields changed; None takes a field out."""
    content = instruction_record(INSTRUCTION, b"base")
    for name, value in changes.items():
        if value is None:
            del content.config_records["instruction"][name]
        else:
            content.config_records["instruction"][name] = value
    return content


@given(
    round_number=st.integers(1, 2**53),
    history=st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=5),
)
def test_an_instruction_survives_the_wire(round_number, history):
    """What a participant reads is what the validator wrote, the base model's bytes included."""
    instruction = Instruction(
        subnet="a" * 64,
        round=round_number,
        base_hash="b" * 64,
        validator="c" * 64,
        nonce_commitment="d" * 64,
        deadline_s=1,
        history=tuple(history),
    )
    content = over_the_wire(instruction_record(instruction, b"\x00base\xff"))
    assert read_instruction(content) == (instruction, b"\x00base\xff")


@pytest.mark.parametrize("record", ["base", "instruction"])
def test_an_instruction_without_a_record_is_refused(record):
    """A message without the model or without the instruction is an InstructionError with a remedy."""
    content = packed()
    del content[record]
    with pytest.raises(InstructionError) as caught:
        read_instruction(content)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["subnet", "round", "base_hash", "validator", "nonce_commitment", "deadline_s"])
def test_an_instruction_without_a_field_is_refused(name):
    """Each field that has no default must be there, and the error names it."""
    with pytest.raises(InstructionError, match=name):
        read_instruction(packed(**{name: None}))


def test_an_unknown_field_is_refused():
    """A field of some newer version isn't ignored."""
    with pytest.raises(InstructionError, match="surprise"):
        read_instruction(packed(surprise=1))


@pytest.mark.parametrize("name", list(Instruction.model_fields))
def test_a_field_of_another_type_is_refused(name):
    """Text in place of a number, or a number in place of text or of a list, is an InstructionError."""
    wrong = "3" if name in {"round", "deadline_s"} else 3
    with pytest.raises(InstructionError):
        read_instruction(packed(**{name: wrong}))


@pytest.mark.parametrize("history", ["abc", [1, 2]])
def test_history_is_a_list_of_hashes(history):
    """Text isn't read as a list of its letters, nor are numbers hashes."""
    with pytest.raises(InstructionError):
        read_instruction(packed(history=history))


def test_a_base_model_in_another_form_is_refused():
    """Arrays that aren't one safetensors blob are an InstructionError."""
    content = packed()
    content["base"] = ArrayRecord({"weight": Array(dtype="uint8", shape=(1,), stype="numpy.ndarray", data=b"x")})
    with pytest.raises(InstructionError):
        read_instruction(content)


@given(update=st.binary(max_size=200))
def test_a_contribution_survives_the_wire(update):
    """Envelope, signature and update come out as they went in, and `num-examples` is there for any Flower strategy."""
    contribution = Contribution(signed=CONTRIBUTION.signed, update=update)
    content = over_the_wire(contribution_record(contribution, n_examples=7))
    assert read_contribution(content, limit_bytes=200) == contribution
    assert content.metric_records["metrics"]["num-examples"] == 7


def test_an_enrolment_survives_the_wire():
    """A signed enrolment comes out as it went in."""
    assert read_enrolment(over_the_wire(enrolment_record(CONTRIBUTION.signed))) == CONTRIBUTION.signed


def blob(data, stype="safetensors"):
    return Array(dtype="uint8", shape=(len(data),), stype=stype, data=data)


def reply(**changes):
    """A contribution's records, some replaced; None takes one out."""
    content = contribution_record(CONTRIBUTION, n_examples=1)
    for name, record in changes.items():
        del content[name]
        if record is not None:
            content[name] = record
    return content


def words(document='{"a":1}', signature="ab" * 64):
    given_words = {"document": document, "signature": signature}
    return ConfigRecord({name: value for name, value in given_words.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"update": None}, "malformed"),
        ({"update": ConfigRecord({"safetensors": b"x"})}, "malformed"),
        ({"update": ArrayRecord()}, "malformed"),
        ({"update": ArrayRecord({"weight": blob(b"x")})}, "malformed"),
        ({"update": ArrayRecord({"safetensors": blob(b"x"), "more": blob(b"x")})}, "malformed"),
        ({"update": ArrayRecord({"safetensors": blob(bytes(101))})}, "oversized"),
        ({"contribution": None}, "malformed"),
        ({"contribution": ArrayRecord({"document": blob(b"x")})}, "malformed"),
        ({"contribution": ConfigRecord()}, "malformed"),
        ({"contribution": words(document=None)}, "malformed"),
        ({"contribution": words(signature=None)}, "malformed"),
        ({"contribution": words(document=5)}, "malformed"),
        ({"contribution": words(document=b"{}")}, "malformed"),
        ({"contribution": words(signature=["ab"])}, "malformed"),
        ({"contribution": words(document="\u00e9")}, "malformed"),
        ({"contribution": words(signature="\u0661" * 128)}, "malformed"),
        ({"contribution": words(signature="")}, "unsigned"),
        ({"contribution": words(document="x" * (MAX_DOCUMENT_CHARS + 1))}, "oversized"),
        ({"contribution": words(signature="x" * (MAX_DOCUMENT_CHARS + 1))}, "oversized"),
    ],
)
def test_each_bad_reply_has_its_reason(changes, reason):
    """A missing, mistyped, empty or overlong record gives the reason that the receipt will carry."""
    with pytest.raises(ContributionError) as caught:
        read_contribution(reply(**changes), limit_bytes=100)
    assert caught.value.reason == reason
    assert len(caught.value.message) < 200


def test_the_size_limit_is_inclusive():
    """An update of exactly the limit passes, one byte more doesn't."""
    content = contribution_record(Contribution(signed=CONTRIBUTION.signed, update=bytes(100)), n_examples=1)
    assert len(read_contribution(content, limit_bytes=100).update) == 100
    with pytest.raises(ContributionError, match="100 bytes, more than the 99"):
        read_contribution(content, limit_bytes=99)


SCALARS = st.one_of(st.integers(-5, 5), st.text(max_size=5), st.binary(max_size=5), st.booleans(), st.floats())
RECORDS = st.one_of(
    st.dictionaries(st.sampled_from(["document", "signature", "x"]), SCALARS, max_size=3).map(ConfigRecord),
    st.dictionaries(st.sampled_from(["safetensors", "x"]), st.binary(max_size=5).map(blob), max_size=2).map(
        ArrayRecord
    ),
)


@given(records=st.dictionaries(st.sampled_from(["update", "contribution", "enrolment", "metrics"]), RECORDS))
def test_any_records_are_read_or_refused(records):
    """Whatever mix of records a stranger sends raises nothing but ContributionError."""
    content = RecordDict(records)
    for read in (lambda: read_contribution(content, limit_bytes=4), lambda: read_enrolment(content)):
        outcome = "read"
        try:
            read()
        except ContributionError as error:
            outcome = error.reason
        assert outcome in {"read", "malformed", "unsigned", "oversized"}


@given(probes=st.binary(max_size=200))
def test_probes_survive_the_wire(probes):
    """Their bytes come out as they went in, beside an instruction that doesn't change; without any there is None."""
    content = over_the_wire(instruction_record(INSTRUCTION, b"base", probes=probes))
    assert read_probes(content) == probes
    assert read_instruction(content) == (INSTRUCTION, b"base")
    assert read_probes(over_the_wire(instruction_record(INSTRUCTION, b"base"))) is None


@pytest.mark.parametrize(
    "record",
    [
        ConfigRecord({"safetensors": b"x"}),
        ArrayRecord({"weight": Array(dtype="uint8", shape=(1,), stype="numpy.ndarray", data=b"x")}),
        ArrayRecord({name: Array(dtype="uint8", shape=(1,), stype="x", data=b"x") for name in ("safetensors", "more")}),
    ],
)
def test_probes_in_another_form_are_refused(record):
    """Whatever isn't one safetensors blob is an InstructionError."""
    content = instruction_record(INSTRUCTION, b"base", probes=b"x")
    content["probes"] = record
    with pytest.raises(InstructionError, match="its probes aren't in safetensors form"):
        read_probes(content)
