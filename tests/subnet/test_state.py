"""The state between two rounds: all of it can be read back from ledger and store."""

import shutil
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch

from subnet.errors import StoreError
from subnet.scoring.history import History, check_earlier, past_round
from subnet.state import State, restore
from subnet.store import Store
from tokenomics.ledger import Ledger

COMPARED = [field.name for field in fields(State) if field.name != "points"]


@pytest.fixture
def restored(season):
    """What is read back of the season's folder, now that four rounds are settled."""
    return restore(season.fixture)


@pytest.mark.parametrize("name", COMPARED)
def test_what_is_read_back_is_what_was_there(season, restored, name):
    """Each field of the restored state equals the live one's."""
    assert getattr(restored, name) == getattr(season.state, name)


def test_points_are_read_back_bit_for_bit(season, restored):
    """The newest models are the same float32 bits, as many as count."""
    assert len(restored.points) == len(season.state.points) == 5
    for one, two in zip(restored.points, season.state.points, strict=True):
        assert torch.equal(one.view(torch.int32), two.view(torch.int32))


def test_every_round_can_be_gone_back_to(tmp_path, open_game):
    """After each round, refused ones included, the restored state is the live one, whatever round it is."""
    with open_game(tmp_path / "run", "honest=3,stale=1", scoring={"history": 1}) as game:
        for number in range(4):
            live, found = game.state, restore(game.fixture)
            assert found.round == live.round == number
            assert found.models == live.models
            assert found.history == live.history
            assert (found.val_loss, found.val_accuracy) == (live.val_loss, live.val_accuracy)
            assert len(found.points) == len(live.points) <= 2
            assert all(torch.equal(one, two) for one, two in zip(found.points, live.points, strict=True))
            game.play(without=game.of_kind("honest") if number == 1 else ())
        assert game.report(2).row.minted == 0


def test_history_is_the_fold_of_the_receipts(season):
    """What scoring remembers is read off the stored records and receipts, round by round."""
    stored = tuple(past_round(season.report(number).record, season.report(number).receipts) for number in range(1, 5))
    assert season.state.history.recent == stored


def test_the_first_state_is_the_genesis_model(season):
    """Before the first round there is one model, no delta and no past."""
    first = season.states[0]
    assert (first.round, first.history.recent, first.acknowledgements) == (0, (), {})
    assert first.models == (season.fixture.ledger.genesis.model_hash,)
    assert first.deltas.shape == (0, len(first.base))
    assert first.val_loss == season.fixture.objective.evaluate(first.base, season.fixture.validation)[0]


def test_deltas_are_the_steps_of_the_model_newest_first(season):
    """Each delta is a point minus the one before it."""
    points = [state.base for state in season.states]
    steps = [new - old for old, new in pairwise(points)]
    assert torch.equal(season.state.deltas, torch.stack(steps[::-1]))


def test_a_missing_or_altered_object_is_found_at_the_start(season, tmp_path):
    """A validator doesn't go on from a folder in which a receipt or model was changed."""
    for kind in ("receipts", "models", "rounds"):
        folder = tmp_path / kind
        shutil.copytree(season.fixture.store.root, folder)
        with Ledger.open(folder / "ledger.sqlite", read_only=True) as ledger:
            row = list(ledger.rounds())[-1]
            name = {
                "receipts": ledger.receipts(4)[0].receipt_hash,
                "models": row.model_hash,
                "rounds": row.record_hash,
            }[kind]
            copied = replace(season.fixture, store=Store(folder), ledger=ledger)
            assert restore(copied).round == 4
            next((folder / kind).glob(f"{name}*")).write_bytes(b"{}")
            with pytest.raises(StoreError, match=name):
                restore(copied)


FEW = {"window": 2, "history": 1, "suspension": 2}


@pytest.fixture(scope="module")
def long_run(tmp_path_factory, open_game):
    """Seven rounds of a subnet whose scoring looks back two, and the state after the last; nobody may play on."""
    with open_game(tmp_path_factory.mktemp("long"), "honest=3,sign_flip=1,stale=1", scoring=FEW) as game:
        game.play(7)
        yield game


def reads(monkeypatch):
    """Count what is read of each kind from now on."""
    counts, read = {}, Store.get_json

    def counting(self, kind, digest):
        counts[kind] = counts.get(kind, 0) + 1
        return read(self, kind, digest)

    monkeypatch.setattr(Store, "get_json", counting)
    return counts


def test_a_restart_reads_no_more_receipts_than_scoring_looks_back(long_run, monkeypatch):
    """Two rounds' receipts of seven; and the state is the live one, totals included, to the bit."""
    counts = reads(monkeypatch)
    found = restore(long_run.fixture)
    assert counts == {"receipts": 2 * 5, "rounds": 4}  # the last one for totals, nonce and history
    assert found.history == long_run.state.history
    assert (found.history.n_earlier, len(found.history.recent)) == (5, 2)
    assert found.models == long_run.state.models
    assert found.acknowledgements == long_run.state.acknowledgements


def test_the_totals_are_those_of_all_receipts(long_run):
    """Added up from every record and receipt of the run, they are what the last record says."""
    history = History()
    for number in range(1, 8):
        report = long_run.report(number)
        history = history.then(past_round(report.record, report.receipts), long_run.fixture.spec.scoring)
        check_earlier(report.record, history)
    assert history == long_run.state.history
    assert history.totals


def test_a_run_of_an_earlier_version_is_added_up_from_its_first_round(long_run, monkeypatch):
    """Records without totals give the same state, from all receipts."""
    read = Store.get_json

    def without(self, kind, digest):
        return {key: value for key, value in read(self, kind, digest).items() if key != "earlier"}

    monkeypatch.setattr(Store, "get_json", without)
    counts = reads(monkeypatch)
    assert restore(long_run.fixture).history == long_run.state.history
    assert counts["receipts"] == 7 * 5
