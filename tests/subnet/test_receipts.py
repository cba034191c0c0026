"""Receipts in words: everyone can read what came, what it was worth, and why it earned what it did."""

import json
from copy import deepcopy

import pytest

from subnet.receipts import REASONS, ZERO_BECAUSE, explain
from tokenomics import Token
from tokenomics.canonical import canonical_json
from tokenomics.ledger import Payout

TOKEN = Token("TOY")


def words(receipt):
    return dict(explain(receipt, TOKEN))


def receipt_of(season, kind, number=2):
    return deepcopy(season.report(number).receipts[season.of_kind(kind)[-1]])


def test_every_receipt_of_a_played_run_is_explained(season):
    """No receipt of any kind of client, refused rounds aside, fails to be put in words that start and end alike."""
    for number in range(1, 5):
        for receipt in season.report(number).receipts.values():
            lines = explain(json.loads(canonical_json(receipt)), TOKEN)
            assert lines[0][0] == "contribution"
            assert [heading for heading, _ in lines[-2:]] == ["reward", "what to change"]
            assert all(heading and sentence for heading, sentence in lines)
            assert len({heading for heading, _ in lines}) == len(lines)


def test_a_reward_is_told_with_its_share(season):
    """An earner reads the exact amount, its share of the pool, and its credit with its noise."""
    receipt = receipt_of(season, "honest")
    receipt |= {"reward": 1_500_000_000, "participants_pool": 6_000_000_000}
    found = words(receipt)
    assert found["reward"] == "1.5 TOY: 25.00% of the round's 6 TOY for participants"
    assert found["contribution"].startswith("accepted")
    assert f"{receipt['n_examples']:,} examples" in found["contribution"]
    assert f"{receipt['numbers']['credit']:+.5f} of validation loss" in found["credit"]
    assert f"over {receipt['payable']['n_rounds']} rounds" in found["window"]
    assert found["copy rule"] == "no earlier contribution like it"
    assert "passed" in found["free-ride gate"]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("paid", "paid at once"),
        ("pending", "pending until round 22"),
        ("released", "released in round 22"),
        ("voided", "voided in round 22"),
    ],
)
def test_what_came_of_a_reward_is_told_after_it(season, state, said):
    """The ledger's word on a reward stands below it; without a reward there is nothing to tell."""
    payout = Payout(state=state, round=22)
    paid = receipt_of(season, "honest") | {"reward": 5, "participants_pool": 6}
    lines = explain(paid, TOKEN, payout)
    assert [heading for heading, _ in lines[-3:]] == ["reward", "payout", "what to change"]
    assert lines[-2][1].startswith(said)
    assert "payout" not in dict(explain(receipt_of(season, "nan"), TOKEN, payout))


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [("nan", "rejected", "non_finite"), ("unsigned", "rejected", "unsigned"), ("crash", "missing", "failed")],
)
def test_a_rejection_is_told_with_its_reason(season, kind, status, reason):
    """Who was rejected or missing reads the reason in words, the detail, and that nothing was earned."""
    receipt = receipt_of(season, kind)
    found = words(receipt)
    assert list(found) == ["contribution", "reward", "what to change"]
    assert found["contribution"] == f"{status}: {REASONS[reason]} ({receipt['detail']})"
    assert found["reward"].startswith("0 TOY")


@pytest.mark.parametrize("reason", REASONS)
def test_every_reason_has_words(season, reason):
    """Each reason that a receipt can carry is put in its own words."""
    receipt = receipt_of(season, "unsigned") | {"reason": reason, "detail": ""}
    assert words(receipt)["contribution"] == f"rejected: {REASONS[reason]}"
    assert len(set(REASONS.values())) == len(REASONS)


@pytest.mark.parametrize("why", ZERO_BECAUSE)
def test_every_zero_has_words(season, why):
    """Each cause of earning nothing is named beside the amount."""
    receipt = receipt_of(season, "honest") | {"reward": 0, "zero_because": why}
    assert words(receipt)["reward"] == f"0 TOY: {ZERO_BECAUSE[why]}"
    assert len(set(ZERO_BECAUSE.values())) == len(ZERO_BECAUSE)


def test_a_copy_reads_whom_it_copied_and_a_free_rider_what_stopped_it(season):
    """The copy rule names the original, the gate its number."""
    copied = words(receipt_of(season, "copycat"))
    assert season.of_kind("honest")[0][:12] in copied["copy rule"]
    assert "aggregate" not in copied
    stale = receipt_of(season, "stale")
    assert "stopped" in words(stale)["free-ride gate"]
    assert f"{stale['numbers']['gate']:.1%}" in words(stale)["free-ride gate"]


def test_who_was_left_out_of_the_model_reads_why(season):
    """The strategy's own reason is on the line about the aggregate; who was in reads its weight."""
    receipt = receipt_of(season, "sign_flip")
    found = words(receipt)
    assert found["aggregate"] == f"left out of the new model: {receipt['numbers']['dropped']}"
    assert "it did not improve" in found["credit"]
    assert found["reward"] == f"0 TOY: {ZERO_BECAUSE['negative']}"
    kept = next(one for one in season.report(2).receipts.values() if one["reward"] and not one["numbers"]["dropped"])
    assert words(kept)["aggregate"] == f"weighed {kept['numbers']['influence']:.4f} in the new model"


def test_a_cut_is_told_only_where_there_is_one(season):
    """What lay above the cap has a line of its own."""
    receipt = receipt_of(season, "honest")
    receipt["payable"]["cut"] = 0
    assert "cap" not in words(receipt)
    receipt["payable"]["cut"] = 250_000_000
    assert words(receipt)["cap"].startswith("0.25000 lay above the cap")


def test_a_credit_without_spread_is_told_without_dividing(season):
    """Zeros have neither credit nor error, and still have words."""
    receipt = receipt_of(season, "stale", number=1)
    assert receipt["numbers"]["standard_error"] == 0
    assert "no spread at all" in words(receipt)["credit"]


def test_receipts_of_a_refused_round_are_explained(game):
    """A round that paid nobody says so on every receipt."""
    played = game("honest=1,zero=1")
    report = played.play(without=played.of_kind("honest"))
    (receipt,) = report.receipts.values()
    assert words(receipt)["reward"] == f"0 TOY: {ZERO_BECAUSE['round_refused']}"


def test_the_checks_are_told_with_the_fields_distribution(season):
    """Whoever reads its number sees the field's beside it; each check has a line of its own."""
    report = season.report(2)
    scored = [one["numbers"] for one in report.receipts.values() if one["numbers"]]
    receipt = receipt_of(season, "honest")
    ratios = sorted(numbers["outliers"]["norm_ratio"] for numbers in scored)
    field = receipt["numbers"]["field"]
    assert field["n"] == len(scored)
    assert field["norm_ratio"][0] == pytest.approx(ratios[0], rel=1e-3)
    assert field["norm_ratio"][4] == pytest.approx(ratios[-1], rel=1e-3)
    assert all(numbers["field"] == field for numbers in scored)
    own = receipt["numbers"]["outliers"]["norm_ratio"]
    field["norm_ratio"] = [0.8, 0.9, 1.0, 1.1, 1.6]
    lines = words(receipt)["outlier checks"].split("\n")
    assert len(lines) == 1 + len(receipt["numbers"]["outliers"])
    assert f"norm ratio {own:.2f} (the field: 0.80 to 1.60, half of it 0.90 to 1.10, median 1.00)" in lines


def test_an_old_receipt_without_the_distribution_is_explained(season):
    """Receipts of earlier versions have the numbers alone, and read as they did."""
    receipt = receipt_of(season, "honest")
    del receipt["numbers"]["field"]
    told = words(receipt)["outlier checks"]
    assert f"norm ratio {receipt['numbers']['outliers']['norm_ratio']:.2f}" in told
    assert "the field" not in told


def test_the_influence_credit_is_told_where_there_is_influence(season):
    """Who was weighed reads what came through that weight; who was left out, and an old receipt, have no such line."""
    receipt = next(one for one in season.report(2).receipts.values() if one["reward"] and not one["numbers"]["dropped"])
    through = receipt["numbers"]["influence_credit"]
    assert words(receipt)["influence credit"].startswith(f"{through:+.5f} of the model's improvement")
    assert "influence credit" not in words(receipt_of(season, "sign_flip"))
    old = deepcopy(receipt)
    del old["numbers"]["influence_credit"], old["numbers"]["unit"]
    assert "influence credit" not in words(old)
    assert "of validation loss" in words(old)["credit"]


def test_a_credit_is_told_in_its_scorers_own_unit(game):
    """A cosine isn't called a loss."""
    report = game("honest=3", scoring={"scorer": "cosine"}).play()
    receipt = next(iter(report.receipts.values()))
    assert receipt["numbers"]["influence_credit"] is None
    assert "of cosine to the aggregate" in words(receipt)["credit"]
    assert "of validation loss" not in words(receipt)["credit"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "it teaches that 3 is 8 (credit there -0.25000), 4.2 times as much as the field's median; the limit is 3.0",
        ),
        ({"credit": None}, "it teaches that 3 is 8, 4.2 times"),
        ({"harmful": True}, "the limit is 3.0: stopped"),
        ({"harmed": None, "taken_for": None, "credit": None}, "it takes no part of the data for another"),
    ],
)
def test_what_was_found_in_the_slices_is_told(season, changes, said):
    """Where the spec asks for slices a receipt names the worst pair, its number and the limit; elsewhere none."""
    receipt = receipt_of(season, "honest")
    assert "slices" not in words(receipt)
    found = {"harmed": 3, "taken_for": 8, "credit": -0.25, "ratio": 4.2, "limit": 3.0, "harmful": False, "pairs": []}
    receipt["numbers"]["slice"] = found | changes
    assert said in words(receipt)["slices"]
