"""Cheats on the protocol: each breaks exactly the one thing that its docstring says."""

from types import SimpleNamespace

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError

from clients import protocol_cheats as cheats
from clients.behaviour import Behaviour, View
from clients.contribution import Envelope, open_envelope, sign_envelope
from clients.errors import ContributionError
from clients.weights import decode, digest, encode, size_limit_bytes


@pytest.fixture
def view(base):
    return View(
        round=3,
        deadline_s=7,
        base=base,
        own_update=lambda: base * 0.1,
        peer_update=lambda: base,
        last_global_delta=lambda: None,
        peer_hotkey=lambda: "7" * 64,
    )


@pytest.fixture
def update(layout, base):
    return encode(layout, base * 0.1)


@pytest.fixture
def sent(view, envelope, update, wallet):
    """What a behaviour sends in place of an honest contribution."""
    honest = envelope.model_copy(update={"update_hash": digest(update)})

    def send(behaviour):
        return behaviour.send(view, honest, update, sign=lambda document: sign_envelope(document, wallet.hotkey))

    return send


def differences(contribution, honest):
    """Fields in which the opened envelope differs from the honest one's."""
    cheat, true = (open_envelope(one.signed).model_dump() for one in (contribution, honest))
    return {name: cheat[name] for name in true if cheat[name] != true[name]}


@pytest.fixture
def honest(sent):
    return sent(Behaviour())


def test_the_honest_send_an_envelope_that_opens(honest, update, envelope):
    """The envelope opens and names the update that is sent with it."""
    assert honest.update == update
    assert open_envelope(honest.signed).update_hash == digest(update)


def test_unsigned_leaves_the_signature_out(sent, honest):
    """Document and update are honest, the signature is empty."""
    cheat = sent(cheats.Unsigned())
    assert (cheat.signed.document, cheat.signed.signature) == (honest.signed.document, "")
    assert cheat.update == honest.update


def test_forged_changes_the_document_under_its_signature(sent, honest):
    """It claims a hundred times the examples under the honest signature, which no longer holds."""
    cheat = sent(cheats.Forged())
    assert cheat.signed.signature == honest.signed.signature
    assert '"n_examples":12000' in cheat.signed.document
    with pytest.raises(ContributionError) as caught:
        open_envelope(cheat.signed)
    assert caught.value.reason == "bad_signature"


@pytest.mark.parametrize(
    ("behaviour", "changed"),
    [
        (cheats.Replayed(), {"message_id": "0" * 32}),
        (cheats.WrongBase(), {"base_hash": "0" * 64}),
        (cheats.HugeExamples(), {"n_examples": 2**53}),
    ],
)
def test_the_envelope_is_truly_signed_but_for_one_field(sent, honest, behaviour, changed):
    """The signature holds, one field differs, and the update is honest."""
    cheat = sent(behaviour)
    assert differences(cheat, honest) == changed
    assert cheat.update == honest.update


def test_the_wrong_signer_is_another_hotkey_in_good_order(sent, honest, envelope):
    """Envelope, signature and update hold, for a hotkey that isn't the node's; always the same one."""
    cheat = sent(cheats.WrongSigner())
    changed = differences(cheat, honest)
    assert set(changed) == {"hotkey"}
    assert changed["hotkey"] != envelope.hotkey
    assert cheat.update == honest.update
    assert sent(cheats.WrongSigner()) == cheat


def test_the_wrong_node_claims_a_hotkey_that_it_cant_sign_for(sent, honest):
    """The envelope names its victim, and the signature isn't that one's."""
    cheat = sent(cheats.WrongNode())
    assert f'"hotkey":"{"7" * 64}"' in cheat.signed.document
    with pytest.raises(ContributionError) as caught:
        open_envelope(cheat.signed)
    assert caught.value.reason == "bad_signature"


def test_no_larger_claim_fits_an_envelope(sent):
    """One example more than the huge claim isn't an envelope any more."""
    document = open_envelope(sent(cheats.HugeExamples()).signed).model_dump()
    with pytest.raises(ValidationError):
        Envelope(**(document | {"n_examples": document["n_examples"] + 1}))


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [(cheats.WrongNames(), "wrong_names"), (cheats.Oversized(), "oversized"), (cheats.Malformed(), "malformed")],
)
def test_other_bytes_are_properly_named_and_signed(sent, honest, layout, behaviour, reason):
    """The envelope is true to the bytes that are sent, and only the bytes are wrong, for the one reason."""
    cheat = sent(behaviour)
    assert differences(cheat, honest) == {"update_hash": digest(cheat.update)}
    with pytest.raises(ContributionError) as caught:
        decode(layout, cheat.update)
    assert caught.value.reason == reason


def test_oversized_is_well_formed_and_larger_than_allowed(sent, layout):
    """It is real safetensors, too large for this model by more than the allowance."""
    data = sent(cheats.Oversized()).update
    assert len(data) > size_limit_bytes(layout)
    assert safetensors.torch.load(data)["huge"].numel() >= 4 * layout.n_params


def test_altered_changes_one_bit_after_signing(sent, honest):
    """The envelope is the honest one, and exactly one bit of the update isn't."""
    cheat = sent(cheats.Altered())
    assert cheat.signed == honest.signed
    different = [(one ^ two).bit_count() for one, two in zip(cheat.update, honest.update, strict=True)]
    assert sum(different) == 1


def test_crash_raises_in_mid_round(view):
    """It answers with an exception that names the round."""
    with pytest.raises(cheats.SimulatedCrashError, match="round 3"):
        cheats.Crash().update(view)


def test_late_waits_beyond_the_deadline(view, monkeypatch):
    """It sleeps for longer than the validator waits, and then sends zeros."""
    slept = []
    monkeypatch.setattr(cheats, "time", SimpleNamespace(sleep=slept.append))
    assert torch.equal(cheats.Late().update(view), torch.zeros_like(view.base))
    assert len(slept) == 1
    assert slept[0] > view.deadline_s
