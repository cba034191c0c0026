"""Screening: each fault has its reason, and a bad update is out without a trace on the others."""

import pytest
import torch

from clients.contribution import Envelope, Signed, sign_envelope
from clients.weights import digest, encode
from subnet.collect import Reply
from subnet.errors import StoreError
from subnet.screening import Expected, screen
from subnet.store import Store
from tokenomics.keys import Wallet

WALLETS = sorted(
    (Wallet.from_seed(bytes([number]) * 32) for number in range(4)), key=lambda one: one.hotkey.keypair.public
)
EXPECTED = Expected(subnet="5" * 64, round=3, base_hash="6" * 64, validator="7" * 64, suspended={})


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


@pytest.fixture
def reply(store, layout):
    """The reply of wallet `number`; keywords change the envelope, the bytes sent, or who signs."""

    def make(number, *, data=None, signer=None, sent=None, **changes):
        wallet = WALLETS[number]
        data = encode(layout, torch.full((layout.n_params,), number + 1.0)) if data is None else data
        fields = {
            "subnet": EXPECTED.subnet,
            "hotkey": wallet.hotkey.keypair.public,
            "round": EXPECTED.round,
            "base_hash": EXPECTED.base_hash,
            "update_hash": digest(data),
            "message_id": f"id-{number}",
            "validator": EXPECTED.validator,
            "n_examples": 10 * number,
            "epsilon_micro": None,
        }
        signed = sign_envelope(Envelope(**(fields | changes)), (signer or wallet).hotkey)
        return Reply(
            hotkey=wallet.hotkey.keypair.public,
            arrival=number,
            message_id=f"id-{number}",
            signed=signed,
            update_hash=store.put("updates", data if sent is None else sent),
        )

    return make


def hotkey(number):
    return WALLETS[number].hotkey.keypair.public


def test_good_updates_become_rows_by_hotkey(reply, layout, store):
    """In whatever order replies came, rows are in ascending order of hotkey and each is its sender's."""
    screened = screen([reply(2), reply(0), reply(1)], EXPECTED, layout, store)
    assert screened.hotkeys == (hotkey(0), hotkey(1), hotkey(2))
    assert screened.updates.shape == (3, layout.n_params)
    assert screened.updates[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert {one: envelope.n_examples for one, envelope in screened.envelopes.items()} == {
        hotkey(0): 0,
        hotkey(1): 10,
        hotkey(2): 20,
    }
    assert all(one.reason == "" for one in screened.replies.values())


def test_no_update_at_all_is_an_empty_field(layout, store):
    """A round that nobody answered has a matrix of no rows."""
    late = Reply(hotkey=hotkey(0), arrival=0, message_id="m", reason="late", detail="no reply")
    screened = screen([late], EXPECTED, layout, store)
    assert screened.hotkeys == ()
    assert screened.updates.shape == (0, layout.n_params)
    assert screened.replies[hotkey(0)] == late


CASES = {
    "wrong_signer": {"hotkey": WALLETS[3].hotkey.keypair.public, "signer": WALLETS[3]},
    "wrong_subnet": {"subnet": "0" * 64},
    "replayed": {"message_id": "id-0"},
    "replayed round": {"round": 2},
    "wrong_base": {"base_hash": "0" * 64},
    "wrong_validator": {"validator": "0" * 64},
    "hash_mismatch": {"update_hash": "0" * 64},
    "bad_signature": {"signer": WALLETS[3]},
    "malformed": {"data": b"not safetensors"},
    "malformed empty": {"data": b""},
}


@pytest.mark.parametrize("case", CASES)
def test_each_fault_has_its_reason_and_touches_nobody_else(reply, layout, store, case):
    """The faulty one is out with its reason; the others' rows are bit for bit those of a round without it."""
    without = screen([reply(0), reply(2)], EXPECTED, layout, store)
    screened = screen([reply(0), reply(1, **CASES[case]), reply(2)], EXPECTED, layout, store)
    bad = screened.replies[hotkey(1)]
    assert bad.reason == case.split()[0]
    assert bad.detail
    assert screened.hotkeys == without.hotkeys
    assert torch.equal(screened.updates, without.updates)
    assert {one: screened.replies[one] for one in without.replies} == without.replies


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_one_number_that_isnt_finite_is_enough(reply, layout, store, value):
    """A single NaN or infinity among all parameters puts the update out."""
    flat = torch.zeros(layout.n_params)
    flat[-1] = value
    screened = screen([reply(0), reply(1, data=encode(layout, flat))], EXPECTED, layout, store)
    assert screened.replies[hotkey(1)].reason == "non_finite"
    assert screened.hotkeys == (hotkey(0),)


def test_the_signature_is_looked_at_before_what_was_signed(reply, layout, store):
    """Who can't sign is told so, whatever else is wrong with the envelope."""
    bad = reply(1, signer=WALLETS[3], subnet="0" * 64, data=b"junk")
    assert screen([bad], EXPECTED, layout, store).replies[hotkey(1)].reason == "bad_signature"


def test_anothers_update_isnt_taken_under_ones_own_envelope(reply, layout, store):
    """Bytes that somebody else sent don't match one's own signed hash."""
    stolen = reply(1, sent=encode(layout, torch.full((layout.n_params,), 1.0)))
    assert screen([reply(0), stolen], EXPECTED, layout, store).replies[hotkey(1)].reason == "hash_mismatch"


def test_an_envelope_that_cant_be_opened_leaves_no_claim(reply, layout, store):
    """Only what was truly signed is known of a sender; a bad signature's claims aren't kept."""
    good = reply(0)
    forged = Reply(
        hotkey=hotkey(1),
        arrival=1,
        message_id="id-1",
        signed=Signed(document=good.signed.document, signature="0" * 128),
        update_hash=good.update_hash,
    )
    screened = screen([good, forged], EXPECTED, layout, store)
    assert set(screened.envelopes) == {hotkey(0)}


def test_a_damaged_store_is_the_validators_error_not_the_senders(reply, layout, store):
    """An update that was altered on the validator's own disk stops the round and blames nobody."""
    good = reply(0)
    (store.folder("updates") / f"{good.update_hash}.safetensors").write_bytes(b"x")
    with pytest.raises(StoreError):
        screen([good], EXPECTED, layout, store)
