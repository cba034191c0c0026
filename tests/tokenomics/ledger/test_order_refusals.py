"""What orders are refused for, to the letter: as a document that is none, and as one that doesn't apply."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.drawn import genesis_of
from tests.tokenomics.ledger.owners import ALICE, BOB, CAROL, escrow, order_of, participant, purse, title_of
from tokenomics import HeightSchedule, Shares
from tokenomics.errors import OrderError
from tokenomics.ledger import Book, Genesis, Order, Refusal, SignedOrder, Title, refusal
from tokenomics.ledger.log import genesis_head

GENESIS = genesis_of(HeightSchedule(subsidy=8, interval=2), Shares(), 0, owner=CAROL.coldkey.public)
A, B, C = (wallet.coldkey.public for wallet in (ALICE, BOB, CAROL))
FILE = "give the file that `subnet wallet transfer` and its like wrote"
ENROLMENT = "give the enrolment as the run keeps it"
KINDS = "see docs/ledger.md for which account each kind takes"
NOBODY = f"participant:{digest('nobody')}"
ELSEWHERE = f"escrow:{digest('elsewhere')}:{A}"


def alices(**changes: Any) -> SignedOrder:
    """The order that is Alice's next, from her purse; keywords change fields."""
    return order_of(ALICE, GENESIS, **{"source": purse(ALICE), "nonce": 4, **changes})


def title(**changes: Any) -> Title:
    return replace(title_of(ALICE), **changes)


DOCUMENTS: dict[str, tuple[Callable[[], object], str, str]] = {
    "an unknown kind": (
        lambda: alices(kind="mint"),
        "kind is 'mint'",
        "use one of transfer, stake, unstake, burn",
    ),
    "a way in a circle": (
        lambda: alices(destination=purse(ALICE)),
        f"{purse(ALICE)} would pay itself",
        "name another destination",
    ),
    "a burn elsewhere": (
        lambda: alices(kind="burn"),
        f"a burn goes to burn, not to {purse(CAROL)}",
        KINDS,
    ),
    "a stake elsewhere": (
        lambda: alices(kind="stake"),
        f"a stake goes to escrow:VALIDATOR:{A}, not to {purse(CAROL)}",
        KINDS,
    ),
    "an unstake elsewhere": (
        lambda: alices(kind="unstake", source=ELSEWHERE, destination=purse(CAROL)),
        f"an unstake goes from the coldkey's escrow to its wallet, not from {ELSEWHERE} to {purse(CAROL)}",
        KINDS,
    ),
    "a stake that is spent": (
        lambda: alices(source=ELSEWHERE),
        f"a transfer can't spend {ELSEWHERE}: what is staked has to be unstaked first",
        KINDS,
    ),
    "a key that isn't the order's": (
        lambda: alices().order.sign(BOB.coldkey),
        f"{B[:12]} signs an order of {A[:12]}",
        "use the wallet that it names",
    ),
    "half a signature": (
        lambda: replace(alices(), signature="ab"),
        "the order's signature is 'ab', not 128 lower-case hexadecimal digits",
        "",
    ),
    "a title of no hotkey's account": (
        lambda: alices(title=title()),
        f"{purse(ALICE)} isn't a hotkey's account, so no title is due",
        "leave it out",
    ),
    "an order of another version": (
        lambda: Order.from_dict(alices().order.to_dict() | {"version": 2}),
        "the order hasn't exactly the fields of version 1",
        FILE,
    ),
    "a signed order of another version": (
        lambda: SignedOrder.from_dict(alices().to_dict() | {"version": 2}),
        "this isn't an order of version 1",
        FILE,
    ),
    "no JSON": (lambda: SignedOrder.from_bytes(b"{"), "this isn't an order: it isn't JSON", FILE),
    "a long file": (
        lambda: SignedOrder.from_bytes(b" " * 16_385),
        "an order of 16385 bytes, more than 16384",
        FILE,
    ),
    "an empty title": (
        lambda: title(document=""),
        "the title's document has 0 characters, not 1 to 4096",
        ENROLMENT,
    ),
    "a long title": (
        lambda: title(document="x" * 4_097),
        "the title's document has 4097 characters, not 1 to 4096",
        ENROLMENT,
    ),
    "a title with half a character": (
        lambda: title(document="\ud800"),
        "the title's document isn't Unicode text: half a surrogate pair is in it",
        ENROLMENT,
    ),
    "a title with half a signature": (
        lambda: title(signature="ab"),
        "the title's signature isn't one",
        ENROLMENT,
    ),
    "a title that is none": (
        lambda: Title.from_dict({"document": "{}"}),
        "the title isn't a document and a signature",
        ENROLMENT,
    ),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_what_is_no_order_is_refused_with_its_remedy(case: str) -> None:
    make, message, remedy = DOCUMENTS[case]
    with pytest.raises(OrderError) as caught:
        make()
    assert (caught.value.message, caught.value.remedy) == (message, remedy)


def test_the_longest_documents_are_within() -> None:
    signed = alices()
    assert SignedOrder.from_bytes(signed.leaf.ljust(16_384)) == signed
    for length in (1, 4_096):
        assert len(title(document="x" * length).document) == length


@pytest.fixture
def book() -> Book:
    """Alice has ordered three times, and Carol's hotkey is known to be hers; Bob has never ordered."""
    balances = {purse(ALICE): 50, purse(BOB): 50, participant(BOB): 50, participant(CAROL): 50}
    return Book(balances=balances, nonces={A: 3}, holders={CAROL.hotkey.keypair.public: C})


UNFIT: dict[str, tuple[Callable[[], SignedOrder], str, str]] = {
    "for another ledger": (
        lambda: alices(subnet=digest("another")),
        "other_subnet",
        f"it is for ledger {digest('another')[:12]}, and this one is {genesis_head(GENESIS)[:12]}",
    ),
    "forged": (
        lambda: replace(alices(), signature="00" * 64),
        "bad_signature",
        f"the signature isn't that of coldkey {A[:12]}",
    ),
    "late": (lambda: alices(expires=4), "expired", "it held until round 4, and this is round 5"),
    "again": (
        lambda: alices(nonce=3),
        "nonce_used",
        f"nonce 3 of coldkey {A[:12]} is used already: its next is 4",
    ),
    "before its turn": (
        lambda: alices(nonce=5),
        "nonce_gap",
        f"nonce 5 of coldkey {A[:12]} leaves a gap: its next is 4",
    ),
    "from nobody": (lambda: alices(source="issuance"), "not_spendable", "nobody can spend issuance"),
    "without a title": (
        lambda: alices(source=participant(BOB)),
        "no_title",
        f"it doesn't show that hotkey {BOB.hotkey.keypair.public[:12]} works for coldkey {A[:12]}",
    ),
    "with another hotkey's title": (
        lambda: alices(source=participant(BOB), title=title()),
        "bad_title",
        f"its title isn't an enrolment of hotkey {BOB.hotkey.keypair.public[:12]} in this subnet",
    ),
    "with somebody else's title": (
        lambda: alices(source=participant(BOB), title=title_of(BOB)),
        "not_owner",
        f"{participant(BOB)} belongs to coldkey {B[:12]}, not to {A[:12]}",
    ),
    "from a hotkey that is known": (
        lambda: alices(source=participant(CAROL)),
        "not_owner",
        f"{participant(CAROL)} belongs to coldkey {C[:12]}, not to {A[:12]}",
    ),
    "from somebody else's purse": (
        lambda: alices(source=purse(BOB)),
        "not_owner",
        f"{purse(BOB)} belongs to coldkey {B[:12]}, not to {A[:12]}",
    ),
    "to another validator": (
        lambda: alices(kind="stake", destination=ELSEWHERE),
        "unknown_validator",
        f"{ELSEWHERE} isn't the escrow of validator {GENESIS.validator[:12]}",
    ),
    "to what can't be paid": (
        lambda: alices(destination="issuance"),
        "unknown_account",
        "issuance can't be paid: name wallet:COLDKEY, or who was paid before",
    ),
    "to who was never paid": (
        lambda: alices(destination=NOBODY),
        "unknown_account",
        f"{NOBODY} has never been paid, so it may be nobody's",
    ),
    "of too much": (
        lambda: alices(amount=51),
        "overdraft",
        f"{purse(ALICE)} has 50 base units, not 51",
    ),
    "from an escrow without anything": (
        lambda: alices(kind="unstake", source=escrow(ALICE, GENESIS), destination=purse(ALICE)),
        "overdraft",
        f"{escrow(ALICE, GENESIS)} has 0 base units, not 10",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_order_that_doesnt_apply_is_refused_with_the_values_that_dont_fit(book: Book, case: str) -> None:
    make, reason, message = UNFIT[case]
    signed = make()
    found = refusal(GENESIS, book, signed, round=5)
    assert found == Refusal(signed=signed, reason=reason, message=message)  # type: ignore[arg-type]


def test_the_order_that_is_next_applies(book: Book) -> None:
    """Without the one change of each of the above."""
    assert refusal(GENESIS, book, alices(amount=50, expires=5), round=5) is None


def test_who_owns_by_name_is_told_that_nobody_can_spend_it(book: Book) -> None:
    named: Genesis = replace(GENESIS, owner="team")
    found = refusal(named, book, alices(subnet=genesis_head(named), source="owner:team"), round=5)
    assert found is not None
    assert found.message == "the genesis names the owner 'team', which is no coldkey"
