"""Bindings and the book: whose address is whose, and that nothing is paid twice."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics.canonical import canonical_json
from tokenomics.errors import SettlementError
from tokenomics.keys import Wallet
from tokenomics.settlement import Book, EvmBinding, checksum_address

COLDKEYS = [Wallet.from_seed(bytes([number]) * 32).coldkey for number in range(3)]
ADDRESSES = [checksum_address("0x" + digit * 40) for digit in "1234"]


def bound(number=0, address=0, nonce=0, chain_id=1):
    return EvmBinding.sign(COLDKEYS[number], address=ADDRESSES[address], chain_id=chain_id, nonce=nonce)


def reopened(book):
    """As the next export finds it."""
    return Book.from_dict(json.loads(canonical_json(book.to_dict())))


def test_a_binding_is_read_back():
    """From its own JSON, several a file, empty lines skipped."""
    bindings = [bound(0), bound(1, 2, nonce=5, chain_id=8453)]
    text = "\n\n".join(json.dumps(one.to_dict()) for one in bindings)
    assert EvmBinding.read_lines(text + "\n") == bindings


def test_lower_case_addresses_are_signed_in_their_checksum_spelling():
    """So that an address has one signed spelling."""
    address = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed"
    binding = EvmBinding.sign(COLDKEYS[0], address=address, chain_id=1, nonce=0)
    assert binding.address == checksum_address(address)
    with pytest.raises(SettlementError, match="isn't signed by that coldkey"):
        EvmBinding.read({**binding.to_dict(), "address": address})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"address": ADDRESSES[1]}, "isn't signed by that coldkey"),
        ({"chain_id": 2}, "isn't signed by that coldkey"),
        ({"nonce": 1}, "isn't signed by that coldkey"),
        ({"coldkey": COLDKEYS[1].public}, "isn't signed by that coldkey"),
        ({"signature": bound(1).signature}, "isn't signed by that coldkey"),
        ({"signature": COLDKEYS[0].sign("message", b"")}, "isn't signed by that coldkey"),
        ({"signature": None}, "isn't signed by that coldkey"),
        ({"address": "0x12"}, "isn't 0x and 40"),
        ({"coldkey": "ab"}, "coldkey is 'ab'"),
        ({"chain_id": 0}, "chain id is 0"),
        ({"chain_id": True}, "chain id is True"),
        ({"nonce": -1}, "nonce is -1"),
        ({"nonce": 1.0}, "nonce is 1.0"),
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "isn't a binding"),
        ({"more": 1}, "isn't a binding"),
    ],
)
def test_a_forged_or_malformed_binding_isnt_read(change, words):
    """Whatever is changed after signing, and another coldkey's signature."""
    with pytest.raises(SettlementError, match=words):
        EvmBinding.read(bound().to_dict() | change)


def test_a_bad_line_is_named():
    """Not JSON, and JSON that isn't a binding."""
    good = json.dumps(bound().to_dict())
    with pytest.raises(SettlementError, match="line 2 isn't JSON"):
        EvmBinding.read_lines(f"{good}\nhello")
    with pytest.raises(SettlementError, match=r"line 3: \[\] isn't a binding"):
        EvmBinding.read_lines(f"{good}\n\n[]")


@pytest.mark.parametrize(
    ("chain_id", "nonce", "words"), [(0, 0, "chain id"), (1, -1, "nonce"), (2**63, 0, "chain id"), (1, 2**63, "nonce")]
)
def test_numbers_are_checked_before_signing(chain_id, nonce, words):
    """Nothing is signed that can't be read."""
    with pytest.raises(SettlementError, match=words):
        bound(chain_id=chain_id, nonce=nonce)


def test_the_highest_nonce_counts_in_any_order_and_an_older_one_is_refused_later():
    """An old binding that somebody kept can't bring an address back; the newest may be given again."""
    book = Book(chain_id=1).bind([bound(address=1, nonce=7), bound(address=0, nonce=3)])
    _, earned = book.export({COLDKEYS[0].public: 10})
    assert earned == {ADDRESSES[1]: 10}
    assert reopened(book).bind([bound(address=1, nonce=7), bound(address=0, nonce=3)]) == book
    with pytest.raises(SettlementError, match=r"nonce 3 .* is older than 7"):
        reopened(book).bind([bound(address=0, nonce=3)])


def test_one_nonce_names_one_address():
    """Whether both are given at once or one after the other."""
    pair = [bound(address=0, nonce=3), bound(address=1, nonce=3)]
    with pytest.raises(SettlementError, match="signed two addresses with nonce 3"):
        Book(chain_id=1).bind(pair)
    with pytest.raises(SettlementError, match="signed two addresses with nonce 3"):
        Book(chain_id=1).bind(pair[:1]).bind(pair[1:])


def test_a_run_is_settled_on_one_chain():
    """A binding for another isn't taken up."""
    with pytest.raises(SettlementError, match="for chain 5, the run is settled on 1"):
        Book(chain_id=1).bind([bound(chain_id=5)])


def test_two_coldkeys_may_share_an_address():
    """Their earnings are summed; who has nothing, or no binding, isn't in it."""
    book = Book(chain_id=1).bind([bound(0, 2), bound(1, 2), bound(2, 1)])
    _, earned = book.export({COLDKEYS[0].public: 10, COLDKEYS[1].public: 5, "ab" * 32: 9})
    assert earned == {ADDRESSES[2]: 15}


def test_a_new_address_gets_what_is_earned_after_the_last_export():
    """What was exported for the old one stays its own, since it may have been claimed there."""
    coldkey = COLDKEYS[0].public
    book, earned = Book(chain_id=1).bind([bound(address=0, nonce=1)]).export({coldkey: 100})
    assert earned == {ADDRESSES[0]: 100}
    book, earned = reopened(book).bind([bound(address=1, nonce=2)]).export({coldkey: 150})
    assert earned == {ADDRESSES[0]: 100, ADDRESSES[1]: 50}
    book, earned = reopened(book).bind([bound(address=0, nonce=3)]).export({coldkey: 160})
    assert earned == {ADDRESSES[0]: 110, ADDRESSES[1]: 50}


@given(
    st.lists(
        st.tuples(
            st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=3),
            st.lists(st.integers(0, 2**40), min_size=3, max_size=3),
        ),
        max_size=8,
    )
)
def test_claims_never_shrink_and_sum_to_what_was_earned(history):
    """Whoever binds what address when: no address loses, and all of them have what the bound coldkeys earned."""
    book, before, nonce = Book(chain_id=1), {}, 0
    totals = dict.fromkeys((key.public for key in COLDKEYS), 0)
    for rebound, growth in history:
        for number, address in rebound:
            nonce += 1
            book = book.bind([bound(number, address, nonce=nonce)])
        for key, grown in zip(COLDKEYS, growth, strict=True):
            totals[key.public] += grown
        book, earned = reopened(book).export(totals)
        assert all(earned.get(address, 0) >= amount for address, amount in before.items())
        assert sum(earned.values()) == sum(totals[coldkey] for coldkey in book.stretches)
        before = earned


def test_a_claim_that_would_shrink_is_refused():
    """A ledger that was rolled back after an export."""
    book, _ = Book(chain_id=1).bind([bound()]).export({COLDKEYS[0].public: 100})
    with pytest.raises(SettlementError, match="has 99 base units now and had 100"):
        reopened(book).export({COLDKEYS[0].public: 99})
    with pytest.raises(SettlementError, match="has 0 base units now"):
        reopened(book).export({})


DAMAGES = {
    "version": lambda data: data.update(version=2),
    "chain": lambda data: data.update(chain_id=5),
    "no exports": lambda data: data.pop("exported"),
    "exports of nobody": lambda data: data["exported"].update({"ab" * 32: 1}),
    "negative": lambda data: data["exported"].update({COLDKEYS[0].public: -1}),
    "unsigned": lambda data: data["stretches"][COLDKEYS[0].public][0]["binding"].update(address=ADDRESSES[3]),
    "other's": lambda data: data["stretches"][COLDKEYS[0].public][0].update(binding=bound(1).to_dict()),
    "start": lambda data: data["stretches"][COLDKEYS[0].public][0].update(start=1),
    "empty": lambda data: data["stretches"].update({COLDKEYS[0].public: []}),
    "type": lambda data: data.update(stretches=5),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_book_isnt_read(damage):
    """Each with a remedy."""
    book, _ = Book(chain_id=1).bind([bound()]).export({COLDKEYS[0].public: 100})
    data = json.loads(canonical_json(book.to_dict()))
    DAMAGES[damage](data)
    with pytest.raises(SettlementError) as caught:
        Book.from_dict(data)
    assert caught.value.remedy
