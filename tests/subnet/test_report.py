"""The object of `simulate --json`: the fields that others build on, whole base units, and the ledger's own sums."""

import json

import pytest

from subnet.report import next_halving, report
from tokenomics import HeightSchedule, SupplySchedule


@pytest.fixture(scope="module")
def whole(season):
    return report(season.fixture.store.root, kinds=season.kinds, n_rounds=99, seconds=1.23456)


FIELDS = {"schema_version", "subnet", "rounds", "participants", "supply", "ledger", "final", "seconds"}
ROUND_FIELDS = {
    "round", "era", "emission", "minted", "base_hash", "model_hash", "val_loss_before", "val_loss_after",
    "val_accuracy", "accepted", "rejected", "rewards",
}  # fmt: skip


def test_the_fields_are_those_that_were_promised(whole):
    """Every field of DESIGN section 10 is there, at every level, and the whole is plain JSON."""
    assert set(whole) >= FIELDS
    assert whole["schema_version"] == 1
    assert all(set(one) >= ROUND_FIELDS for one in whole["rounds"])
    assert all(set(one) == {"hotkey", "reason"} for played in whole["rounds"] for one in played["rejected"])
    assert all(set(one) >= {"hotkey", "kind", "reward", "share"} for one in whole["participants"])
    assert set(whole["supply"]) >= {"cap", "minted", "unit"}
    assert set(whole["ledger"]) >= {"ok", "head"}
    assert set(whole["final"]) >= {"val_loss", "val_accuracy"}
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole


def test_amounts_are_whole_base_units(whole):
    """No amount is a float or a bool."""
    amounts = [whole["supply"]["cap"], whole["supply"]["minted"]]
    amounts += [played[name] for played in whole["rounds"] for name in ("round", "era", "emission", "minted")]
    amounts += [one["reward"] for one in whole["participants"]]
    amounts += [reward for played in whole["rounds"] for reward in played["rewards"].values()]
    assert {type(amount) for amount in amounts} == {int}


def test_sums_agree_with_the_ledger(whole, season):
    """Rewards by participant are its balances, and what was minted is the ledger's supply."""
    balances = season.fixture.ledger.balances()
    for one in whole["participants"]:
        assert one["vested"] == balances.get(f"participant:{one['hotkey']}", 0)
        assert one["pending"] == balances.get(f"pending:{one['hotkey']}", 0)
        assert one["reward"] == one["vested"] + one["pending"] + one["voided"]
        assert one["reward"] == sum(played["rewards"].get(one["hotkey"], 0) for played in whole["rounds"])
    assert whole["supply"]["minted"] == season.fixture.ledger.minted == -balances["issuance"]
    assert whole["supply"]["minted"] == sum(played["minted"] for played in whole["rounds"])
    assert sum(one["share"] for one in whole["participants"]) == pytest.approx(1.0)
    assert whole["ledger"] == {"ok": True, "head": season.fixture.ledger.head}
    assert whole["supply"]["unit"] == "TOY"
    assert (whole["supply"]["burned"], whole["vesting"]) == (0, 20)


def test_earnings_are_as_of_the_last_round_reported(game):
    """Round 4 releases round 2's pay, and round 5's strike burns what a cheat had pending; before that, nothing is."""
    played = game("honest=4,on_off_poison:100=1", scoring={"vesting": 2, "strike_z": 0.0})
    played.play(5)
    (turncoat,) = played.of_kind("on_off_poison")

    def as_of(n_rounds):
        told = report(played.fixture.store.root, kinds=played.kinds, n_rounds=n_rounds, seconds=0)
        [found] = [one for one in told["participants"] if one["hotkey"] == turncoat]
        assert told["supply"]["burned"] == found["voided"]
        return found

    paid = [played.report(number).receipts[turncoat]["reward"] for number in (1, 2, 3, 4)]
    for n_rounds, vested, pending, voided in ((4, 2, 2, 0), (5, 2, 0, 2)):
        found = as_of(n_rounds)
        assert found["reward"] == sum(paid)
        assert found["vested"] == sum(paid[:vested])
        assert found["pending"] == (sum(paid[2:]) if pending else 0)
        assert found["voided"] == (sum(paid[2:]) if voided else 0)


def test_participants_are_the_cast_by_reward(whole, season):
    """Every client of the cast is listed once with its kind, the best paid first."""
    assert {one["hotkey"]: one["kind"] for one in whole["participants"]} == season.kinds
    rewards = [one["reward"] for one in whole["participants"]]
    assert rewards == sorted(rewards, reverse=True)
    assert {one["kind"] for one in whole["participants"] if one["reward"]} == {"honest"}


def test_rounds_follow_each_other(whole, season):
    """Each round starts from the model and the loss with which the one before ended."""
    assert [played["round"] for played in whole["rounds"]] == [1, 2, 3, 4]
    for before, after in zip(whole["rounds"], whole["rounds"][1:], strict=False):
        assert after["base_hash"] == before["model_hash"]
        assert after["val_loss_before"] == before["val_loss_after"]
    last = season.states[-1]
    assert whole["final"] == {"val_loss": last.val_loss, "val_accuracy": last.val_accuracy}


def test_everyone_is_accepted_or_rejected_with_a_reason(whole, season):
    """The two lists of a round are disjoint and together the cast."""
    for played in whole["rounds"]:
        rejected = {one["hotkey"]: one["reason"] for one in played["rejected"]}
        assert not rejected.keys() & set(played["accepted"])
        assert rejected.keys() | set(played["accepted"]) == set(season.kinds)
        assert {season.kinds[hotkey]: reason for hotkey, reason in rejected.items()} == {
            "stale": "free_riding",
            "copycat": "copy",
            "nan": "non_finite",
            "unsigned": "unsigned",
            "crash": "failed",
            "forged": "bad_signature",
        }
        assert set(played["rewards"]) <= set(played["accepted"])


def test_fewer_rounds_can_be_reported(season):
    """The first rounds alone have sums and an end of their own."""
    first = report(season.fixture.store.root, kinds=season.kinds, n_rounds=1, seconds=0)
    assert len(first["rounds"]) == 1
    assert first["supply"]["minted"] == season.report(1).row.minted
    assert first["final"]["val_loss"] == season.states[1].val_loss
    assert {one["hotkey"]: one["reward"] for one in first["participants"] if one["reward"]} == season.report(1).rewards


def test_a_run_without_a_round_has_a_report(game):
    """Before the first round there is nothing earned and no loss to tell, and no division by zero."""
    played = game("honest=2")
    empty = report(played.fixture.store.root, kinds=played.kinds, n_rounds=9, seconds=0)
    assert (empty["rounds"], empty["supply"]["minted"]) == ([], 0)
    assert [one["share"] for one in empty["participants"]] == [0.0, 0.0]
    assert empty["final"] == {"val_loss": None, "val_accuracy": None}


def test_the_next_halving_is_told_in_the_schedules_own_terms():
    """By height after which round (seen from the last one settled), by supply at which minted total."""
    by_height = HeightSchedule(subsidy=100, interval=8)
    assert [next_halving(by_height, n, 0) for n in (0, 7, 8, 9)] == [
        {"after_round": 8},
        {"after_round": 8},
        {"after_round": 8},
        {"after_round": 16},
    ]
    assert next_halving(SupplySchedule(cap=1000, emission=10), 3, 499) == {"at_minted": 500}
