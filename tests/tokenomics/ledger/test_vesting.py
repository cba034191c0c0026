"""Vesting: pay is pending, then released or voided; nothing is lost, whatever rounds and strikes come."""
# ruff: noqa: S608 - the statements are the tests' own

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.database import Database
from tokenomics import HeightSchedule, Shares, Token
from tokenomics.errors import LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Earnings, Genesis, Ledger, Payout, Pending, ReceiptEntry, Settlement, verify_ledger
from tokenomics.ledger.log import Log, genesis_leaf, round_leaf
from tokenomics.ledger.planning import genesis_tip, seal
from tokenomics.ledger.rows import read_pending, tip_of
from tokenomics.ledger.vesting import moved_on, payout

Make = Callable[..., Any]
ALICE, BOB, CAROL = (digest(name) for name in ("alice", "bob", "carol"))


def amounts(ledger: Ledger, number: int, kind: str) -> dict[str, int]:
    """A round's postings of one kind by account."""
    return {one.account: one.amount for one in ledger.postings(number) if one.kind == kind}


@pytest.fixture
def play(database: Database, tmp_path: Path, validator: Keypair, make_genesis: Make, make_settlement: Make) -> Make:
    """Settle rounds with a vesting; `struck` names who is struck in which round, `changes` other fields by round."""

    def run(
        n_rounds: int,
        *,
        vesting: int,
        struck: dict[int, tuple[str, ...]] | None = None,
        changes: dict[int, dict[str, object]] | None = None,
        name: str = "ledger.sqlite",
    ) -> Path:
        path = tmp_path / name
        with database.create(path, make_genesis(vesting=vesting), validator) as ledger:
            for number in range(1, n_rounds + 1):
                more = (changes or {}).get(number, {})
                ledger.settle(make_settlement(number, struck=(struck or {}).get(number, ()), **more), validator)
        assert verify_ledger(path).errors == []
        return path

    return run


def test_pay_is_pending_and_released_so_many_rounds_later(play: Make) -> None:
    """What round 1 posted to the pending accounts is what round 4 moves on, and nothing before."""
    with Ledger.open(play(4, vesting=3)) as ledger:
        first = amounts(ledger, 1, "emission")
        assert {account for account in first if account.startswith(("pending:", "participant:"))} == {
            f"pending:{ALICE}",
            f"pending:{BOB}",
        }
        assert [amounts(ledger, number, "release") for number in (1, 2, 3)] == [{}, {}, {}]
        assert amounts(ledger, 4, "release") == {
            f"{account}:{hotkey}": sign * first[f"pending:{hotkey}"]
            for hotkey in (ALICE, BOB)
            for account, sign in (("pending", -1), ("participant", 1))
        }
        assert ledger.balances()[f"participant:{ALICE}"] == first[f"pending:{ALICE}"]


def test_owner_and_validator_do_not_wait(play: Make) -> None:
    with Ledger.open(play(1, vesting=20)) as ledger:
        balances = ledger.balances()
        assert balances["owner:team"] > 0
        assert balances[f"validator:{ledger.genesis.validator}"] > 0


def test_without_vesting_everybody_is_paid_at_once_and_a_strike_voids_nothing(play: Make) -> None:
    """The same amounts as with vesting, to the earners themselves; no release, no void, nothing pending."""
    with Ledger.open(play(4, vesting=0, struck={3: ("alice",)}, name="at-once.sqlite")) as at_once:
        with Ledger.open(play(4, vesting=20, struck={3: ("alice",)}, name="later.sqlite")) as later:
            for number in range(1, 5):
                pending = amounts(later, number, "emission").items()
                assert {name.replace("pending:", "participant:"): amount for name, amount in pending} == amounts(
                    at_once, number, "emission"
                )
        assert {one.kind for number in range(1, 5) for one in at_once.postings(number)} == {"emission"}
        assert not any(account.startswith(("pending:", "burn")) for account in at_once.balances())
        assert at_once.pending().by_round == {}
        assert at_once.payout(2, ALICE) == Payout(state="paid", round=2)


def test_a_strike_voids_exactly_the_last_rounds_pay_with_what_was_due(play: Make) -> None:
    """Vesting 2, struck in round 5: rounds 3 (due in 5) and 4 are voided; round 2 was released in 4 and stays paid."""
    with Ledger.open(play(6, vesting=2, struck={5: ("alice",)}, name="struck.sqlite")) as ledger:
        paid = {number: amounts(ledger, number, "emission").get(f"pending:{ALICE}", 0) for number in range(1, 7)}
        assert paid[5] == 0
        lost = paid[3] + paid[4]
        assert amounts(ledger, 5, "void") == {f"pending:{ALICE}": -lost, "burn": lost}
        assert set(amounts(ledger, 5, "release")) == {f"pending:{BOB}", f"participant:{BOB}"}
        assert set(amounts(ledger, 6, "release")) == {f"pending:{BOB}", f"participant:{BOB}"}
        found = ledger.earnings()[ALICE]
        assert found == Earnings(vested=paid[1] + paid[2], pending=paid[6], voided=lost)
        assert found.paid == sum(paid.values())
        states = [ledger.payout(number, ALICE) for number in (1, 2, 3, 4, 6)]
        assert states == [
            Payout(state="released", round=3),
            Payout(state="released", round=4),
            Payout(state="voided", round=5),
            Payout(state="voided", round=5),
            Payout(state="pending", round=8),
        ]


@pytest.mark.parametrize("status", ["rejected", "missing"])
def test_a_strike_needs_no_contribution_of_its_round(play: Make, make_settlement: Make, status: Any) -> None:
    """So that a fraud which is proved later voids what is still pending, though its sender stays away."""
    alice, *others = make_settlement(4, struck=("alice",)).entries
    entries = (replace(alice, status=status), *others)
    with Ledger.open(play(5, vesting=20, changes={4: {"entries": entries}})) as ledger:
        paid = [amounts(ledger, number, "emission").get(f"pending:{ALICE}", 0) for number in range(1, 6)]
        lost = sum(paid[:3])
        assert amounts(ledger, 4, "void") == {f"pending:{ALICE}": -lost, "burn": lost}
        assert ledger.earnings()[ALICE] == Earnings(vested=0, pending=paid[4], voided=lost)
        assert lost > 0


def test_voided_pay_stays_minted(play: Make) -> None:
    """A strike changes neither the supply nor what others get in any round."""
    with Ledger.open(play(5, vesting=20, struck={4: ("alice",)}, name="struck.sqlite")) as struck:
        assert struck.balances()["burn"] > 0
        assert struck.balances()["issuance"] == -struck.minted == -sum(row.minted for row in struck.rounds())
        assert sum(struck.balances().values()) == 0


def test_a_second_strike_finds_only_what_was_earned_since(play: Make) -> None:
    """Struck in 3 and again in 4, there is nothing to void; struck in 6, only round 5's pay."""
    with Ledger.open(play(6, vesting=20, struck=dict.fromkeys((3, 4, 6), ("alice",)))) as ledger:
        paid = {number: amounts(ledger, number, "emission").get(f"pending:{ALICE}", 0) for number in range(1, 7)}
        assert amounts(ledger, 3, "void")["burn"] == paid[1] + paid[2]
        assert amounts(ledger, 4, "void") == {}
        assert amounts(ledger, 6, "void")["burn"] == paid[5] > 0


def test_two_struck_at_once_are_voided_in_order_with_one_posting_to_burn(play: Make) -> None:
    with Ledger.open(play(2, vesting=20, struck={2: ("alice", "bob")})) as ledger:
        voided = [one for one in ledger.postings(2) if one.kind == "void"]
        assert [one.account for one in voided] == [*(f"pending:{key}" for key in sorted((ALICE, BOB))), "burn"]
        assert sum(one.amount for one in voided) == 0


def test_a_refused_round_and_one_without_participants_still_release(play: Make) -> None:
    """Round 3 pays nothing, round 4 has no receipt at all: what rounds 1 and 2 paid is moved on all the same."""
    with Ledger.open(play(4, vesting=2, changes={3: {"pays": False}, 4: {"entries": ()}})) as ledger:
        for number in (3, 4):
            due = amounts(ledger, number - 2, "emission")[f"pending:{ALICE}"]
            assert {one.kind for one in ledger.postings(number)} == {"release"}
            assert amounts(ledger, number, "release")[f"participant:{ALICE}"] == due
        assert [row.minted for row in ledger.rounds(3)] == [0, 0]
        assert not any(ledger.pending().by_round.values())


def test_a_strike_in_a_refused_round_voids(play: Make) -> None:
    with Ledger.open(play(2, vesting=20, struck={2: ("alice",)}, changes={2: {"pays": False}})) as ledger:
        assert amounts(ledger, 2, "void")["burn"] == amounts(ledger, 1, "emission")[f"pending:{ALICE}"]


def test_earnings_and_pending_are_told_as_of_any_round(play: Make) -> None:
    """As of round n they are those of a ledger that ends with round n; past the end, the end's."""
    struck = {4: ("bob",)}
    with Ledger.open(play(6, vesting=2, struck=struck, name="whole.sqlite")) as whole:
        for number in range(1, 7):
            with Ledger.open(play(number, vesting=2, struck=struck, name=f"{number}.sqlite")) as shorter:
                assert whole.earnings(until=number) == shorter.earnings() == shorter.earnings(until=99)
                assert whole.pending(until=number) == shorter.pending()
        assert whole.earnings(until=0) == {}


def test_a_ledger_opened_anew_before_every_round_is_the_same(
    database: Database, play: Make, tmp_path: Path, make_genesis: Make, make_settlement: Make, validator: Keypair
) -> None:
    """Everything pending is read back from the postings, so that a restart changes no byte."""
    struck = {5: ("alice",), 7: ("bob",)}
    other = tmp_path / "restarted.sqlite"
    database.create(other, make_genesis(vesting=3), validator).close()
    for number in range(1, 9):
        with Ledger.open(other) as ledger:
            ledger.settle(make_settlement(number, struck=struck.get(number, ())), validator)
    with Ledger.open(other) as restarted, Ledger.open(play(8, vesting=3, struck=struck)) as straight:
        assert list(restarted.dump()) == list(straight.dump())


@pytest.mark.parametrize("vesting", [-1, 10_001, 2.0, True])
def test_a_vesting_that_can_not_be_is_refused(make_genesis: Make, vesting: object) -> None:
    with pytest.raises(LedgerError, match="vesting"):
        make_genesis(vesting=vesting)


@pytest.mark.parametrize(("score", "struck"), [(1, True), (0, 1), (0, None)])
def test_a_strike_has_no_score_and_is_a_bool(score: int, struck: Any) -> None:
    with pytest.raises(LedgerError, match="struck"):
        ReceiptEntry(hotkey=ALICE, receipt_hash=ALICE, status="accepted", score=score, struck=struck)


def test_what_is_moved_on_comes_in_pairs_by_hotkey() -> None:
    """Round 2 with a vesting of 1: bob's is released, alice's voided with all that she has pending."""
    pending = Pending({1: {"bob": 5, "alice": 7}})
    assert moved_on(pending, 2, vesting=1, struck={"alice", "carol"}) == [
        ("pending:bob", "release", -5),
        ("participant:bob", "release", 5),
        ("pending:alice", "void", -7),
        ("burn", "void", 7),
    ]
    assert moved_on(pending, 3, vesting=1, struck=()) == []


def test_more_than_a_ledger_can_hold_is_never_posted(make_genesis: Make, make_settlement: Make) -> None:
    """Pending amounts that no ledger has, but which a file that was tampered with could name."""
    genesis = make_genesis(vesting=2)
    pending = Pending({-1: {ALICE: 2**62}, 0: {ALICE: 2**62}})
    log = Log([genesis_leaf(genesis)])
    with pytest.raises(LedgerError, match=f"the largest posting is {2**63}, more than"):
        seal(genesis, genesis_tip(genesis), make_settlement(1, struck=("alice",)), pending, log)


# --- against an independent bookkeeper -------------------------------------------------------------------------------


@dataclass
class Lot:
    """One round's pay of one hotkey, as somebody with pencil and paper would keep it."""

    hotkey: str
    paid_in: int
    amount: int
    state: str = "pending"


HOTKEYS = (ALICE, BOB, CAROL)
a_round = st.fixed_dictionaries(
    {
        "scores": st.fixed_dictionaries({hotkey: st.integers(0, 9) for hotkey in HOTKEYS}),
        "absent": st.sets(st.sampled_from(HOTKEYS)),
        "struck": st.sets(st.sampled_from(HOTKEYS), max_size=1) | st.just(set()),
        "pays": st.sampled_from([True, True, True, False]),
        "unpaid": st.integers(0, 3),
    }
)


def settlement_of(number: int, told: dict[str, Any]) -> Settlement:
    """The round as the ledger is told it."""
    entries = tuple(
        ReceiptEntry(
            hotkey=hotkey,
            receipt_hash=digest((number, hotkey)),
            status="accepted",
            score=0 if hotkey in told["struck"] else score,
            struck=hotkey in told["struck"],
        )
        for hotkey, score in told["scores"].items()
        if hotkey not in told["absent"]
    )
    return Settlement(
        round=number,
        base_hash=digest(f"model {number - 1}"),
        model_hash=digest(f"model {number}"),
        record_hash=digest(("record", number)),
        settled_at=number,
        entries=entries,
        unpaid_score=told["unpaid"],
        pays=told["pays"],
    )


def genesis_of(vesting: int, validator: Keypair) -> Genesis:
    """A genesis of odd amounts."""
    return Genesis(
        subnet="digits",
        spec_hash=digest("spec"),
        validator=validator.public,
        owner="team",
        token=Token("DIG"),
        schedule=HeightSchedule(subsidy=1_009, interval=4),
        shares=Shares(),
        vesting=vesting,
        model_hash=digest("model 0"),
        validation_root=digest("validation"),
        created_at=0,
    )


def keep(lots: list[Lot], number: int, settlement: Settlement, vesting: int) -> None:
    """Strike first, then release what is due: the rule in the fewest words."""
    struck = {entry.hotkey for entry in settlement.entries if entry.struck}
    for lot in lots:
        if lot.state == "pending" and lot.hotkey in struck:
            lot.state = "voided"
        elif lot.state == "pending" and lot.paid_in + vesting == number:
            lot.state = "vested"


@given(rounds=st.lists(a_round, min_size=1, max_size=14), vesting=st.integers(0, 6))
def test_any_season_conserves_every_unit(rounds: list[dict[str, Any]], vesting: int) -> None:
    """Every kind of posting sums to 0, no balance is ever negative, and a hotkey's balances are its lots by state."""
    validator = Keypair.from_seed(bytes(32))
    genesis = genesis_of(vesting, validator)
    tip, pending, lots, balances = genesis_tip(genesis), Pending(), [], Counter[str]()
    log = Log([genesis_leaf(genesis)])
    for number, told in enumerate(rounds, start=1):
        settlement = settlement_of(number, told)
        sealed = seal(genesis, tip, settlement, pending, log)
        log = log.then(round_leaf(sealed.row))
        moved = [(one.account, one.kind, one.amount) for one in sealed.postings]
        for kind in ("emission", "release", "void"):
            assert sum(amount for _, found, amount in moved if found == kind) == 0
        burnt = balances["burn"]
        for account, _, amount in moved:
            balances[account] += amount
        assert all(units >= 0 for account, units in balances.items() if account != "issuance")
        assert balances["burn"] >= burnt
        assert -balances["issuance"] == sealed.row.supply
        keep(lots, number, settlement, vesting)
        for hotkey in HOTKEYS:
            prefix = "pending" if vesting else "participant"
            amount = sum(found for name, kind, found in moved if (name, kind) == (f"{prefix}:{hotkey}", "emission"))
            lots += [Lot(hotkey, number, amount, "pending" if vesting else "vested")] if amount else []
        by_state = Counter({(lot.hotkey, state): 0 for lot in lots for state in ("vested", "pending", "voided")})
        for lot in lots:
            by_state[lot.hotkey, lot.state] += lot.amount
        for hotkey in HOTKEYS:
            assert balances[f"participant:{hotkey}"] == by_state[hotkey, "vested"]
            assert balances[f"pending:{hotkey}"] == by_state[hotkey, "pending"]
        assert balances["burn"] == sum(by_state[hotkey, "voided"] for hotkey in HOTKEYS)
        pending, tip = pending.after(number, moved, vesting=vesting), tip_of(sealed.row)
        assert sum(pending.of(hotkey) for hotkey in HOTKEYS) == sum(balances[f"pending:{one}"] for one in HOTKEYS)


@pytest.mark.parametrize("vesting", [0, 1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_what_settling_reads_back_is_what_a_fold_over_all_rounds_gives(
    database: Database, tmp_path: Path, validator: Keypair, vesting: int, seed: int
) -> None:
    """The few rows that settling reads give the same round, and the file's verification agrees with every one."""
    generator = Random(seed)
    genesis = genesis_of(vesting, validator)
    path = tmp_path / "ledger.sqlite"
    tip, pending, log = genesis_tip(genesis), Pending(), Log([genesis_leaf(genesis)])
    with database.create(path, genesis, validator) as ledger:
        for number in range(1, 13):
            told = {
                "scores": {hotkey: generator.randrange(5) for hotkey in HOTKEYS},
                "absent": {hotkey for hotkey in HOTKEYS if generator.random() < 0.2},
                "struck": {hotkey for hotkey in HOTKEYS if generator.random() < 0.2},
                "pays": generator.random() < 0.8,
                "unpaid": 0,
            }
            settlement = settlement_of(number, told)
            sealed = seal(genesis, tip, settlement, pending, log)
            log = log.then(round_leaf(sealed.row))
            ledger.settle(settlement, validator)
            assert ledger.postings(number) == list(sealed.postings)
            moved = [(one.account, one.kind, one.amount) for one in sealed.postings]
            pending, tip = pending.after(number, moved, vesting=vesting), tip_of(sealed.row)
            held = {paid: dict(found) for paid, found in pending.by_round.items() if found}
            assert {paid: dict(found) for paid, found in ledger.pending().by_round.items() if found} == (
                held if vesting else {}
            )
            assert ledger.head == sealed.row.head
    assert verify_ledger(path, validator=validator.public).errors == []


# --- what a falsifier could try --------------------------------------------------------------------------------------

DROP_RELEASE = (f"DELETE FROM postings WHERE round = 3 AND kind = 'release' AND account LIKE '%{ALICE}'",)
TO_ANOTHER = (
    f"UPDATE postings SET account = 'participant:{CAROL}' WHERE round = 3 AND account = 'participant:{ALICE}'",
)
NO_VOID = ("DELETE FROM postings WHERE round = 5 AND kind = 'void'",)
LESS_VOID = (
    f"UPDATE postings SET amount = amount + 1 WHERE round = 5 AND account = 'pending:{ALICE}' AND kind = 'void'",
    "UPDATE postings SET amount = amount - 1 WHERE round = 5 AND account = 'burn'",
)
EARLY = (
    f"INSERT INTO postings VALUES (2, 90, 'pending:{ALICE}', 'release', -5)",
    f"INSERT INTO postings VALUES (2, 91, 'participant:{ALICE}', 'release', 5)",
)
AT_ONCE = (f"UPDATE postings SET account = 'participant:{ALICE}' WHERE round = 2 AND account = 'pending:{ALICE}'",)
FORGERIES = {
    "a release dropped": (DROP_RELEASE, f"round 3: participant:{ALICE} has nothing of release, due"),
    "a release to another": (TO_ANOTHER, f"round 3: participant:{CAROL} has"),
    "a void left out": (NO_VOID, "round 5: burn has nothing of void, due"),
    "less voided": (LESS_VOID, "round 5: burn has"),
    "a release before its time": (EARLY, f"round 2: participant:{ALICE} has 5 (posting 91) of release, due nothing"),
    "pay past the pending account": (AT_ONCE, f"round 2: participant:{ALICE} is paid without an accepted receipt"),
    "a strike wiped out": (("UPDATE receipts SET struck = 0 WHERE round = 5",), "round 5: receipts_root"),
    "a strike made up": (
        (f"UPDATE receipts SET struck = 1, score = 0 WHERE round = 4 AND hotkey = '{BOB}'",),
        "round 4: receipts_root",
    ),
    "a shorter vesting": (
        ("UPDATE genesis SET document = replace(document, '\"vesting\":2', '\"vesting\":1')",),
        "genesis: its head",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forgery_is_named_first_by_its_round_and_posting(play: Make, tamper: Make, forgery: str) -> None:
    """Behind restored triggers, so nothing but the content gives it away; nothing before that round is named."""
    path = play(7, vesting=2, struck={5: ("alice",)})
    statements, message = FORGERIES[forgery]
    tamper(path, *statements)
    errors = verify_ledger(path).errors
    assert any(message in error for error in errors), errors
    first = message.split(":")[0]
    assert errors[0].startswith(first)


def test_one_wrong_posting_is_named_in_its_own_round_alone(play: Make, tamper: Make) -> None:
    """A void left out changes nothing of what the rounds after it should hold."""
    path = play(8, vesting=2, struck={5: ("alice",)})
    tamper(path, *NO_VOID)
    named = {error.split(":")[0] for error in verify_ledger(path).errors}
    assert named == {"round 5"}


@pytest.mark.parametrize("kind", ["release", "void"])
def test_a_validator_who_leaves_postings_out_and_signs_it_is_found(
    play: Make, make_settlement: Make, validator: Keypair, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Chain, sums, signatures and triggers all hold: only the recomputed postings tell."""
    path = play(4, vesting=2)

    def forgetful(*arguments: Any, **more: Any) -> Any:
        return [one for one in moved_on(*arguments, **more) if one[1] != kind]

    with Ledger.open(path) as ledger, monkeypatch.context() as patch:
        patch.setattr("tokenomics.ledger.planning.moved_on", forgetful)
        ledger.settle(make_settlement(5, struck=("alice",)), validator)
    errors = verify_ledger(path, validator=validator.public).errors
    assert {error.split(":")[0] for error in errors} == {"round 5"}
    assert any(f"has nothing of {kind}, due" in error for error in errors)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([f"(5, 0, 'participant:{ALICE}', 'release', 5)"], "what is released was pending"),
        (
            [f"(5, 0, 'pending:{ALICE}', 'release', -5)", f"(5, 1, 'participant:{BOB}', 'release', 5)"],
            "what is released was pending",
        ),
        ([f"(5, 0, 'pending:{ALICE}', 'void', -5)"], "pay is voided by a strike"),
        (["(5, 0, 'owner:team', 'void', 5)"], "pay is voided by a strike"),
        ([f"(5, 0, 'pending:{ALICE}', 'emission', 5)"], "nobody is paid without an accepted receipt"),
        (["(5, 0, 'owner:team', 'bonus', 5)"], "(?i)check constraint"),
    ],
)
def test_other_programs_can_not_release_or_void_what_is_not_due(
    database: Database, play: Make, rows: list[str], reason: str
) -> None:
    path = play(4, vesting=2)
    with pytest.raises(database.refused, match=reason):
        database.run(path, f"INSERT INTO postings VALUES {', '.join(rows)}")


def test_settling_reads_no_more_than_it_needs(play: Make) -> None:
    """Of all that is pending: what is due, and everything of whoever is struck."""
    with Ledger.open(play(6, vesting=4)) as ledger, ledger._engine.connect() as connection:
        read = read_pending(connection, ledger.genesis, 6, struck={ALICE})
        whole = ledger.pending()
        assert read.due(7, vesting=4) == whole.due(7, vesting=4) != {}
        assert read.of(ALICE) == whole.of(ALICE) > 0
        assert BOB not in read.by_round[5]


def test_pay_is_released_from_the_very_round_on_that_releases_it() -> None:
    """Paid in round 2 with a vesting of 3: pending up to round 4, released in 5."""
    states = [payout(2, vesting=3, height=height, voided_in=None) for height in (2, 4, 5, 6)]
    assert [one.state for one in states] == ["pending", "pending", "released", "released"]
    assert {one.round for one in states} == {5}


def test_a_payout_is_told_by_what_came_first() -> None:
    """At once without vesting, whatever was voided; and voided pay stays so when its release would have come."""
    assert payout(2, vesting=0, height=9, voided_in=4) == Payout(state="paid", round=2)
    assert payout(2, vesting=3, height=9, voided_in=4) == Payout(state="voided", round=4)
    assert Earnings(vested=1, pending=20, voided=300, moved=4_000).paid == 321
    assert Earnings(vested=1, pending=20, voided=300, moved=4_000).balance == 4_001
