"""An audit of an honest run finds nothing, and of a damaged bundle says what is damaged."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

import subnet.round
from subnet.audit import LAYERS, Claims, audit
from subnet.errors import RunError
from subnet.receipts import Receipt, acknowledge
from subnet.scoring.objective import Objective
from tokenomics.keys import Keypair
from tokenomics.ledger import Checkpoint, checkpoint_path
from tokenomics.note import TreeHead, VerifierKey


@pytest.fixture
def bundle(season, tmp_path):
    """A copy of the season's folder that a test may damage."""
    return shutil.copytree(season.fixture.store.root, tmp_path / "bundle")


def receipt_of(season, number, kind):
    """Return the first receipt of a kind of client in a round."""
    return season.report(number).receipts[season.of_kind(kind)[0]]


def flip(path):
    """Change a file by one bit."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_an_honest_run_agrees_in_every_layer_twice(season, app_dir):
    """With cheats of many kinds in it; and looking at it leaves the folder as it was."""
    folder = season.fixture.store.root
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    first, second = audit(folder, [app_dir]), audit(folder, [app_dir])
    assert first.ok
    assert first.exact
    assert first.to_json() == second.to_json()
    assert all(first.tallies[name].checked > 0 for name in LAYERS)
    assert first.n_models == first.n_models_exact == 4
    assert first.not_kept == {"failed": 4, "unsigned": 4}
    n_contributions = sum(
        one["contribution"] is not None for n in (1, 2, 3, 4) for one in season.report(n).receipts.values()
    )
    assert first.tallies["signatures"].checked == n_contributions
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()} == files


def test_a_part_is_audited_from_the_history_that_is_recorded(season, app_dir):
    """Rounds 2 to 3 have the checks of rounds 2 and 3, and progress counts them."""
    told = []
    part = audit(season.fixture.store.root, [app_dir], first=2, last=3, on_round=lambda *one: told.append(one))
    assert part.ok
    assert part.to_json()["history_from_receipts"]
    assert part.tallies["draw"].checked == 2
    assert part.n_models == 2
    assert told == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(("first", "last"), [(3, 2), (1, 5), (5, None)])
def test_rounds_that_there_are_not_are_refused(season, app_dir, first, last):
    with pytest.raises(RunError, match="the run has 4"):
        audit(season.fixture.store.root, [app_dir], first=first, last=last)


def test_a_run_without_a_round_agrees(game, app_dir):
    report = audit(game("honest=2").fixture.store.root, [app_dir])
    assert report.ok
    assert report.tallies["scores"].checked == 0


@pytest.mark.parametrize("kind", ["updates", "contributions"])
def test_a_byte_of_what_was_sent_is_found_and_its_sender_named(season, bundle, app_dir, kind):
    """The other rounds are recomputed all the same, but for the next, whose update is held against it."""
    receipt = season.report(3).receipts[season.of_kind("honest")[1]]
    digest = receipt["update_hash" if kind == "updates" else "contribution"]
    flip(next((bundle / kind).glob(f"{digest}.*")))
    report = audit(bundle, [app_dir])
    assert (report.first.layer, report.first.round, report.first.hotkey) == ("signatures", 3, receipt["hotkey"])
    assert digest in report.first.recorded
    held_against_it = [4] if kind == "updates" else []
    assert report.unchecked == [3, *held_against_it]
    assert report.tallies["draw"].checked == 4 - len(report.unchecked)


def test_a_byte_of_a_model_is_found(season, bundle, app_dir):
    digest = season.report(2).row.model_hash
    flip(bundle / "models" / f"{digest}.safetensors")
    report = audit(bundle, [app_dir])
    assert (report.first.layer, report.first.round, report.first.recorded) == ("aggregate", 2, digest)
    assert report.unchecked == [3, 4]


def test_a_byte_of_a_receipt_is_found(season, bundle, app_dir):
    """Its hash is in the ledger; history can't be followed beyond it."""
    entry = season.fixture.ledger.receipts(2)[0]
    flip(bundle / "receipts" / f"{entry.receipt_hash}.json")
    report = audit(bundle, [app_dir])
    assert (report.first.layer, report.first.round) == ("postings", 2)
    assert report.unchecked == [2, 3, 4]


def test_a_hotkey_without_an_enrolment_is_found(season, bundle, app_dir):
    hotkey = season.of_kind("honest")[1]
    (bundle / "enrolments" / f"{hotkey}.json").unlink()
    found = audit(bundle, [app_dir]).first
    assert (found.layer, found.round, found.hotkey, found.what) == ("signatures", 1, hotkey, "enrolment")


def test_another_checkpoint_is_found_even_when_the_validator_signed_it(season, bundle, app_dir):
    ledger = season.fixture.ledger
    tree = TreeHead(origin=ledger.key.name, size=5, root="ab" * 32)
    note = Checkpoint.sign(tree, season.fixture.keypair).note
    checkpoint_path(bundle / "ledger.sqlite").write_text(note)
    report = audit(bundle, [app_dir])
    assert (report.first.layer, report.first.round) == ("log", 4)
    assert report.unchecked == [1, 2, 3, 4]
    found = audit(season.fixture.store.root, [app_dir], claims=Claims(checkpoint=Checkpoint.parse(note))).first
    assert (found.layer, found.round, found.recomputed) == ("log", 4, "ab" * 32)


def test_a_checkpoint_of_rounds_that_are_gone_is_found(season, app_dir):
    """As where the end was cut off, checkpoint file and all."""
    tree = TreeHead(origin=season.fixture.ledger.key.name, size=8, root="ab" * 32)
    claims = Claims(checkpoint=Checkpoint.sign(tree, season.fixture.keypair))
    found = audit(season.fixture.store.root, [app_dir], claims=claims).first
    assert (found.layer, found.round, found.recorded) == ("log", 7, "the ledger ends at round 4")


def test_another_key_is_found(season, app_dir):
    """Be it the one that was published or the one that signed the kept checkpoint."""
    ledger, stranger = season.fixture.ledger, Keypair.generate()
    found = audit(
        season.fixture.store.root,
        [app_dir],
        claims=Claims(key=VerifierKey(name=ledger.key.name, public=stranger.public)),
    ).first
    assert found.layer == "log"
    kept = Checkpoint.sign(ledger.checkpoint.tree, stranger)
    found = audit(season.fixture.store.root, [app_dir], claims=Claims(checkpoint=kept)).first
    assert (found.layer, found.round, found.recorded) == ("log", 4, "signed by another key")


def word_on(season, receipt: Receipt, *, signer: Keypair | None = None, **more) -> str:
    """Return the validator's word on a receipt; keywords change log and root."""
    ledger = season.fixture.ledger
    log = {"log": ledger.key.name, "log_root": ledger.checkpoint_of(receipt["round"]).tree.root}
    return acknowledge(signer or season.fixture.keypair, receipt, **(log | more))


def test_a_receipt_is_held_to_what_was_acknowledged(season, app_dir):
    """The validator's own signed word on another outcome convicts it, where no contribution is left to do so."""
    crashed = receipt_of(season, 2, "crash")
    folder = season.fixture.store.root
    honest, two_faced = word_on(season, crashed), word_on(season, crashed | {"status": "accepted"})
    assert audit(folder, [app_dir], claims=Claims(acknowledgements=[honest])).ok
    found = audit(folder, [app_dir], claims=Claims(acknowledgements=[honest, two_faced])).first
    assert (found.layer, found.round, found.hotkey) == ("screening", 2, crashed["hotkey"])
    assert (found.what, found.recorded, found.recomputed) == ("acknowledged status", "missing", "accepted")


def test_an_acknowledged_contribution_without_a_receipt_is_named(season, app_dir):
    """Be it of somebody who isn't in the round, or of a round that isn't in the ledger any more."""
    folder, receipt = season.fixture.store.root, receipt_of(season, 2, "honest")
    stranger, gone = receipt | {"hotkey": "ab" * 32}, receipt | {"round": 9}
    root = {"log_root": "ab" * 32}
    found = audit(folder, [app_dir], claims=Claims(acknowledgements=[word_on(season, stranger)])).first
    assert (found.layer, found.round, found.hotkey) == ("screening", 2, "ab" * 32)
    assert (found.what, found.recorded) == ("acknowledged contribution", "no receipt")
    assert found.recomputed == receipt["contribution"]
    word = acknowledge(season.fixture.keypair, gone, log=season.fixture.ledger.key.name, **root)
    found = audit(folder, [app_dir], claims=Claims(acknowledgements=[word])).first
    assert (found.layer, found.round, found.recorded) == ("screening", 9, "the ledger ends at round 4")


def test_an_acknowledgement_holds_the_whole_log_to_its_root(season, app_dir):
    """Any participant's word is a kept checkpoint, too."""
    word = word_on(season, receipt_of(season, 2, "honest"), log_root="ab" * 32)
    found = audit(season.fixture.store.root, [app_dir], claims=Claims(acknowledgements=[word])).first
    assert (found.layer, found.round, found.recomputed) == ("log", 2, "ab" * 32)


@pytest.mark.parametrize("change", [{"signer": Keypair.from_seed(bytes(32))}, {"log": "toy/0123456789abcdef"}])
def test_another_validators_or_another_logs_word_is_refused(season, app_dir, change):
    word = word_on(season, receipt_of(season, 2, "honest"), **change)
    with pytest.raises(RunError, match="acknowledgement 1 isn't signed by this run's validator"):
        audit(season.fixture.store.root, [app_dir], claims=Claims(acknowledgements=[word]))


def off_by(factor):
    """Return the aggregation as another machine might do it: every model off by so much of its update."""
    real = subnet.round.aggregate

    def aggregate(*args):
        found = real(*args)
        return replace(found, model=found.model + factor * found.update.abs().max() * torch.ones_like(found.model))

    return aggregate


def test_on_another_kind_of_machine_numbers_agree_within_the_tolerance(season, app_dir, monkeypatch):
    """Where no model comes out bit for bit; the report says so, and by how much numbers may be off."""
    monkeypatch.setattr(subnet.round, "aggregate", off_by(1e-4))
    report = audit(season.fixture.store.root, [app_dir])
    assert report.ok
    assert not report.exact
    assert report.tallies["aggregate"].near >= 4
    assert report.to_json()["tolerance"] == 1e-3
    monkeypatch.setattr(subnet.round, "aggregate", off_by(1e-1))
    assert audit(season.fixture.store.root, [app_dir]).first.layer == "aggregate"


def test_another_machines_gradients_are_no_accusation_even_where_its_models_are_the_same(season, app_dir, monkeypatch):
    """Sums of stored updates have the same bits on many machines, gradients don't."""
    real = Objective.gradient
    monkeypatch.setattr(Objective, "gradient", lambda *args: real(*args) * (1 + 3e-7))
    report = audit(season.fixture.store.root, [app_dir])
    assert report.ok
    assert not report.exact
    assert report.n_models_exact == 4
    assert report.tallies["scores"].near > report.tallies["scores"].checked / 2
    monkeypatch.setattr(Objective, "gradient", lambda *args: real(*args) * (1 + 1e-2))
    assert audit(season.fixture.store.root, [app_dir]).first.layer == "scores"


def test_the_report_is_json(season, app_dir):
    """With every layer in order, and nothing in it that JSON can't hold."""
    found = json.loads(json.dumps(audit(season.fixture.store.root, [app_dir]).to_json()))
    assert [one["layer"] for one in found["layers"]] == list(LAYERS)
    assert all(one["checked"] == one["agree"] and one["first"] is None for one in found["layers"])
    assert found["ok"] is True
    assert found["first"] is None
