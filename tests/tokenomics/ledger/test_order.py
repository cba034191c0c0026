"""An order's document: what can't be an order isn't one, and no changed byte passes for what was signed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.owners import ALICE, BOB, CAROL, escrow, order_of, participant, purse, title_of
from tokenomics.errors import OrderError
from tokenomics.ledger import Genesis, SignedOrder, Title

Make = Callable[..., Any]


@pytest.fixture
def genesis(make_genesis: Make) -> Genesis:
    found: Genesis = make_genesis()
    return found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"amount": 0}, "amount is 0, less than 1"),
        ({"amount": -5}, "amount is -5, less than 1"),
        ({"amount": 2**63}, "amount is 9223372036854775808, more than"),
        ({"amount": 10**1000}, "an integer of 3322 bits"),
        ({"amount": 1.0}, "not an integer"),
        ({"amount": True}, "not an integer"),
        ({"nonce": 0}, "nonce is 0"),
        ({"nonce": 2**63}, "nonce is"),
        ({"expires": 0}, "expires is 0"),
        ({"kind": "mint"}, "kind is 'mint'"),
        ({"subnet": "x"}, "subnet is 'x'"),
        ({"coldkey": "X" * 64}, "coldkey is"),
        ({"source": "a\nb"}, "printable"),
        ({"destination": ""}, "destination is"),
        ({"destination": "x" * 161}, "destination is"),
        ({"destination": participant(ALICE)}, "would pay itself"),
        ({"kind": "burn"}, "a burn goes to burn"),
        ({"kind": "stake"}, "a stake goes to escrow:VALIDATOR:"),
        ({"kind": "unstake"}, "from the coldkey's escrow to its wallet"),
        ({"source": f"escrow:{'00' * 32}:{ALICE.coldkey.public}"}, "has to be unstaked first"),
    ],
)
def test_an_order_that_cant_be_is_refused_when_it_is_made(
    genesis: Genesis, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(OrderError, match=message) as caught:
        order_of(ALICE, genesis, **changes)
    assert caught.value.remedy or "hexadecimal" in caught.value.message


def test_a_stake_goes_into_ones_own_escrow_and_comes_back_to_ones_own_wallet(genesis: Genesis) -> None:
    """Nobody stakes for somebody else, or unstakes to somebody else."""
    order_of(ALICE, genesis, kind="stake", destination=escrow(ALICE, genesis))
    order_of(ALICE, genesis, kind="unstake", source=escrow(ALICE, genesis), destination=purse(ALICE))
    for changes in (
        {"kind": "stake", "destination": escrow(BOB, genesis)},
        {"kind": "unstake", "source": escrow(BOB, genesis), "destination": purse(ALICE)},
        {"kind": "unstake", "source": escrow(ALICE, genesis), "destination": purse(BOB)},
    ):
        with pytest.raises(OrderError):
            order_of(ALICE, genesis, **changes)


def test_only_its_coldkey_signs_an_order(genesis: Genesis) -> None:
    with pytest.raises(OrderError, match="signs an order of"):
        order_of(ALICE, genesis).order.sign(BOB.coldkey)


def test_an_order_reads_back_as_it_was_signed(genesis: Genesis) -> None:
    signed = order_of(ALICE, genesis, amount=2**63 - 1)
    assert SignedOrder.from_bytes(signed.leaf) == signed
    assert signed.is_signed
    spelled_otherwise = json.dumps(signed.to_dict(), indent=3).encode()
    assert SignedOrder.from_bytes(spelled_otherwise).leaf == signed.leaf
    assert signed.hash == hashlib.sha256(signed.leaf).hexdigest()


def test_an_order_without_a_title_reads_back_without_one(genesis: Genesis) -> None:
    signed = order_of(ALICE, genesis, source=purse(ALICE))
    assert signed.title is None
    assert SignedOrder.from_bytes(signed.leaf) == signed


@pytest.mark.parametrize("field", ["subnet", "kind", "coldkey", "source", "destination", "amount", "nonce", "expires"])
def test_no_field_can_be_changed_under_a_signature(genesis: Genesis, field: str) -> None:
    """Whatever is read back with another value in one field either isn't an order or isn't signed."""
    signed = order_of(ALICE, genesis)
    others = {"subnet": digest("x"), "kind": "burn", "coldkey": BOB.coldkey.public, "source": participant(BOB)}
    others |= {"destination": purse(BOB)}
    document = signed.to_dict()
    now = document["order"][field]
    document["order"][field] = others.get(field, now + 1 if isinstance(now, int) else "")
    if field == "kind":
        document["order"]["destination"] = "burn"
    assert not SignedOrder.from_dict(document).is_signed


@settings(suppress_health_check=list(HealthCheck), deadline=None)
@given(place=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_mutated_byte_never_passes(genesis: Genesis, place: int, bit: int) -> None:
    """A flipped bit gives no order, one that isn't signed, or another title: the order itself never changes."""
    signed = order_of(ALICE, genesis)
    data = bytearray(signed.leaf)
    data[place % len(data)] ^= 1 << bit
    try:
        found = SignedOrder.from_bytes(bytes(data))
    except OrderError:
        return
    assert not found.is_signed or (found.order == signed.order and found.title != signed.title)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"[" * 10_000,
        b'{"format":"flower-subnet-order"}',
        b"\xff",
        b" " * 20_000,
        b'{"a":1e999}',
        b"9" * 5_000,
    ],
)
def test_what_isnt_an_order_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(OrderError):
        SignedOrder.from_bytes(data)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("signature", "ab"),
        ("signature", 5),
        ("signature", "AB" * 64),
        ("title", {}),
        ("title", {"document": 5, "signature": "ab" * 64}),
        ("title", {"document": "x" * 5_000, "signature": "ab" * 64}),
        ("title", {"document": "\ud800", "signature": "ab" * 64}),
        ("order", {}),
        ("order", []),
        ("version", 2),
        ("format", "x"),
        ("more", 1),
    ],
)
def test_a_document_of_another_form_is_refused(genesis: Genesis, part: str, value: object) -> None:
    document = order_of(ALICE, genesis).to_dict() | {part: value}
    with pytest.raises(OrderError):
        SignedOrder.from_bytes(json.dumps(document).encode())


def test_a_title_is_only_for_a_hotkeys_account(genesis: Genesis) -> None:
    """It would be bytes that nobody signed and nobody needs."""
    with pytest.raises(OrderError, match="no title is due"):
        order_of(ALICE, genesis, source=purse(ALICE), title=title_of(ALICE))


def test_a_title_names_the_coldkey_only_if_both_keys_have_signed() -> None:
    """Neither can a coldkey claim a hotkey's pay, nor is another subnet's, hotkey's or altered enrolment a title."""
    hotkey, spec = ALICE.hotkey.keypair.public, digest("spec")
    good = title_of(ALICE)
    assert good.holder(hotkey=hotkey, spec_hash=spec) == ALICE.coldkey.public
    assert good.holder(hotkey=hotkey, spec_hash=digest("other")) is None
    assert good.holder(hotkey=BOB.hotkey.keypair.public, spec_hash=spec) is None
    bobs_claim = title_of(BOB, hotkey=hotkey)
    assert bobs_claim.holder(hotkey=hotkey, spec_hash=spec) is None
    unbound = title_of(ALICE, coldkey=CAROL.coldkey.public)
    assert unbound.holder(hotkey=hotkey, spec_hash=spec) is None
    for altered in (
        replace(good, document=good.document.replace(ALICE.coldkey.public, BOB.coldkey.public)),
        replace(good, signature="00" * 64),
        replace(good, document="[]"),
        replace(good, document="{"),
        title_of(ALICE, coldkey=None),
    ):
        assert altered.holder(hotkey=hotkey, spec_hash=spec) is None


def test_a_title_is_read_as_a_run_keeps_an_enrolment() -> None:
    good = title_of(ALICE)
    assert Title.from_dict(json.loads(json.dumps(good.to_dict()))) == good
