"""From scores to sealed rounds, without a database: numbers, hashes and order against sums and hashes of their own."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.drawn import HOTKEYS, genesis_of, rounds, schedules, settlement_of, shares
from tests.tokenomics.ledger.model import Model
from tests.tokenomics.ledger.owners import ALICE as ALICE_WALLET
from tests.tokenomics.ledger.owners import BOB as BOB_WALLET
from tests.tokenomics.ledger.owners import order_of, participant
from tests.tokenomics.ledger.owners import settlement as with_orders
from tokenomics import HeightSchedule, Shares, SupplySchedule
from tokenomics.errors import LedgerError
from tokenomics.ledger import Book, Genesis, Pending, ReceiptEntry, plan_round
from tokenomics.ledger.log import Log, genesis_head, genesis_leaf, leaf_fields, origin_of, round_leaf
from tokenomics.ledger.planning import (
    SealedRound,
    Tip,
    genesis_tip,
    head_of,
    invariant_problems,
    round_content,
    seal,
)
from tokenomics.ledger.rows import tip_of
from tokenomics.ledger.vesting import NOTHING_PENDING
from tokenomics.merkle import merkle_root

GENESIS = genesis_of(HeightSchedule(subsidy=1_000, interval=2), Shares(), 1)
ALICE, BOB = sorted(HOTKEYS)[:2]
NO_ROUND = {"outcomes": {}, "unpaid_score": 0, "pays": True}


def canonical(value: object) -> bytes:
    """Canonical JSON once more, as docs and other implementations have it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def play(genesis: Genesis, drawn: list[dict[str, Any]]) -> tuple[list[SealedRound], Model]:
    """Seal rounds one on top of the other."""
    model, tip, pending, log = Model(genesis), genesis_tip(genesis), NOTHING_PENDING, Log([genesis_leaf(genesis)])
    played = []
    for one in drawn:
        settlement = settlement_of(model, one)
        sealed = seal(genesis, tip, settlement, pending, log)
        assert {(p.account, p.kind): p.amount for p in sealed.postings} == model.settle(settlement)
        moved = [(p.account, p.kind, p.amount) for p in sealed.postings]
        pending = pending.after(settlement.round, reversed(moved), vesting=genesis.vesting)
        assert {h: pending.of(h) for h in HOTKEYS} == {h: model.pending_of(h) for h in HOTKEYS}
        tip, log = tip_of(sealed.row), log.then(round_leaf(sealed.row))
        assert sealed.row.supply == model.minted
        played.append(sealed)
    return played, model


@given(schedules, shares, st.integers(0, 3), st.lists(rounds, min_size=1, max_size=7))
def test_every_round_holds_what_the_model_says_in_its_one_order(
    schedule: HeightSchedule | SupplySchedule, shares: Shares, vesting: int, drawn: list[dict[str, Any]]
) -> None:
    """What is emitted first, then what is released, then what is voided; each by account, `burn` last."""
    genesis = genesis_of(schedule, shares, vesting)
    played, model = play(genesis, drawn)
    scheduled = 0
    for sealed, settlement in zip(played, model.settled, strict=True):
        row = sealed.row
        for name in ("round", "base_hash", "model_hash", "record_hash", "settled_at", "unpaid_score", "pays"):
            assert getattr(row, name) == getattr(settlement, name)
        assert row.minted + row.unminted == row.emission
        scheduled += row.emission
        assert sealed.receipts == tuple(sorted(settlement.entries, key=lambda entry: entry.hotkey))
        assert [posting.position for posting in sealed.postings] == list(range(len(sealed.postings)))
        order = ["issuance", f"owner:{genesis.owner}", f"validator:{genesis.validator}"]
        order += [f"{earner}:{hotkey}" for hotkey in sorted(HOTKEYS) for earner in ("pending", "participant")]
        order.append("burn")
        kinds = ["emission", "release", "void"]
        places = [(kinds.index(posting.kind), order.index(posting.account)) for posting in sealed.postings]
        assert places == sorted(places)
    assert scheduled == model.scheduled


@given(schedules, st.lists(rounds, min_size=1, max_size=5))
def test_heads_leaves_and_roots_are_those_of_the_canonical_content(
    schedule: HeightSchedule | SupplySchedule, drawn: list[dict[str, Any]]
) -> None:
    """Hashed here from the documents alone, as somebody without this program would."""
    genesis = genesis_of(schedule, Shares(), 2)
    document = canonical(genesis.to_dict())
    head = hashlib.sha256(b"flower-subnet/ledger-genesis/v3\x00" + document).hexdigest()
    leaves = [document]
    tip = genesis_tip(genesis)
    assert (tip.head, tip.log_root, genesis_head(genesis)) == (head, merkle_root(leaves), head)
    for sealed in play(genesis, drawn)[0]:
        row = asdict(sealed.row)
        assert (row.pop("signature"), row.pop("orders_root")) == ("", "")
        log_root, sealed_head = row.pop("log_root"), row.pop("head")
        receipts = [asdict(entry) for entry in sealed.receipts]
        postings = [asdict(posting) for posting in sealed.postings]
        assert row["receipts_root"] == merkle_root([canonical(entry) for entry in receipts])
        assert row["postings_root"] == merkle_root([canonical(posting) for posting in postings])
        content = {"round": row, "receipts": receipts, "postings": postings}
        assert round_content(sealed.row, sealed.receipts, sealed.postings) == content
        whole = canonical({"previous": head, **content})
        assert sealed_head == hashlib.sha256(b"flower-subnet/ledger-round/v3\x00" + whole).hexdigest()
        assert leaf_fields(sealed.row) == row | {"head": sealed_head}
        leaves.append(canonical(row | {"head": sealed_head}))
        assert round_leaf(sealed.row) == leaves[-1]
        assert log_root == merkle_root(leaves)
        head = sealed_head


def test_a_head_without_receipts_and_postings_is_of_empty_lists() -> None:
    row = play(GENESIS, [NO_ROUND])[0][0].row
    not_hashed = {"head", "log_root", "signature", "orders_root"}
    content = {name: value for name, value in asdict(row).items() if name not in not_hashed}
    whole = canonical({"previous": "00", "round": content, "receipts": [], "postings": []})
    assert head_of("00", row, [], []) == hashlib.sha256(b"flower-subnet/ledger-round/v3\x00" + whole).hexdigest()


def test_a_log_that_grows_is_the_tree_of_all_its_leaves_at_every_size() -> None:
    leaves = [bytes([number]) for number in range(70)]
    log = Log(leaves[:1])
    for size in range(1, 70):
        longer = log.then(leaves[size])
        assert (log.size, log.root) == (size, merkle_root(leaves[:size]))
        assert Log(leaves[:size]).root == log.root
        log = longer


@pytest.mark.parametrize(
    ("subnet", "name"), [("digits", "digits"), ("Möwe 7_a.b-c", "M-we-7_a.b-c"), ("a/b\\c+d", "a-b-c-d"), ("Z", "Z")]
)
def test_a_log_is_called_by_its_subnet_in_plain_letters_and_by_its_genesis(subnet: str, name: str) -> None:
    genesis = replace(GENESIS, subnet=subnet)
    assert origin_of(genesis) == f"{name}/{genesis_head(genesis)[:16]}"


def test_a_genesis_is_written_down_in_these_fields_and_reads_back() -> None:
    """What is hashed and signed: a field more or fewer would be another ledger."""
    document = GENESIS.to_dict()
    assert document == {
        "version": 3,
        "subnet": "digits",
        "spec_hash": GENESIS.spec_hash,
        "validator": GENESIS.validator,
        "owner": "team",
        "token": {"symbol": "DIG", "decimals": 9},
        "schedule": {"kind": "height", "subsidy": 1_000, "interval": 2},
        "shares": {"owner": 18, "validator": 41, "participants": 41},
        "vesting": 1,
        "model_hash": GENESIS.model_hash,
        "validation_root": GENESIS.validation_root,
        "nonce_commitment": "",
        "created_at": 1_700_000_000,
    }
    assert Genesis.from_dict(json.loads(canonical(document))) == GENESIS


def test_the_tip_of_a_ledger_without_rounds_is_its_genesis() -> None:
    tip = genesis_tip(GENESIS)
    assert (tip.round, tip.supply, tip.model_hash) == (0, 0, GENESIS.model_hash)
    assert tip.log_root == merkle_root([genesis_leaf(GENESIS)])


@given(schedules, st.integers(1, 40), st.integers(0, 100), st.booleans())
def test_a_plan_names_round_era_and_emission_of_its_schedule(
    schedule: HeightSchedule | SupplySchedule, number: int, percent: int, pays: bool
) -> None:
    """By height, round r is height r - 1; by supply, what was minted counts."""
    minted = schedule.cap * percent // 100
    genesis = genesis_of(schedule, Shares(), 0)
    plan = plan_round(genesis, round=number, minted=minted, scores={"a": 1, "b": 0}, unpaid_score=1, pays=pays)
    counter = {"height": number - 1} if isinstance(schedule, HeightSchedule) else {"minted": minted}
    assert plan.round == number
    assert (plan.era, plan.emission) == (schedule.era(**counter), schedule.emission(**counter))
    assert plan.split.minted + plan.split.unminted == plan.emission
    assert list(plan.split.participants) == ["a", "b"]
    if not pays:
        assert plan.split.minted == 0


@pytest.fixture
def sealed() -> SealedRound:
    """Round 3 with a vesting of 1: alice earns, her pay of round 2 is released, bob is struck and loses his."""
    outcomes: list[dict[str, Any]] = [{ALICE: ("accepted", 2, False), BOB: ("accepted", 1, False)}] * 2
    outcomes.append({ALICE: ("accepted", 1, False), BOB: ("accepted", 0, True)})
    return play(GENESIS, [NO_ROUND | {"outcomes": one} for one in outcomes])[0][-1]


def problems(sealed: SealedRound, genesis: Genesis = GENESIS) -> list[str]:
    return invariant_problems(genesis, sealed.row, sealed.receipts, sealed.movements)


def without(sealed: SealedRound, account: str, kind: str) -> SealedRound:
    kept = [one for one in sealed.movements if one[:2] != (account, kind)]
    assert len(kept) < len(sealed.movements)
    return replace(sealed, movements=tuple(kept))


def with_more(sealed: SealedRound, *postings: tuple[str, str, int]) -> SealedRound:
    return replace(sealed, movements=(*sealed.movements, *postings))


def test_a_sound_round_breaks_no_rule(sealed: SealedRound) -> None:
    assert {posting.kind for posting in sealed.postings} == {"emission", "release", "void"}
    assert problems(sealed) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda s: with_more(s, ("owner:team", "other", 5), ("burn", "other", -7)),
            ["its postings sum to -2, not 0"],
        ),
        (
            lambda s: with_more(s, ("burn", "release", 5), ("burn", "other", -5)),
            ["its release postings sum to 5, not 0"],
        ),
        (
            lambda s: with_more(s, ("other", "void", -5), ("other", "other", 5)),
            ["its void postings sum to -5, not 0"],
        ),
        (
            lambda s: with_more(s, ("issuance", "other", -5), ("other", "emission", 5)),
            ["its postings issue 505, but it says that it minted 500"],
        ),
        (
            lambda s: replace(s, row=replace(s.row, unminted=3)),
            ["minted 500 and unminted 3 don't make the emission 500"],
        ),
        (
            lambda s: replace(s, row=replace(s.row, supply=4_001)),
            ["the supply is 4001, above the cap 3988"],
        ),
        (lambda s: replace(s, row=replace(s.row, supply=3_988)), []),
        (
            lambda s: with_more(s, ("owner:team", "emission", 5), ("owner:team", "emission", -5)),
            ["an account is paid twice"],
        ),
        (
            lambda s: with_more(s, (f"pending:{BOB}", "emission", 5), ("owner:else", "emission", -5)),
            [f"pending:{BOB} is paid without an accepted receipt"],
        ),
        (
            lambda s: with_more(s, (f"participant:{ALICE}", "emission", 5), ("owner:else", "emission", -5)),
            [f"participant:{ALICE} is paid without an accepted receipt"],
        ),
        (lambda s: with_more(s, (f"pending:{BOB}", "other", 5), ("owner:else", "emission", -5)), []),
        (
            lambda s: replace(s, receipts=tuple(replace(one, score=0) for one in s.receipts)),
            [f"pending:{ALICE} is paid without an accepted receipt"],
        ),
        (
            lambda s: replace(s, receipts=tuple(replace(one, score=0, status="missing") for one in s.receipts)),
            [f"pending:{ALICE} is paid without an accepted receipt"],
        ),
    ],
)
def test_each_rule_that_a_round_breaks_is_named(
    sealed: SealedRound, change: Callable[[SealedRound], SealedRound], expected: list[str]
) -> None:
    assert problems(change(sealed)) == expected


def test_all_rules_that_a_round_breaks_are_named(sealed: SealedRound) -> None:
    """One finding doesn't hide the next."""
    worse = with_more(without(sealed, "issuance", "emission"), ("burn", "void", 1))
    assert problems(worse) == [
        "its postings sum to 501, not 0",
        "its void postings sum to 1, not 0",
        "its postings issue 0, but it says that it minted 500",
        "an account is paid twice",
    ]


def test_a_score_that_was_not_accepted_is_no_claim(sealed: SealedRound) -> None:
    """Such a receipt can't be made; should one be read from somewhere, its pay is a finding."""
    receipt = sealed.receipts[0]
    forged = object.__new__(ReceiptEntry)
    for name, value in (asdict(receipt) | {"status": "rejected"}).items():
        object.__setattr__(forged, name, value)
    assert receipt.score
    assert problems(replace(sealed, receipts=(forged, *sealed.receipts[1:]))) == [
        f"pending:{ALICE} is paid without an accepted receipt"
    ]


def test_a_round_that_breaks_a_rule_is_not_sealed() -> None:
    """Not even if the tip that it builds on is wrong: here the cap has been minted already."""
    cap = GENESIS.schedule.cap
    tip = Tip(round=0, head=digest("head"), log_root=digest("root"), model_hash=GENESIS.model_hash, supply=cap)
    settlement = settlement_of(Model(GENESIS), NO_ROUND | {"outcomes": {ALICE: ("accepted", 1, False)}})
    with pytest.raises(LedgerError) as caught:
        seal(GENESIS, tip, settlement, NOTHING_PENDING, Log([genesis_leaf(GENESIS)]))
    assert caught.value.message == f"round 1: the supply is {cap + 1_000}, above the cap {cap}"
    assert caught.value.remedy == "report this: it can't happen"


def test_what_is_pending_is_what_the_last_rounds_earned_less_what_was_voided() -> None:
    """Vesting 2; round 3 voids all of bob's, lets round 1's go, and adds its own."""
    pending = NOTHING_PENDING
    pending = pending.after(1, [(f"pending:{ALICE}", "emission", 5), (f"pending:{BOB}", "emission", 6)], vesting=2)
    pending = pending.after(2, [("issuance", "emission", -7), (f"pending:{BOB}", "emission", 7)], vesting=2)
    assert pending == Pending({1: {ALICE: 5, BOB: 6}, 2: {BOB: 7}})
    assert (pending.due(3, vesting=2), pending.due(4, vesting=2), pending.due(9, vesting=2)) == (
        {ALICE: 5, BOB: 6},
        {BOB: 7},
        {},
    )
    assert [pending.of(hotkey) for hotkey in (ALICE, BOB, "nobody")] == [5, 13, 0]
    moved = [(f"pending:{BOB}", "void", -13), ("burn", "void", 13), (f"pending:{ALICE}", "release", -5)]
    moved += [(f"participant:{ALICE}", "release", 5), (f"pending:{ALICE}", "emission", 9)]
    assert pending.after(3, moved, vesting=2) == Pending({2: {}, 3: {ALICE: 9}})


def test_a_round_with_orders_ends_with_what_they_move_and_hashes_them_too() -> None:
    """Alice earns in this round and may spend it in this round; what goes beyond is refused, and hashed nowhere."""
    genesis = genesis_of(HeightSchedule(subsidy=1_000, interval=2), Shares(), 0)
    alone = with_orders(1, base_hash=genesis.model_hash)
    orders = [order_of(ALICE_WALLET, genesis, nonce=number, amount=amount) for number, amount in ((1, 10), (2, 7))]
    over = order_of(ALICE_WALLET, genesis, nonce=3, amount=10**6)
    last = order_of(BOB_WALLET, genesis, expires=1)
    tip, log, book = genesis_tip(genesis), Log([genesis_leaf(genesis)]), Book(balances={participant(BOB_WALLET): 5})
    plain = seal(genesis, tip, alone, NOTHING_PENDING, log, book)
    all_of_them = replace(alone, orders=(over, orders[1], last, orders[0]))
    sealed = seal(genesis, tip, all_of_them, NOTHING_PENDING, log, book)
    assert book == Book(balances={participant(BOB_WALLET): 5})
    applied = sorted([*orders, last], key=lambda one: (one.order.coldkey, one.order.nonce))
    assert sealed.orders == tuple(applied)
    assert [(one.signed, one.reason) for one in sealed.refused] == [(over, "overdraft")]
    moved = [
        (account, "transfer", amount)
        for one in applied
        for account, amount in ((one.order.source, -one.order.amount), (one.order.destination, one.order.amount))
    ]
    assert [(one.account, one.kind, one.amount) for one in sealed.postings[len(plain.postings) :]] == moved
    assert sealed.postings[: len(plain.postings)] == plain.postings

    documents = [json.loads(one.leaf) for one in applied]
    row = {name: value for name, value in asdict(sealed.row).items() if name not in ("head", "log_root", "signature")}
    assert row["orders_root"] == merkle_root([canonical(one) for one in documents])
    content = {
        "round": row,
        "receipts": [asdict(entry) for entry in sealed.receipts],
        "postings": [asdict(posting) for posting in sealed.postings],
        "orders": documents,
    }
    assert round_content(sealed.row, sealed.receipts, sealed.postings, sealed.orders) == content
    whole = canonical({"previous": tip.head, **content})
    assert sealed.row.head == hashlib.sha256(b"flower-subnet/ledger-round/v3\x00" + whole).hexdigest()
    assert "orders" not in round_content(plain.row, plain.receipts, plain.postings)


def test_an_order_past_its_round_and_one_without_a_book_are_not_applied() -> None:
    genesis = genesis_of(HeightSchedule(subsidy=1_000, interval=2), Shares(), 0)
    tip, log = replace(genesis_tip(genesis), round=1), Log([genesis_leaf(genesis)])
    late = with_orders(2, order_of(ALICE_WALLET, genesis, expires=1))
    sealed = seal(genesis, tip, late, NOTHING_PENDING, log, Book())
    assert (sealed.orders, [one.reason for one in sealed.refused]) == ((), ["expired"])
    with pytest.raises(AssertionError, match=r"^a settlement with orders is sealed with the book"):
        seal(genesis, tip, late, NOTHING_PENDING, log)


@pytest.mark.parametrize(("amount", "fits"), [(2**63 - 1, True), (2**63, False)])
def test_a_posting_beyond_64_bits_is_not_sealed(amount: int, fits: bool) -> None:
    """Such pay can't become pending; had it, it would be told before it is written."""
    pending, tip = Pending({1: {ALICE: amount}}), replace(genesis_tip(GENESIS), round=1)
    empty = replace(with_orders(2), entries=())
    if fits:
        assert max(one.amount for one in seal(GENESIS, tip, empty, pending, Log([b""])).postings) == amount
        return
    with pytest.raises(LedgerError) as caught:
        seal(GENESIS, tip, empty, pending, Log([b""]))
    assert caught.value.message == f"the largest posting is {amount}, more than {2**63 - 1}"
