"""Settlement: receipts and ledger say the same, to the base unit."""

import pytest

from subnet.scoring.payable import SCORE_UNIT
from subnet.state import restore
from subnet.strategy import drawn_batches
from tokenomics import Amount, Shares
from tokenomics.canonical import content_hash
from tokenomics.ledger import Earnings, verify_ledger

ROUNDS = [1, 2, 3, 4]


@pytest.mark.parametrize("number", ROUNDS)
def test_rewards_on_receipts_are_the_ledgers_postings(season, number):
    """Every participant's posting, pending at first, is its receipt's reward; who has no reward has no posting."""
    report, postings = season.report(number), season.fixture.ledger.postings(number)
    posted = {
        one.account.removeprefix("pending:"): one.amount for one in postings if one.account.startswith("pending:")
    }
    assert posted == report.rewards
    assert sum(one.amount for one in postings) == 0


@pytest.mark.parametrize("number", ROUNDS)
def test_rewards_are_in_proportion_to_scores(season, number):
    """No participant is a whole base unit from its exact share of the pool."""
    report = season.report(number)
    scores = {hotkey: receipt["score"] for hotkey, receipt in report.receipts.items()}
    pool = report.row.emission * 41 // 100
    cut = report.row.unpaid_score
    for hotkey, receipt in report.receipts.items():
        exact = pool * scores[hotkey] / (sum(scores.values()) + cut)
        assert abs(receipt["reward"] - exact) <= 2
        assert receipt["participants_pool"] == sum(report.rewards.values())


def test_a_rounds_emission_halves_on_schedule(season):
    """100 tokens in rounds 1 and 2, 50 in 3 and 4, divided 18 / 41 / 41."""
    ledger = season.fixture.ledger
    assert [row.emission for row in ledger.rounds()] == [100 * 10**9] * 2 + [50 * 10**9] * 2
    assert [row.era for row in ledger.rounds()] == [0, 0, 1, 1]
    owner = next(one for one in ledger.postings(1) if one.account == f"owner:{ledger.genesis.owner}")
    assert owner.amount == 18 * 10**9
    assert ledger.genesis.shares == Shares(owner=18, validator=41, participants=41)


@pytest.mark.parametrize("number", ROUNDS)
def test_the_ledger_names_every_receipt_by_its_hash(season, number):
    """Entries are those of all who were asked, with the receipt's hash, status and score."""
    report = season.report(number)
    entries = {one.hotkey: one for one in season.fixture.ledger.receipts(number)}
    assert entries.keys() == set(season.kinds)
    for hotkey, receipt in report.receipts.items():
        entry = entries[hotkey]
        assert entry.receipt_hash == content_hash(receipt)
        assert (entry.status, entry.score) == (receipt["status"], receipt["score"])
    assert report.record["receipts"] == {hotkey: one.receipt_hash for hotkey, one in entries.items()}


def test_the_ledger_verifies(season):
    """A whole played run passes the ledger's own verification."""
    checked = verify_ledger(season.fixture.store.root / "ledger.sqlite", validator=season.fixture.keypair.public)
    assert checked.ok
    assert checked.head == season.fixture.ledger.head


@pytest.mark.parametrize("number", ROUNDS)
def test_scores_are_those_of_the_receipts_own_numbers(season, number):
    """From the counted credits on this and earlier receipts, harm counting four times, the window is recomputed."""
    rules = season.fixture.spec.scoring
    report = season.report(number)
    for hotkey, receipt in report.receipts.items():
        if receipt["payable"] is None:
            continue
        past = [season.report(earlier).receipts[hotkey]["counted"] for earlier in range(1, number + 1)]
        harmful = [one for one in past if one and one["credit"] < rules.negative_z * one["standard_error"]]
        credit = sum(one["credit"] for one in past if one) + 3 * sum(one["credit"] for one in harmful)
        error = sum(one["standard_error"] ** 2 for one in past if one) ** 0.5
        assert receipt["payable"]["credit"] == pytest.approx(credit, abs=1e-12)
        if not receipt["zero_because"]:
            band = credit - rules.kappa * error
            assert receipt["score"] + receipt["payable"]["cut"] == pytest.approx(band / SCORE_UNIT, abs=1)


@pytest.mark.parametrize("number", ROUNDS)
def test_gated_and_copied_contributions_count_as_nothing(season, number):
    """Their receipts carry all numbers, are rejected, and count zeros in later rounds."""
    report = season.report(number)
    (stale,), (copycat,) = season.of_kind("stale"), season.of_kind("copycat")
    for hotkey, reason in ((stale, "free_riding"), (copycat, "copy")):
        receipt = report.receipts[hotkey]
        assert (receipt["status"], receipt["reason"], receipt["reward"]) == ("rejected", reason, 0)
        assert set(receipt["counted"].values()) == {0.0}
        assert receipt["numbers"]["influence"] == 0.0
    victim = season.of_kind("honest")[0]
    assert report.receipts[copycat]["numbers"]["copy_of"] == victim
    assert report.receipts[copycat]["detail"] == f"of {victim[:12]}"
    assert report.receipts[victim]["status"] == "accepted"


def test_a_significantly_negative_update_earns_nothing_but_counts(season):
    """A sign flip is accepted, measured, paid nothing, and its negative credit stays in its window."""
    (flip,) = season.of_kind("sign_flip")
    for number in ROUNDS:
        receipt = season.report(number).receipts[flip]
        assert (receipt["status"], receipt["zero_because"], receipt["reward"]) == ("accepted", "negative", 0)
        assert receipt["counted"]["credit"] == receipt["numbers"]["credit"] < 0
        assert receipt["numbers"]["dropped"].startswith("harmful")


def test_a_share_above_the_cap_isnt_minted(game):
    """With a cap at the median, what lies above it on anybody's score stays unminted, and the supply says so."""
    played = game("honest=4", scoring={"share_cap": 1.0})
    report = played.play()
    cut = sum(receipt["payable"]["cut"] for receipt in report.receipts.values())
    scores = sum(receipt["score"] for receipt in report.receipts.values())
    assert report.row.unpaid_score == cut > 0
    pool = report.row.emission * 41 // 100
    assert report.row.unminted == pytest.approx(pool * cut / (scores + cut), abs=2)
    assert played.fixture.ledger.minted == report.row.minted == report.row.emission - report.row.unminted


def test_a_supply_schedule_pays_by_what_was_minted(game):
    """By supply, the emission halves once half of the cap is minted."""
    played = game(
        "honest=2",
        token={"schedule": "supply", "cap": "250", "interval": None},
        split={"owner": 0, "validator": 0},
        validation={"tolerance": 10.0},  # no round is refused
    )
    played.play(3)
    assert [row.emission for row in played.fixture.ledger.rounds()][:2] == [100 * 10**9] * 2
    assert played.fixture.ledger.minted <= Amount.parse("250", played.fixture.ledger.genesis.token).base_units
    third = list(played.fixture.ledger.rounds())[2]
    assert third.emission < 100 * 10**9


def test_a_strike_suspends_and_costs_what_was_earned(game):
    """A tenfold sign flip is struck once, then out with its reason until its time is over, and never paid."""
    played = game("honest=4,sign_flip:100=1", scoring={"suspension": 2})
    (flip,) = played.of_kind("sign_flip")
    seen = []
    for _ in range(4):
        receipt = played.play().receipts[flip]
        seen.append((receipt["status"], receipt["reason"], receipt["zero_because"], receipt["strike"]))
        assert receipt["reward"] == 0
    struck, out = ("accepted", "", "strike", True), ("rejected", "suspended", "", False)
    assert seen == [struck, out, out, struck]
    assert played.report(2).receipts[flip]["detail"] == "until the end of round 3"
    honest = played.of_kind("honest")
    assert not any(played.report(number).receipts[hotkey]["strike"] for number in (1, 2, 3, 4) for hotkey in honest)


def test_a_suspension_outlives_a_restart(game):
    """It is read off the receipts, so a validator that starts again knows it."""
    played = game("honest=4,sign_flip:100=1")
    played.play()
    assert restore(played.fixture).history == played.state.history
    (flip,) = played.of_kind("sign_flip")
    played.session.state = restore(played.fixture)
    assert played.play().receipts[flip]["reason"] == "suspended"


TURNCOAT = "honest=4,on_off_poison:100=1"
"""Honest for four rounds and paid as that, then a reversed update of a hundred times the size."""
STRICT = {"strike_z": 0.0}
"""Any harm of such a size is a strike, also where the model has converged so far that it lies within the noise."""


def test_a_strike_burns_the_pay_that_was_still_pending(game):
    """With a vesting of 2, rounds 1 and 2 were released before the strike in 5; rounds 3 and 4 are burned."""
    played = game(TURNCOAT, scoring=STRICT | {"vesting": 2})
    (turncoat,) = played.of_kind("on_off_poison")
    rewards = [played.play().receipts[turncoat]["reward"] for _ in range(4)]
    assert all(rewards)
    receipt = played.play().receipts[turncoat]
    assert (receipt["strike"], receipt["reward"]) == (True, 0)
    ledger = played.fixture.ledger
    assert [entry.hotkey for entry in ledger.receipts(5) if entry.struck] == [turncoat]
    assert ledger.balances()["burn"] == rewards[2] + rewards[3]
    assert ledger.earnings()[turncoat] == Earnings(vested=sum(rewards[:2]), pending=0, voided=sum(rewards[2:]))
    played.play(2)
    for hotkey in played.of_kind("honest"):
        earned = [played.report(number).receipts[hotkey]["reward"] for number in range(1, 8)]
        assert ledger.earnings()[hotkey] == Earnings(vested=sum(earned[:5]), pending=sum(earned[5:]), voided=0)
    assert ledger.balances()["issuance"] == -sum(row.minted for row in ledger.rounds())
    assert verify_ledger(ledger.path, validator=played.fixture.keypair.public).errors == []


def test_under_the_default_such_a_cheat_keeps_nothing(game):
    """Pay is pending for 20 rounds, so everything that it earned in four is voided by the fifth."""
    played = game(TURNCOAT, scoring=STRICT)
    played.play(5)
    (turncoat,) = played.of_kind("on_off_poison")
    found = played.fixture.ledger.earnings()[turncoat]
    assert (found.vested, found.pending) == (0, 0)
    assert found.voided > 0


def test_an_update_reversed_is_a_strike_at_any_size(game):
    """Four honest rounds, then the own update taken back at its own norm: within noise, and found by its direction."""
    played = game("honest=4,on_off_poison=1")
    played.play(4)
    (turncoat,) = played.of_kind("on_off_poison")
    receipt = played.play().receipts[turncoat]
    assert (receipt["strike"], receipt["zero_because"], receipt["reward"]) == (True, "turned", 0)
    course = receipt["numbers"]["course"]
    assert course["cosine"] < -0.25
    assert receipt["numbers"]["own_norm_ratio"] < 3.5
    honest = [played.report(5).receipts[hotkey] for hotkey in played.of_kind("honest")]
    assert all(one["numbers"]["course"]["cosine"] > 0 and not one["strike"] for one in honest)
    assert restore(played.fixture).history == played.state.history
    assert played.play().receipts[turncoat]["reason"] == "suspended"


def test_a_restart_in_the_middle_of_vesting_gives_the_same_ledger(open_game, tmp_path):
    """A run that is opened anew before rounds 3, 4 and 6 ends as an unbroken one, byte for byte."""

    def dump(name, *parts):
        for n_rounds in parts:
            with open_game(tmp_path / name, TURNCOAT, scoring=STRICT | {"vesting": 2}) as played:
                played.session.state = restore(played.fixture)
                played.play(n_rounds)
                lines = list(played.fixture.ledger.dump())
        return lines

    assert dump("broken", 2, 1, 2, 2) == dump("whole", 7)


@pytest.mark.parametrize("number", ROUNDS)
def test_influence_credits_add_up_to_the_rounds_improvement(season, number):
    """Over everyone who was in the model, they come to what its loss on the round's batches fell by."""
    report, state = season.report(number), season.states[number - 1]
    batches = drawn_batches(season.fixture.validation, seed=report.record["seed"], rules=season.fixture.spec.validation)
    before, after = (
        float(season.fixture.objective.losses(point, batches).mean())
        for point in (state.base, season.states[number].base)
    )
    found = [one["numbers"] for one in report.receipts.values() if one["numbers"]]
    assert before - after > 0.01
    assert sum(one["influence_credit"] for one in found) == pytest.approx(before - after, rel=0.02)
    assert all(one["influence_credit"] == 0 for one in found if one["influence"] == 0)
