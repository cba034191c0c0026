"""Ethereum's addresses, amounts and calls, against published values."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenomics.errors import SettlementError
from tokenomics.settlement import checksum_address, claim_call, evm, keccak256, post_root_call, scale
from tokenomics.settlement.evm import UINT256_MAX, encode_claim

# the test cases of EIP-55
PUBLISHED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]
ADDRESS = PUBLISHED[4]


@pytest.mark.parametrize("address", PUBLISHED)
def test_published_addresses_keep_their_spelling(address):
    """From lower case, from upper case, and as they are."""
    for given_as in (address, address.lower(), "0x" + address[2:].upper()):
        assert checksum_address(given_as) == address


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (ADDRESS[:-1], "isn't 0x and 40"),
        (ADDRESS + "0", "isn't 0x and 40"),
        (ADDRESS[2:], "isn't 0x and 40"),
        ("0X" + ADDRESS[2:], "isn't 0x and 40"),
        (ADDRESS + "\n", "isn't 0x and 40"),
        (ADDRESS[:-1] + "g", "isn't 0x and 40"),
        (ADDRESS[:-1] + "\uff11", "isn't 0x and 40"),
        (None, "None isn't"),
        (ADDRESS[:-1] + "D", "wrong checksum"),
        ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAee", "wrong checksum"),
        ("0x" + "0" * 40, "zero address"),
    ],
)
def test_a_bad_address_is_named_with_a_remedy(address, words):
    """Length, prefix, digits, checksum, and the address that nobody owns."""
    with pytest.raises(SettlementError, match=words) as caught:
        checksum_address(address)
    assert caught.value.remedy


def test_every_mistyped_digit_of_an_address_is_found():
    """A wrong digit changes the checksum's letters: all 600 of this address (of others, one in 4,000 slips through)."""
    digits = ADDRESS[2:]
    for place, right in enumerate(digits):
        for value in set("0123456789abcdef") - {right.lower()}:
            typed = digits[:place] + (value.upper() if right.isupper() else value) + digits[place + 1 :]
            with pytest.raises(SettlementError, match="wrong checksum"):
                checksum_address("0x" + typed)


@given(st.integers(0, 2**63 - 1), st.integers(0, 18))
def test_scaling_is_exact(units, decimals):
    """As many tokens as before: nothing is rounded, and the way back is whole."""
    scaled = scale(units, decimals)
    assert divmod(scaled, 10 ** (18 - decimals)) == (units, 0)
    assert scaled <= UINT256_MAX


@pytest.mark.parametrize(("units", "decimals"), [(-1, 9), (2**63, 9), (1.0, 9), (True, 9), (1, 19), (1, -1), (1, 9.0)])
def test_what_cant_be_scaled(units, decimals):
    """Floats, bools, and numbers out of range."""
    with pytest.raises(SettlementError):
        scale(units, decimals)


@pytest.mark.parametrize("amount", [-1, 2**256, 1.5, "1"])
def test_an_amount_fits_uint256(amount):
    """Nothing else is encoded."""
    with pytest.raises(SettlementError, match="amount is"):
        encode_claim(ADDRESS, amount)
    assert encode_claim(ADDRESS, UINT256_MAX)[32:] == b"\xff" * 32


def test_calls_are_laid_out_as_the_abi_says():
    """Selectors are those of the keccak of the signatures; the proof is a dynamic array behind the two static words."""
    assert keccak256(b"transfer(address,uint256)")[:4].hex() == "a9059cbb"  # ERC-20's published selector
    steps = ["0x" + "11" * 32, "0x" + "22" * 32]
    call = claim_call(ADDRESS, 258, steps)
    selector = keccak256(b"claim(address,uint256,bytes32[])")[:4].hex()
    words = [ADDRESS[2:].lower().zfill(64), f"{258:064x}", f"{96:064x}", f"{2:064x}", "11" * 32, "22" * 32]
    assert call == "0x" + selector + "".join(words)
    assert post_root_call(steps[0]) == "0x" + keccak256(b"postRoot(bytes32)")[:4].hex() + "11" * 32
    for bad in ("11" * 32, "0x" + "11" * 31, "0x" + "AA" * 32, 5):
        with pytest.raises(SettlementError, match="not 0x and 64"):
            post_root_call(bad)
        with pytest.raises(SettlementError, match="a step of the proof"):
            claim_call(ADDRESS, 258, [bad])


def test_examples_in_docstrings():
    """Every example gives what it says."""
    found = doctest.testmod(evm)
    assert (found.failed, found.attempted) == (0, 3)
