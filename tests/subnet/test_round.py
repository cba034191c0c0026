"""A round from opening to settlement, on real participants: what was promised at the opening holds at the end."""

import json
import threading
from math import nan
from statistics import median
from types import SimpleNamespace

import pytest
import torch

from clients import protocol_cheats
from clients.cast import KINDS
from clients.contribution import Signed, open_envelope
from clients.weights import decode
from clients.wire import read_instruction
from strategies import Aggregation
from subnet import collect, draw
from subnet.entropy import SeededEntropy
from subnet.errors import RunError, StoppedError
from subnet.state import restore
from tokenomics.keys import verify


def instructions(game):
    """What was sent in the last round, by hotkey order of participants."""
    sent = [one for one in game.grid.sent if "instruction" in one.content]
    return [read_instruction(one.content)[0] for one in sent][-len(game.kinds) :]


def test_a_round_trains_the_model_and_pays_for_it(season):
    """Over four rounds the validation loss falls every time and each honest participant has earned something."""
    losses = [state.val_loss for state in season.states]
    assert losses == sorted(losses, reverse=True)
    for hotkey in season.of_kind("honest"):
        assert sum(season.report(number).rewards.get(hotkey, 0) for number in range(1, 5)) > 0


def test_the_nonce_was_committed_to_before_anyone_answered(game):
    """In the record of the round before, or the genesis; every instruction and the round's own record repeat it."""
    played = game("honest=3")
    committed = played.fixture.ledger.genesis.nonce_commitment
    for number in (1, 2, 3):
        record = played.play().record
        assert record["nonce_commitment"] == committed
        committed = record["next_nonce_commitment"]
        commitments = {one.nonce_commitment for one in instructions(played)}
        assert commitments == {record["nonce_commitment"]} == {draw.commitment(record["nonce"])}
        assert record["nonce"] == SeededEntropy(0).nonce(number)
    assert played.report(1).record["nonce"] != played.report(2).record["nonce"]


def test_a_round_isnt_drawn_by_another_nonce_than_the_ledger_has_committed_to(game):
    """Not even where the validator would: the round doesn't begin, and is played as it had to be once it can be."""
    played = game("honest=3")
    played.play()
    own = played.fixture.entropy
    played.change(entropy=SeededEntropy(1))
    with pytest.raises(RunError, match="the nonce of round 2 hashes to"):
        played.play()
    assert played.fixture.ledger.height == 1
    played.change(entropy=own)
    assert played.play().record["nonce"] == own.nonce(2)


def test_a_refused_round_reveals_its_nonce_and_the_next_has_its_own(game):
    """A validator that doesn't like a draw can't refuse the round to have it drawn again."""
    played = game("honest=3", validation={"tolerance": 0})
    committed = played.state.nonce_commitment
    refused = played.fixture.objective
    played.change(objective=Refusing(refused))
    first = played.play().record
    assert not first["proposed"]["accepted"]
    assert draw.commitment(first["nonce"]) == committed
    played.change(objective=refused)
    second = played.play().record
    assert draw.commitment(second["nonce"]) == first["next_nonce_commitment"] != committed


class Refusing:
    """An objective by which every model is bad."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def evaluate(self, *args):
        """A loss above any before."""
        loss, accuracy = self._inner.evaluate(*args)
        return loss + 1e6, accuracy


def test_the_seed_is_recomputed_from_the_receipts(season):
    """Nonce, round and the contributions on the receipts, of good and bad senders, give the recorded seed."""
    for number in range(1, 5):
        report = season.report(number)
        contributions = {
            hotkey: receipt["contribution"] for hotkey, receipt in report.receipts.items() if receipt["contribution"]
        }
        assert len(contributions) == 10  # all but the one that crashes and the one that doesn't sign
        nonce = report.record["nonce"]
        assert report.record["seed"] == draw.seed(round_number=number, nonce=nonce, contributions=contributions)


def test_the_instruction_names_spec_base_and_validator(game):
    """Everybody is asked for the same round of the same model, which comes with it, and each under an id of its own."""
    played = game("honest=3")
    for number in (1, 2, 3):
        models = played.state.models
        played.play()
        sent = [one for one in played.grid.sent if "instruction" in one.content][-3:]
        assert len({one.metadata.group_id for one in sent}) == 3
        for message in sent:
            instruction, base = read_instruction(message.content)
            assert instruction.subnet == played.fixture.spec.hash
            assert instruction.round == number
            assert (instruction.base_hash, instruction.history) == (models[0], models[1:])
            assert instruction.validator == played.fixture.keypair.public
            assert base == played.fixture.store.get("models", models[0])
            assert message.metadata.ttl > instruction.deadline_s == 600


def test_acknowledgements_are_the_validators_signed_word(game):
    """The next instruction carries, signed, what the last round's receipt says of this very participant."""
    played = game("honest=3,nan=1")
    played.play()
    assert {one.acknowledgement for one in instructions(played)} == {""}
    receipts = played.report(1).receipts
    played.play()
    told = {}
    for one in instructions(played):
        signed = Signed.from_bytes(one.acknowledgement.encode())
        assert verify(
            public=played.fixture.keypair.public,
            domain="acknowledgement",
            message=signed.document.encode(),
            signature=signed.signature,
        )
        document = json.loads(signed.document)
        told[document["hotkey"]] = document
    assert told.keys() == receipts.keys()
    for hotkey, document in told.items():
        assert set(document) == {
            "subnet", "round", "hotkey", "contribution", "status", "reason", "zero_because", "reward",
            "log", "log_root",
        }  # fmt: skip
        log = played.fixture.ledger.checkpoint_of(1).tree
        assert (document.pop("log"), document.pop("log_root")) == (log.origin, log.root)
        assert document.items() <= receipts[hotkey].items()


EXPECTED = {
    "honest": ("accepted", "", ""),
    "sign_flip": ("accepted", "", "strike"),
    "scaling": ("accepted", "", ""),
    "noise": ("accepted", "", "negative"),
    "zero": ("rejected", "free_riding", "ineligible"),
    "stale": ("rejected", "free_riding", "ineligible"),
    "copycat": ("rejected", "copy", "ineligible"),
    "label_flip": ("accepted", "", "negative"),
    "backdoor": ("accepted", "", ""),
    "nan": ("rejected", "non_finite", ""),
    "unsigned": ("rejected", "unsigned", ""),
    "forged": ("rejected", "bad_signature", ""),
    "replayed": ("rejected", "replayed", ""),
    "wrong_base": ("rejected", "wrong_base", ""),
    "wrong_names": ("rejected", "wrong_names", ""),
    "oversized": ("rejected", "oversized", ""),
    "malformed": ("rejected", "malformed", ""),
    "altered": ("rejected", "hash_mismatch", ""),
    "crash": ("missing", "failed", ""),
    "late": ("missing", "late", ""),
    "targeted_flip": ("accepted", "", ""),
    "noisy_labels": ("accepted", "", ""),
    "alie": ("accepted", "", ""),
    "jittered_alie": ("accepted", "", ""),
    "jittered_mimic": ("accepted", "", ""),
    "steady_alie": ("accepted", "", ""),
    "steady_mimic": ("accepted", "", ""),
    "min_max": ("accepted", "", ""),
    "min_sum": ("accepted", "", ""),
    "optimised_alie": ("accepted", "", ""),
    "leak": ("accepted", "", ""),
    "on_off": ("accepted", "", ""),
    "on_off_poison": ("accepted", "", ""),
    "slow_poison": ("accepted", "", ""),
    "coasting": ("accepted", "", ""),
    "sybil_clone": ("accepted", "", ""),
    "sybil_split": ("accepted", "", ""),
    "same_data": ("accepted", "", ""),
    "huge_examples": ("accepted", "", ""),
    "denormals": ("accepted", "", "negative"),
    "mean_flip": ("accepted", "", "negative"),
    "ipm": ("accepted", "", "negative"),
    "jittered_ipm": ("accepted", "", "negative"),
    "optimised_ipm": ("accepted", "", "negative"),
    "stale_noise": ("rejected", "free_riding", "ineligible"),
    "extrapolation": ("rejected", "free_riding", "ineligible"),
    "old_mixture": ("rejected", "free_riding", "ineligible"),
    "burst": ("rejected", "free_riding", "ineligible"),
    "lazy": ("accepted", "", ""),
    "probe_only": ("rejected", "free_riding", "ineligible"),
    "mimic": ("rejected", "copy", "ineligible"),
    "infinite": ("rejected", "non_finite", ""),
    "wrong_signer": ("rejected", "wrong_signer", ""),
    "wrong_node": ("rejected", "bad_signature", ""),
}
"""Status, reason and zero_because of each kind's receipt in the first round, with one of the kind beside five honest.

Those that are accepted without more are paid: honest in the first round, or trained at least in part on true data, or
(ALIE and its like) so near the honest mean that they improve the model.
"""

CLOSE = {"noise": ("accepted", "", "noise"), "lazy": ("accepted", "", "coasting")}
"""What may come of a kind as well: processors differ in the last bits of updates, and by their hashes in the batches
that are drawn."""


@pytest.fixture
def no_waiting(monkeypatch):
    """The deadline passes when everyone else has answered, and the late one answers at the test's end."""
    over, pulled = threading.Event(), []
    clock = SimpleNamespace(monotonic=lambda: 1e9 if len(pulled) == 5 else 0.0, sleep=lambda _: over.wait(0.005))
    monkeypatch.setattr(collect, "time", clock)
    monkeypatch.setattr(protocol_cheats, "time", SimpleNamespace(sleep=lambda _: over.wait(60)))
    yield pulled
    over.set()


def test_every_kind_of_client_is_expected_to_come_to_something():
    """A new kind needs its line in the table above."""
    assert set(EXPECTED) == set(KINDS)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "honest"])
def test_a_cheat_costs_its_sender_and_nobody_else(game, no_waiting, kind):
    """The cheat's receipt says what it did; the honest are accepted and paid, and share the pool among them."""
    played = game(f"honest=5,{kind}=1")
    if kind == "late":
        played.session._gather()
        played.grid.on_pull = no_waiting.append
    report = played.play()
    (cheat,), honest = played.of_kind(kind), played.of_kind("honest")
    receipt = report.receipts[cheat]
    found = (receipt["status"], receipt["reason"], receipt["zero_because"])
    assert found in {EXPECTED[kind], CLOSE.get(kind)}
    assert report.row.pays
    for hotkey in honest:
        assert (report.receipts[hotkey]["status"], report.receipts[hotkey]["reason"]) == ("accepted", "")
        assert report.rewards[hotkey] > 0
    if found == ("accepted", "", ""):
        assert set(report.rewards) == {cheat, *honest}
    else:
        assert receipt["reward"] == receipt["score"] == 0
        assert set(report.rewards) == set(honest)
    if kind == "scaling":
        sizes = [one["numbers"]["norm"] for one in report.receipts.values()]
        clipped = receipt["numbers"]["clip"] * receipt["numbers"]["norm"]
        assert clipped == pytest.approx(median(sizes))
    if no_waiting and kind == "late":
        played.grid.on_pull = lambda _reply: None


@pytest.mark.parametrize("kind", ["unsigned", "crash"])
def test_who_gave_nothing_that_counts_changes_no_number_of_the_others(tmp_path, open_game, kind):
    """With the cheat in the round or away from it, model, receipts and rewards of the honest are the same bytes."""
    rounds = []
    for name in ("with", "without"):
        with open_game(tmp_path / name, f"honest=4,{kind}=1") as played:
            cheat = played.of_kind(kind)
            report = played.play(without=cheat if name == "without" else ())
            receipts = {hotkey: dict(one) for hotkey, one in report.receipts.items() if hotkey not in cheat}
            rounds.append((report.row.model_hash, report.row.minted, report.record["seed"], receipts))
    assert rounds[0] == rounds[1]


class Ruin:
    """An aggregation rule that makes the model worse, or not finite, by moving it `distance` everywhere."""

    name = "ruin"
    evidence = frozenset()

    def __init__(self, distance):
        self.distance = distance

    def aggregate(self, updates, *, evidence):
        """Move everything."""
        n = len(updates)
        update = torch.full((updates.shape[1],), self.distance)
        return Aggregation(
            update=update, influence=torch.full((n,), 1 / n, dtype=torch.float64), diagnostics={}, rejected={}
        )


@pytest.mark.parametrize("distance", [50.0, nan])
def test_a_refused_model_mints_nothing_and_keeps_the_base(game, distance):
    """A model beyond the tolerance, or not finite, isn't taken: base, loss and supply stay, and receipts say why."""
    played = game("honest=3")
    played.play()
    before, rule = played.state, played.fixture.strategy
    played.change(strategy=Ruin(distance))
    report = played.play()
    assert not report.record["proposed"]["accepted"]
    assert report.record["proposed"]["why"]
    assert (report.row.minted, report.row.pays) == (0, False)
    assert report.row.model_hash == report.row.base_hash == before.models[0]
    assert played.fixture.ledger.postings(2) == []
    for receipt in report.receipts.values():
        assert (receipt["status"], receipt["reward"], receipt["score"]) == ("accepted", 0, 0)
        assert receipt["zero_because"] == "round_refused"
        assert receipt["counted"] is None
    assert played.state.models == before.models
    assert torch.equal(played.state.base, before.base)
    assert (played.state.val_loss, played.state.val_accuracy) == (before.val_loss, before.val_accuracy)
    assert played.state.history.recent[-1].credits == {}
    # and the run goes on from there
    played.change(strategy=rule)
    assert played.play().row.minted > 0
    assert played.state.round == 3


@pytest.mark.parametrize(("tolerance", "accepted"), [(0.0, False), (10.0, True)])
def test_the_tolerance_decides_how_much_worse_is_too_much(game, tolerance, accepted):
    """A model that is a little worse passes a wide tolerance and fails one of nothing."""
    played = game("honest=3", validation={"tolerance": tolerance})
    played.play()
    before = played.state.val_loss
    played.change(strategy=Ruin(0.2))
    report = played.play()
    assert before < report.record["proposed"]["loss"] < 11 * before
    assert report.record["proposed"]["accepted"] is accepted
    assert (report.row.model_hash != report.row.base_hash) is accepted


@pytest.mark.parametrize("kind", ["nan", "crash", "zero"])
def test_a_round_without_a_usable_contribution_is_settled_with_nothing_minted(game, kind):
    """When all that came was rejected, missing or gated, the round is in the ledger, pays nobody, keeps the base."""
    played = game(f"honest=1,{kind}=2")
    first = played.state.models[0]
    report = played.play(without=played.of_kind("honest"))
    assert len(report.receipts) == 2
    assert {receipt["reason"] for receipt in report.receipts.values()} == {EXPECTED[kind][1]}
    assert (report.row.minted, report.row.model_hash) == (0, first)
    assert report.record["proposed"]["why"] == "no contribution could be used"
    assert played.play().row.minted > 0


def test_a_round_that_nobody_attends_is_settled(game):
    """No participant at all is a round of no receipts."""
    played = game("honest=1")
    report = played.play(without=played.of_kind("honest"))
    assert report.receipts == {}
    assert report.row.minted == 0


def test_a_stopped_round_leaves_no_trace_in_the_ledger(game):
    """Stopping in mid-round raises, settles nothing, and the round can be played afterwards."""
    played = game("honest=2")
    played.session._gather()
    played.change(stopped=lambda: True)
    with pytest.raises(StoppedError):
        played.play()
    assert played.fixture.ledger.height == 0
    played.change(stopped=lambda: False)
    assert played.play().row.round == 1


def test_the_new_model_is_the_base_plus_the_weighted_updates(season, layout):
    """Influences on the receipts and updates in the store give the recorded model."""
    for number in range(1, 5):
        report = season.report(number)
        store = season.fixture.store
        total = torch.zeros(layout.n_params, dtype=torch.float64)
        for receipt in report.receipts.values():
            if receipt["numbers"]:
                total += (
                    receipt["numbers"]["influence"]
                    * decode(layout, store.get("updates", receipt["update_hash"])).double()
                )
        base, model = (
            decode(layout, store.get("models", digest)) for digest in (report.row.base_hash, report.row.model_hash)
        )
        torch.testing.assert_close(model, (base.double() + total).float(), rtol=1e-5, atol=1e-6)


def test_receipts_lead_to_what_was_signed(season):
    """From each receipt the stored envelope opens and names the stored update, the round and the base."""
    report = season.report(2)
    for hotkey in report.accepted:
        receipt = report.receipts[hotkey]
        stored = season.fixture.store.get("contributions", receipt["contribution"])
        envelope = open_envelope(Signed.from_bytes(stored))
        assert (envelope.hotkey, envelope.round, envelope.base_hash) == (hotkey, 2, report.row.base_hash)
        assert envelope.update_hash == receipt["update_hash"]
        assert envelope.message_id == receipt["message_id"]
        assert envelope.n_examples == receipt["n_examples"]


def test_the_order_of_commitment_is_the_casts_in_a_simulation(season):
    """Arrival on the receipts is the place in the cast, so that threads don't decide who copied whom."""
    receipts = season.report(3).receipts
    assert [receipts[hotkey]["arrival"] for hotkey in season.kinds] == list(range(len(season.kinds)))


def test_without_an_order_arrival_is_that_of_the_replies(game):
    """On a real deployment the place is that in which replies came: 0 to n - 1, each once."""
    played = game("honest=4,crash=1")
    played.change(order=None)
    arrivals = [receipt["arrival"] for receipt in played.play().receipts.values()]
    assert sorted(arrivals) == list(range(5))


def test_the_same_seed_plays_the_same_ledger(tmp_path, open_game):
    """Two runs of one seed are equal to the last byte, and another seed's isn't."""
    dumps = []
    for name, seed in (("one", 0), ("two", 0), ("three", 1)):
        with open_game(tmp_path / name, "honest=3,copycat=1", seed=seed) as played:
            played.play(2)
            dumps.append(b"".join(played.fixture.ledger.dump()))
    assert dumps[0] == dumps[1]
    assert dumps[0] != dumps[2]


def test_a_restored_validator_plays_the_same_next_round(tmp_path, open_game):
    """Going on from the state read back gives the same ledger as never having stopped."""
    dumps = []
    for name in ("straight", "restored"):
        with open_game(tmp_path / name, "honest=4,stale=1") as played:
            played.play(2)
            if name == "restored":
                played.session.state = restore(played.fixture)
            played.play()
            dumps.append(b"".join(played.fixture.ledger.dump()))
    assert dumps[0] == dumps[1]


def test_a_rule_that_cant_work_with_what_came_loses_the_round_not_the_validator(tmp_path, open_game):
    """When too few updates are left for the strategy, the round is refused in words and the next one is played."""
    with open_game(
        tmp_path / "run", "honest=3,nan=1", strategy={"name": "krum", "settings": {"n_byzantine": 2}}
    ) as game:
        before = game.state.models
        game.play()
        assert game.state.round == 1
        assert game.state.models == before
        played = game.report()
        assert not played.row.pays
        assert played.row.minted == 0
        assert "krum" in played.record["proposed"]["why"]
        game.play()
        assert game.state.round == 2
