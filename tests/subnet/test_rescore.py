"""Re-scoring: a run's own scorer gives back what was paid, and another pays by its own credit and the same rules."""

import shutil
from dataclasses import replace

import pytest
import torch

import strategies
from clients.weights import decode
from subnet.errors import RunError, StoreError
from subnet.rescore import rescore
from subnet.scoreboard import summary
from subnet.scoring import registry
from subnet.scoring.history import History
from subnet.scoring.plain import Plain
from subnet.store import Store
from subnet.strategy import drawn_batches
from tokenomics.canonical import content_hash

OWN = "path_credit"


def scorers(fixture, *names):
    return [registry.named(name, fixture.spec.scoring) for name in names]


@pytest.fixture(scope="module")
def outcomes(season):
    """The season under its own scorer and three others."""
    return rescore(season.fixture, scorers(season.fixture, OWN, "individual", "shapley", "cosine"))


@pytest.fixture
def copied(season, tmp_path):
    """The season's fixture on a copy of its folder, that a test may damage."""
    shutil.copytree(season.fixture.store.root, tmp_path / "run")
    return replace(season.fixture, store=Store(tmp_path / "run"))


def test_the_runs_own_scorer_gives_every_receipt_again(season, outcomes):
    """Scores and rewards are the recorded integers, and the whole receipt has the hash that is in the ledger."""
    assert [outcome.played.row.round for outcome in outcomes] == [1, 2, 3, 4]
    assert all(outcome.exact for outcome in outcomes)
    for outcome in outcomes:
        found = outcome.receipts[OWN]
        for entry in season.fixture.ledger.receipts(outcome.played.row.round):
            assert found[entry.hotkey]["score"] == entry.score
            assert found[entry.hotkey]["reward"] == outcome.played.receipts[entry.hotkey]["reward"]
            assert content_hash(found[entry.hotkey]) == entry.receipt_hash


def test_a_validator_that_records_other_totals_than_its_receipts_is_found(game, monkeypatch):
    """Running totals that would lift somebody's pay after a restart don't survive a re-scoring."""
    honest = History.earlier

    def lie(self):
        told = honest(self)
        return told | {"totals": {hotkey: [2 * total[0], *total[1:]] for hotkey, total in told["totals"].items()}}

    played = game("honest=3", scoring={"window": 1, "history": 1, "suspension": 1})
    played.play(2)
    rescore(played.fixture, [played.fixture.scorer])
    with monkeypatch.context() as patched:
        patched.setattr(History, "earlier", lie)
        played.play()
    with pytest.raises(RunError, match="record of round 3 has other running totals"):
        rescore(played.fixture, [played.fixture.scorer])


def test_strikes_and_refused_rounds_come_again(game):
    """A run with a suspended hotkey and rounds that were refused is given back as it was."""
    played = game("honest=4,sign_flip:100=1", scoring={"suspension": 2}, validation={"tolerance": 0.0})
    played.play()
    played.play(without=played.of_kind("honest"))
    played.play(2)
    assert not played.report(2).record["proposed"]["accepted"]
    for outcome in rescore(played.fixture, [played.fixture.scorer]):
        assert outcome.exact
        assert outcome.receipts[OWN] == outcome.played.receipts


class Strict(Plain):
    """Finds all harmful that is far longer than the others."""

    name = "strict"
    summary = "for this test"

    def worth(self, field, clip):
        """Say so."""
        del field
        return torch.where(clip < 0.1, -1.0, 1.0).double(), torch.full_like(clip, 0.01)


def test_a_scorers_own_strike_suspends_in_its_own_books(game):
    """What the run accepted in every round is struck once under the other scorer, then out, then struck again."""
    played = game("honest=4,scaling:100=1", scoring={"suspension": 2})
    played.play(4)
    (long,) = played.of_kind("scaling")
    assert not any(played.report(number).receipts[long]["strike"] for number in (1, 2, 3, 4))
    outcomes = rescore(played.fixture, [played.fixture.scorer, Strict(played.fixture.spec.scoring)])
    seen = [(one["strike"], one["reason"], one["detail"]) for one in (o.receipts["strict"][long] for o in outcomes)]
    out = (False, "suspended", "until the end of round 3")
    assert seen == [(True, "", ""), out, out, (True, "", "")]
    assert all(outcome.receipts["strict"][long]["reward"] == 0 for outcome in outcomes)
    assert all(outcome.receipts[OWN] == outcome.played.receipts for outcome in outcomes)


def test_a_supply_schedule_mints_by_what_the_scorer_paid(game):
    """Each scorer has a supply of its own; the run's own follows the ledger's."""
    played = game("honest=3", token={"schedule": "supply", "cap": "250", "interval": None})
    played.play(3)
    outcomes = rescore(played.fixture, scorers(played.fixture, OWN, "cosine"))
    for outcome in outcomes:
        assert outcome.receipts[OWN] == outcome.played.receipts
        assert sum(one["reward"] for one in outcome.receipts["cosine"].values()) <= outcome.played.row.emission


def test_another_scorer_pays_by_its_own_credit(season, outcomes):
    """The individual credit on the receipts is that scorer's, from the models and batches of the run."""
    fixture = season.fixture
    for outcome, state in zip(outcomes, season.states, strict=False):
        for hotkey, receipt in outcome.receipts["individual"].items():
            if receipt["numbers"] is None:
                assert receipt["status"] == outcome.played.receipts[hotkey]["status"]
                continue
            assert not receipt["numbers"]["gated"]
            assert receipt["status"] == "accepted"
        hotkey = season.of_kind("stale")[0]
        stored = fixture.store.get("updates", outcome.played.receipts[hotkey]["update_hash"])
        update = decode(fixture.objective.layout, stored)
        batches = drawn_batches(fixture.validation, seed=outcome.played.record["seed"], rules=fixture.spec.validation)
        own = fixture.objective.losses(state.base, batches) - fixture.objective.losses(state.base + update, batches)
        found = outcome.receipts["individual"][hotkey]["numbers"]["credit"]
        assert found == pytest.approx(float(own.mean()), abs=1e-12)


def test_every_scorer_pays_out_the_same_pool_or_less(season, outcomes):
    """Whoever is paid, a round's participants never get more than their part of its emission, in whole units."""
    for outcome in outcomes:
        pool = outcome.played.row.emission * 41 // 100
        for receipts in outcome.receipts.values():
            rewards = [receipt["reward"] for receipt in receipts.values()]
            assert all(type(reward) is int and reward >= 0 for reward in rewards)
            assert sum(rewards) <= pool + 1


def test_costs_are_counted(outcomes, season):
    """The individual scorer computes n + 1 losses a batch, the default 4 gradients and no loss, the cosine nothing."""
    for outcome in outcomes:
        n = len(outcome.played.record["cosines"]["hotkeys"])
        assert outcome.n_losses["individual"] == 8 * (n + 1)
        assert (outcome.n_losses[OWN], outcome.n_gradients[OWN]) == (0, 32)
        assert (outcome.n_losses["cosine"], outcome.n_gradients["cosine"]) == (0, 0)
        assert outcome.n_losses["shapley"] == 8 * 2**n


def test_the_ledger_and_the_folder_stay_as_they_were(season, outcomes):
    """Looking again writes nothing."""
    head, files = season.fixture.ledger.head, sorted(season.fixture.store.root.rglob("*"))
    rescore(season.fixture, scorers(season.fixture, "gauntlet", "leave_one_out"))
    assert season.fixture.ledger.head == head
    assert sorted(season.fixture.store.root.rglob("*")) == files


def test_where_the_aggregate_comes_out_otherwise_the_stored_one_is_taken(season):
    """As on another kind of processor: it is said, and scores are near the recorded ones."""
    other = replace(season.fixture, strategy=strategies.create("mean"))
    outcomes = rescore(other, scorers(other, OWN))
    assert not all(outcome.exact for outcome in outcomes)
    for outcome in outcomes:
        for hotkey, receipt in outcome.played.receipts.items():
            assert outcome.receipts[OWN][hotkey]["score"] == pytest.approx(receipt["score"], rel=1e-3, abs=1000)


def test_the_summary_adds_up(season, outcomes):
    """Shares of everyone are 1 under each scorer, and what was paid is the ledger's balance."""
    found = summary(season.fixture, outcomes, season.kinds)
    assert found["scorers"] == [OWN, "individual", "shapley", "cosine"]
    assert found["own_scorer"] == OWN
    assert found["exact"] is True
    earnings = season.fixture.ledger.earnings()
    for one in found["participants"]:
        assert one["paid"] == (earnings[one["hotkey"]].paid if one["hotkey"] in earnings else 0)
        assert one["kind"] == season.kinds[one["hotkey"]]
        assert one["share"][OWN] == one["paid_share"]
    for name in found["scorers"]:
        assert sum(one["share"][name] for one in found["participants"]) == pytest.approx(1.0)
    assert [one["round"] for one in found["rounds"]] == [1, 2, 3, 4]
    assert all(one["rewards"][OWN] == one["paid"] for one in found["rounds"])


def test_a_run_without_a_round_has_a_summary(game):
    """There is nothing to score, and no division by zero."""
    played = game("honest=2")
    assert rescore(played.fixture, [played.fixture.scorer]) == []
    assert summary(played.fixture, [], played.kinds)["rounds"] == []


def test_a_missing_update_is_named(copied):
    """Which participant's, of which round, and what to restore."""
    for path in (copied.store.root / "updates").iterdir():
        path.unlink()
    with pytest.raises(RunError, match=r"the update that \w{12} sent in round 1 isn't there") as caught:
        rescore(copied, [copied.scorer])
    assert "restore the folder updates/" in caught.value.remedy


@pytest.mark.parametrize("kind", ["updates", "models", "receipts", "rounds"])
def test_an_altered_object_is_named(copied, kind):
    """Whatever was changed by a byte is found by its hash."""
    for path in (copied.store.root / kind).iterdir():
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    with pytest.raises(StoreError, match="was altered"):
        rescore(copied, [copied.scorer])


def test_progress_is_told(season):
    """From none to all, round by round."""
    told = []
    rescore(season.fixture, scorers(season.fixture, "cosine"), on_round=lambda *numbers: told.append(numbers))
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert torch.get_num_threads() == 1
