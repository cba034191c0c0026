"""A validator that lies in one step of one round, and signs the rest as it follows from that, is found and named.

Each lie is played: the validator's own code is changed in one place for round 2, everything after it (seed, receipts,
money, chain, log, signatures) is made by that validator with its own key, and the audit runs on the true code.
"""

from dataclasses import replace

import pytest
import torch

import subnet.judge
import subnet.round
import subnet.screening
import subnet.settle
import tokenomics.ledger.store
from clients.acknowledgements import keep
from clients.contribution import Envelope
from clients.errors import ContributionError
from clients.wire import read_instruction
from subnet.audit import Claims, audit
from tokenomics.ledger.log import round_leaf
from tokenomics.ledger.planning import SealedRound, head_of, seal
from tokenomics.merkle import merkle_root

CAST = "honest=4,copycat=1,forged=1,nan=1"


def drop(patch, victim):
    """Say that a contribution came too late, though it is in the store."""
    real = subnet.round.collect_replies

    def collect(*args, **more):
        late = {"signed": None, "update_hash": None, "reason": "late", "detail": "no reply"}
        return [replace(one, **late) if one.hotkey == victim else one for one in real(*args, **more)]

    patch.setattr(subnet.round, "collect_replies", collect)


def reject(patch, victim):
    """Find fault with a sound contribution."""
    real = subnet.screening._check_envelope

    def check(envelope, reply, expected):
        if envelope.hotkey == victim:
            raise ContributionError("wrong_base", "so it says")
        real(envelope, reply, expected)

    patch.setattr(subnet.screening, "_check_envelope", check)


def accept_forged(patch, _victim):
    """Take a contribution whose signature doesn't hold."""
    opened = subnet.screening.open_envelope

    def trusting(signed):
        try:
            return opened(signed)
        except ContributionError:
            return Envelope.model_validate_json(signed.document)

    patch.setattr(subnet.screening, "open_envelope", trusting)


def choose_seed(patch, _victim):
    """Score on samples of the validator's choice."""
    patch.setattr(subnet.round.draw, "seed", lambda **_: "ab" * 32)


def other_nonce(patch, _victim):
    """Reveal another nonce than the one that was committed to."""
    real = subnet.settle._record
    patch.setattr(subnet.settle, "_record", lambda *args: real(*args) | {"nonce": "cd" * 32})


def draw_again(patch, _victim):
    """Take another nonce than the ledger has committed to, and a seed, deal and commitment that follow from it."""
    real = subnet.round._committed_nonce
    patch.setattr(subnet.round, "_committed_nonce", lambda *args: real(*args)[::-1])


def raise_credit(patch, victim):
    """Measure too much credit for one."""
    real = subnet.judge._numbers

    def numbers(index, hotkey, *args):
        found = real(index, hotkey, *args)
        return found | {"credit": found["credit"] + 1e-5} if hotkey == victim else found

    patch.setattr(subnet.judge, "_numbers", numbers)


def raise_score(patch, victim):
    """Pay one by a score that its credit doesn't give."""
    real = subnet.judge.payable

    def payable(*args):
        found = real(*args)
        return found | {victim: replace(found[victim], score=found[victim].score + 1)}

    patch.setattr(subnet.judge, "payable", payable)


def another_model(patch, _victim):
    """Publish a model that isn't the aggregate, by the last bit of one parameter."""
    real = subnet.round.aggregate

    def aggregate(*args):
        found = real(*args)
        model = found.model.clone()
        model[0] = torch.nextafter(model[0], torch.tensor(1e9))
        return replace(found, model=model)

    patch.setattr(subnet.round, "aggregate", aggregate)


def better_loss(patch, _victim):
    """Claim a lower validation loss than the model has."""
    real = subnet.round.accept

    def accept(*args):
        found = real(*args)
        return replace(found, loss=found.loss * 0.999)

    patch.setattr(subnet.round, "accept", accept)


def move_money(patch, victim):
    """Post a base unit of somebody's pay to another, in a round whose sums and hashes all hold."""

    def greedy(genesis, tip, settlement, pending, log, book):
        honest = seal(genesis, tip, settlement, pending, log, book)
        gains = next(one.position for one in honest.postings if one.account.endswith(victim))
        loses = next(one.position for one in honest.postings if one.account.startswith("validator:"))
        moved = {gains: 1, loses: -1}
        postings = tuple(replace(one, amount=one.amount + moved.get(one.position, 0)) for one in honest.postings)
        row = replace(honest.row, postings_root=merkle_root([one.leaf for one in postings]))
        row = replace(
            row, head=head_of(tip.head, row, *([one.leaf for one in part] for part in (honest.receipts, postings)))
        )
        row = replace(row, log_root=log.then(round_leaf(row)).root)
        movements = tuple((one.account, one.kind, one.amount) for one in postings)
        return SealedRound(row=row, receipts=honest.receipts, movements=movements)

    patch.setattr(tokenomics.ledger.store, "seal", greedy)


def no_form(patch, _victim):
    """Write a record that no validator writes."""
    real = subnet.settle._record
    patch.setattr(subnet.settle, "_record", lambda *args: real(*args) | {"nonce": 7})


LIES = {
    drop: ("screening", "honest", "contribution"),
    reject: ("screening", "honest", "status"),
    accept_forged: ("signatures", "forged", "signature"),
    choose_seed: ("draw", "", "seed"),
    other_nonce: ("draw", "", "nonce_commitment"),
    draw_again: ("draw", "", "nonce_commitment in the round before"),
    raise_credit: ("scores", "honest", "numbers.credit"),
    raise_score: ("split", "honest", "payable.score"),
    another_model: ("aggregate", "", "model"),
    better_loss: ("acceptance", "", "proposed.loss"),
    move_money: ("postings", "honest", "pending"),
    no_form: ("screening", "", "form"),
}


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.__name__)
def test_a_lie_is_found_in_its_layer_round_and_hotkey(lie, game, app_dir, monkeypatch):
    """And the rounds before it agree, as does a later one that builds on what was recorded."""
    layer, kind, what = LIES[lie]
    played = game(CAST)
    played.play()
    whose = played.of_kind(kind)[0] if kind else ""
    with monkeypatch.context() as patch:
        lie(patch, whose)
        played.play()
    played.play()
    report = audit(played.fixture.store.root, [app_dir])
    found = report.first
    assert found is not None
    assert (found.layer, found.round, found.hotkey) == (layer, 2, whose)
    assert found.what.startswith(what)
    assert found.recorded != found.recomputed
    wrong = {one.round for tally in report.tallies.values() if (one := tally.first(exact=report.exact))}
    assert wrong == {2}
    of_ledger = found if layer == "postings" else None  # which is always verified whole
    assert audit(played.fixture.store.root, [app_dir], first=3).first == of_ledger
    assert audit(played.fixture.store.root, [app_dir], last=1).first == of_ledger


def test_a_copy_that_the_validator_overlooks_is_found(game, app_dir, monkeypatch):
    """The copier is named by the layer of copies, whatever its credit changes in other layers."""
    played = game(CAST)
    played.play()
    with monkeypatch.context() as patch:
        patch.setattr("subnet.scoring.path_credit.copies.find_copies", lambda *_: {})
        played.play()
    found = audit(played.fixture.store.root, [app_dir]).tallies["copies"].first_wrong
    assert (found.round, found.hotkey) == (2, played.of_kind("copycat")[0])


def test_a_history_that_was_played_again_is_found_by_a_checkpoint_that_somebody_kept(open_game, app_dir, tmp_path):
    """Without the checkpoint nothing is wrong with it: every hash, signature and number is sound."""
    with open_game(tmp_path / "first", CAST) as played:
        played.play(2)
        kept = played.fixture.ledger.checkpoint
        key = played.fixture.ledger.key
        played.play()
        assert audit(tmp_path / "first", [app_dir], claims=Claims(key=key, checkpoint=kept)).ok
    with open_game(tmp_path / "second", CAST) as again:
        again.play(3, without=again.of_kind("honest")[:1])
    assert audit(tmp_path / "second", [app_dir], claims=Claims(key=key)).ok
    found = audit(tmp_path / "second", [app_dir], claims=Claims(checkpoint=kept)).first
    assert (found.layer, found.round, found.recomputed) == ("log", 2, kept.tree.root)
    found = audit(tmp_path / "second", [app_dir], last=1, claims=Claims(checkpoint=kept)).first
    assert (found.layer, found.round) == ("log", 2)


def test_a_contribution_that_was_acknowledged_and_then_dropped_is_named(open_game, app_dir, tmp_path):
    """The validator plays round 2 again without one participant; each file of kept words says so, its own whose it was.

    What the participants kept came with the messages of the first history.
    """
    with open_game(tmp_path / "first", "honest=4") as played:
        played.play(3)
        words = {}
        for message in played.grid.sent:
            if "instruction" in message.content:
                instruction, _ = read_instruction(message.content)
                hotkey = played.hotkey_of(message)
                path = keep(
                    tmp_path / hotkey, instruction.acknowledgement, validator=instruction.validator, hotkey=hotkey
                )
                words |= {hotkey: path} if path else {}
    kept = {hotkey: path.read_text().splitlines() for hotkey, path in words.items()}
    victim, other = played.of_kind("honest")[:2]
    assert {hotkey: len(lines) for hotkey, lines in kept.items()} == dict.fromkeys(played.of_kind("honest"), 2)
    for lines in kept.values():
        assert audit(tmp_path / "first", [app_dir], claims=Claims(acknowledgements=lines)).ok
    with open_game(tmp_path / "second", "honest=4") as again:
        again.play()
        again.play(2, without=[victim])
    assert audit(tmp_path / "second", [app_dir]).ok
    report = audit(tmp_path / "second", [app_dir], claims=Claims(acknowledgements=kept[victim]))
    found = report.first
    assert (found.layer, found.round, found.hotkey) == ("screening", 2, victim)
    assert (found.what, found.recorded) == ("acknowledged contribution", "no receipt")
    report = audit(tmp_path / "second", [app_dir], claims=Claims(acknowledgements=kept[other]))
    found = report.tallies["log"].first_wrong
    assert (found.round, found.what) == (2, "root at the acknowledgement")
