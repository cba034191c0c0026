"""Signed documents: whatever is changed after signing is found, and one kind never passes for the other."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.contribution import (
    MAX_DOCUMENT_CHARS,
    Signed,
    open_enrolment,
    open_envelope,
    sign_enrolment,
    sign_envelope,
)
from clients.errors import ContributionError
from tokenomics.canonical import canonical_json

CHANGES = {
    "subnet": "1" * 64,
    "round": 4,
    "base_hash": "1" * 64,
    "update_hash": "1" * 64,
    "message_id": "1" * 32,
    "validator": "1" * 64,
    "n_examples": 121,
    "epsilon_micro": 5,
    "gpu_ms": 7,
}


def refused(opening, signed):
    with pytest.raises(ContributionError) as caught:
        opening(signed)
    return caught.value


def signed_text(wallet, text, domain="contribution"):
    """Any text, properly signed."""
    return Signed(document=text, signature=wallet.hotkey.keypair.sign(domain, text.encode()))


def test_what_was_signed_opens_as_it_was(wallet, envelope, enrolment):
    """Opening a signed document gives the same document back, after storing and reading too."""
    for sign, opening, document in [
        (sign_envelope, open_envelope, envelope),
        (sign_enrolment, open_enrolment, enrolment),
    ]:
        signed = sign(document, wallet.hotkey)
        assert opening(signed) == document
        assert Signed.from_bytes(signed.to_bytes()) == signed


def test_a_contributions_name_covers_document_and_signature(wallet, envelope):
    """The hash is SHA-256 of the stored bytes, and another signature over the same document has another."""
    signed = sign_envelope(envelope, wallet.hotkey)
    assert signed.hash == hashlib.sha256(signed.to_bytes()).hexdigest()
    assert Signed(document=signed.document, signature="0" * 128).hash != signed.hash
    assert Signed(document=signed.document + " ", signature=signed.signature).hash != signed.hash


def test_every_field_of_the_envelope_is_tried(envelope):
    """The list of changes below covers all fields but version and signer."""
    assert set(CHANGES) | {"version", "hotkey"} == set(type(envelope).model_fields)


@pytest.mark.parametrize("field", CHANGES)
def test_a_changed_field_breaks_the_signature(wallet, envelope, field):
    """Any other value of any field under the old signature is `bad_signature`."""
    signed = sign_envelope(envelope, wallet.hotkey)
    other = envelope.model_copy(update={field: CHANGES[field]}).canonical()
    assert other != signed.document
    assert refused(open_envelope, Signed(document=other, signature=signed.signature)).reason == "bad_signature"


def test_nobody_takes_over_anothers_envelope(wallet, stranger, envelope):
    """The signer's name can't be swapped for one's own, nor can a stranger sign in the owner's name."""
    signed = sign_envelope(envelope, wallet.hotkey)
    mine = envelope.model_copy(update={"hotkey": stranger.hotkey.keypair.public}).canonical()
    assert refused(open_envelope, Signed(document=mine, signature=signed.signature)).reason == "bad_signature"
    assert refused(open_envelope, sign_envelope(envelope, stranger.hotkey)).reason == "bad_signature"


@given(data=st.data())
def test_a_flipped_bit_of_document_or_signature_is_refused(wallet, envelope, data):
    """One changed character anywhere is a ContributionError."""
    signed = sign_envelope(envelope, wallet.hotkey)
    part = data.draw(st.sampled_from(["document", "signature"]))
    text = getattr(signed, part)
    index, bit = data.draw(st.integers(0, len(text) - 1)), data.draw(st.integers(0, 6))
    changed = text[:index] + chr(ord(text[index]) ^ (1 << bit)) + text[index + 1 :]
    parts = {"document": signed.document, "signature": signed.signature, part: changed}
    assert refused(open_envelope, Signed(**parts)).reason in {"malformed", "bad_signature"}


@pytest.mark.parametrize("signature", ["", "0" * 128, "zz" * 64, "00"])
def test_a_signature_that_is_none_is_bad(wallet, envelope, signature):
    """Empty, zero, non-hexadecimal or short signatures are `bad_signature`."""
    assert refused(open_envelope, Signed(document=envelope.canonical(), signature=signature)).reason == "bad_signature"


def test_a_signature_holds_in_its_own_domain_only(wallet, envelope, enrolment):
    """The same text signed for the other purpose doesn't open, in either direction."""
    as_enrolment = signed_text(wallet, envelope.canonical(), domain="enrolment")
    as_contribution = signed_text(wallet, enrolment.canonical(), domain="contribution")
    assert refused(open_envelope, as_enrolment).reason == "bad_signature"
    assert refused(open_enrolment, as_contribution).reason == "bad_signature"


def test_one_kind_of_document_doesnt_open_as_the_other(wallet, envelope, enrolment):
    """A signed enrolment is no envelope and a signed envelope no enrolment."""
    assert refused(open_envelope, sign_enrolment(enrolment, wallet.hotkey)).reason == "malformed"
    assert refused(open_enrolment, sign_envelope(envelope, wallet.hotkey)).reason == "malformed"


def respelled(envelope):
    """The same document in other words: each is JSON that reads as the same envelope."""
    fields, text = envelope.model_dump(), envelope.canonical()
    yield "spaces", json.dumps(fields, sort_keys=True)
    yield "order", json.dumps(dict(sorted(fields.items(), reverse=True)), separators=(",", ":"))
    yield "newline", text + "\n"
    yield "escape", text.replace("dddd", "\\u0064ddd", 1)
    yield "duplicate key", text[:-1] + ',"version":1}'
    yield "left out", canonical_json({name: value for name, value in fields.items() if name != "version"}).decode()


def test_a_document_has_one_spelling(wallet, envelope):
    """Other spaces, order, escapes, repeated or defaulted keys are `malformed`, though truly signed."""
    for name, text in respelled(envelope):
        assert json.loads(text).items() <= envelope.model_dump().items(), name
        assert refused(open_envelope, signed_text(wallet, text)).reason == "malformed", name


def test_gpu_time_is_in_an_envelope_only_where_it_is_told(wallet, envelope):
    """Without it the document is what it was before there was such a field; with it, it is signed and read back."""
    assert "gpu_ms" not in envelope.canonical()
    told = envelope.model_copy(update={"gpu_ms": 61_250})
    assert json.loads(told.canonical()) == json.loads(envelope.canonical()) | {"gpu_ms": 61_250}
    assert open_envelope(sign_envelope(told, wallet.hotkey)).gpu_ms == 61_250


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"extra": 1}, "extra"),
        ({"version": 2}, "version"),
        ({"version": True}, "canonical"),
        ({"round": 0}, "round"),
        ({"round": 2**53 + 1}, "round"),
        ({"round": "3"}, "round"),
        ({"round": 3.0}, "round"),
        ({"round": True}, "round"),
        ({"round": None}, "round"),
        ({"n_examples": -1}, "n_examples"),
        ({"epsilon_micro": -1}, "epsilon_micro"),
        ({"epsilon_micro": 0.5}, "epsilon_micro"),
        ({"gpu_ms": -1}, "gpu_ms"),
        ({"gpu_ms": 2**53 + 1}, "gpu_ms"),
        ({"gpu_ms": None}, "canonical"),
        ({"subnet": "A" * 64}, "subnet"),
        ({"subnet": "a" * 63}, "subnet"),
        ({"subnet": "a" * 64 + "\n"}, "subnet"),
        ({"update_hash": 5}, "update_hash"),
        ({"message_id": "x" * 129}, "message_id"),
        ({"validator": ["e" * 64]}, "validator"),
    ],
)
def test_a_field_out_of_its_range_is_malformed_and_named(wallet, envelope, change, said):
    """Unknown fields, wrong types and values out of range are refused even when truly signed."""
    text = canonical_json(envelope.model_dump() | change).decode()
    error = refused(open_envelope, signed_text(wallet, text))
    assert error.reason == "malformed"
    assert said in error.message


@pytest.mark.parametrize("field", [*sorted(CHANGES.keys() - {"gpu_ms"}), "hotkey"])
def test_a_missing_field_is_malformed_and_named(wallet, envelope, field):
    """No field has a silent default."""
    text = canonical_json({name: value for name, value in envelope.model_dump().items() if name != field}).decode()
    error = refused(open_envelope, signed_text(wallet, text))
    assert error.reason == "malformed"
    assert field in error.message


def test_a_long_document_isnt_parsed(wallet, envelope):
    """Above the limit a document is `oversized`, whatever it says; at the limit it is read."""
    text = envelope.canonical()
    over = signed_text(wallet, text + " " * (MAX_DOCUMENT_CHARS + 1 - len(text)))
    assert refused(open_envelope, over).reason == "oversized"
    at = signed_text(wallet, text + " " * (MAX_DOCUMENT_CHARS - len(text)))
    assert refused(open_envelope, at).reason == "malformed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=200)
@given(text=st.one_of(st.text(max_size=100), JSON.map(json.dumps), st.just("[" * 2000), st.just('{"a":' * 800)))
def test_junk_is_malformed_and_nothing_else(wallet, text):
    """Any text in place of a document is `malformed`, never another exception."""
    signed = Signed(document=text, signature="0" * 128)
    assert refused(open_envelope, signed).reason == "malformed"
    assert refused(open_enrolment, signed).reason == "malformed"


def test_an_enrolment_needs_the_coldkeys_own_signature(wallet, stranger, enrolment):
    """A hotkey can't claim a coldkey that didn't sign it, nor one that signed another hotkey."""
    for change in (
        {"coldkey": stranger.coldkey.public},
        {"binding": stranger.binding},
        {"coldkey": stranger.coldkey.public, "binding": stranger.binding},
        {"binding": wallet.hotkey.keypair.sign("hotkey-binding", wallet.hotkey.keypair.public.encode())},
        {"binding": wallet.coldkey.sign("enrolment", wallet.hotkey.keypair.public.encode())},
    ):
        error = refused(open_enrolment, sign_enrolment(enrolment.model_copy(update=change), wallet.hotkey))
        assert error.reason == "bad_signature"
        assert "coldkey" in error.message


@pytest.mark.parametrize("field", ["subnet", "challenge"])
def test_a_changed_enrolment_breaks_the_signature(wallet, enrolment, field):
    """The subnet and the challenge are signed, so an enrolment can't be carried to another place."""
    signed = sign_enrolment(enrolment, wallet.hotkey)
    other = enrolment.model_copy(update={field: "1" * 64}).canonical()
    assert refused(open_enrolment, Signed(document=other, signature=signed.signature)).reason == "bad_signature"
