"""A subnet with probes, from the deal to the pay: who doesn't train is told so, and all of it comes again."""

import json
from dataclasses import replace

import pytest
import torch

from clients.probes import decode
from clients.wire import read_instruction, read_probes
from subnet import assign, reopen
from subnet.engine.dealt import DealtProbes
from subnet.engine.simulate import Scenario
from subnet.errors import RunError, SpecError
from subnet.receipts import explain
from subnet.reopen import reopened
from subnet.rescore import rescore
from subnet.scoring import registry
from subnet.state import restore
from subnet.store import Store
from tests.subnet.conftest import APP_DIR
from tokenomics import Token

CAST = "honest=5,noise=1,stale=1,copycat=1,probe_only=1,crash=1"
ON = {"probes": 16, "probe_share": 0.5, "gate_share": 0.0, "gate_floor": 0.0}
"""With no free-ride gate, so that the probes alone tell the replayer."""
N_ROUNDS = 7


@pytest.fixture(scope="module")
def probed(tmp_path_factory, open_game):
    """Seven rounds with probes; nobody may play on."""
    with open_game(tmp_path_factory.mktemp("probed") / "run", CAST, scoring=ON) as game:
        game.play(N_ROUNDS)
        yield game


def sent(game, number):
    """What was sent in a round, by hotkey: the message's content."""
    found = {}
    for message in game.grid.sent:
        if "instruction" not in message.content:
            continue
        instruction, _ = read_instruction(message.content)
        if instruction.round == number:
            found[game.session._roster.hotkeys[message.metadata.dst_node_id]] = message.content
    return found


def test_everyone_is_sent_the_samples_that_the_record_names(probed):
    """Sixteen of the probe part each, nobody's twice, and none that scores."""
    scoring = {tuple(row) for row in probed.fixture.validation.inputs.tolist()}
    for number in (1, 4):
        record = probed.report(number).record
        messages, seen = sent(probed, number), set()
        assert set(record["probes"]["hotkeys"]) == set(messages) == set(probed.kinds)
        for hotkey, hand in zip(record["probes"]["hotkeys"], record["probes"]["samples"], strict=True):
            data = read_probes(messages[hotkey])
            found = decode(data, like=probed.fixture.validation, n_probes=16)
            expected = probed.fixture.probes.take(torch.tensor(hand))
            assert torch.equal(found.inputs, expected.inputs)
            assert torch.equal(found.targets, expected.targets)
            seen |= {tuple(row) for row in found.inputs.tolist()}
        assert len(seen) == 160
        assert not seen & scoring


def test_an_audit_deals_the_same_probes_again(probed):
    """From the recorded nonce, the receipts' hotkeys and the rounds before, for every round."""
    history = replace(probed.state.history, recent=())
    for number in range(1, N_ROUNDS + 1):
        report = probed.report(number)
        again = assign.deal(
            round_number=number,
            nonce=report.record["nonce"],
            hotkeys=report.receipts.keys(),
            pool=probed.fixture.probes,
            history=history,
            rules=probed.fixture.spec.scoring,
        )
        assert assign.table(again) == report.record["probes"]
        history = replace(history, recent=probed.state.history.recent[:number])


def test_who_doesnt_train_is_told_so_and_who_does_passes(probed):
    """After five rounds of grace noise and the replayer are out by their probes, the honest never."""
    for number in range(1, N_ROUNDS + 1):
        report = probed.report(number)
        for hotkey, receipt in report.receipts.items():
            kind, probe = probed.kinds[hotkey], receipt["probe"]
            if kind == "crash":
                assert probe is None
                continue
            assert probe["n_rounds"] == min(number, 5)
            assert not (probe["not_training"] and number < 5)
            if kind == "honest" and number >= 5:
                assert probe["window"] > 1.65
                assert receipt["reward"] > 0
            if kind in {"stale", "copycat"} and number >= 5:
                assert probe["not_training"]
                assert receipt["reward"] == 0
    (stale,) = probed.of_kind("stale")
    last = probed.report(N_ROUNDS).receipts[stale]
    assert (last["status"], last["zero_because"]) == ("accepted", "not_training")


def test_a_receipt_says_it_in_words(probed):
    """Own and others' improvement, z, window and limit; and what to change."""
    (stale,) = probed.of_kind("stale")
    honest = probed.of_kind("honest")[0]
    first, last = probed.report(1).receipts, probed.report(N_ROUNDS).receipts
    told, passed, early = (dict(explain(one, Token("TOY"))) for one in (last[stale], last[honest], first[stale]))
    assert told["probes"].endswith("over 5 rounds, more than 1.65 is needed: it isn't training")
    assert told["reward"].endswith("no more for its own probes than for those of others")
    assert told["what to change"].startswith("train every round")
    assert passed["probes"].endswith("passed")
    assert early["probes"].endswith("too few rounds to tell yet")
    assert f"{last[honest]['probe']['own']:+.5f} of loss on its own" in passed["probes"]


def test_re_scoring_gives_the_recorded_numbers(probed, monkeypatch):
    """From stored updates, nonce and held-out data: every receipt, probes and pay included, under the own scorer."""
    monkeypatch.setattr(reopen, "load_spec", lambda _path: probed.fixture.spec)  # the game's, not that of its file
    with reopened(probed.fixture.store.root, [APP_DIR]) as fixture:
        assert torch.equal(fixture.probes.inputs, probed.fixture.probes.inputs)
        assert torch.equal(fixture.validation.inputs, probed.fixture.validation.inputs)
        for outcome in rescore(fixture, [fixture.scorer, registry.named("cosine", fixture.spec.scoring)]):
            assert outcome.exact
            assert outcome.receipts["path_credit"] == outcome.played.receipts
            assert outcome.n_gradients == {"path_credit": 32 + 10, "cosine": 0}
            for hotkey, receipt in outcome.receipts["cosine"].items():
                assert receipt["probe"] == outcome.played.receipts[hotkey]["probe"]


def test_a_deal_that_the_nonce_doesnt_give_is_found(probed, monkeypatch):
    """A record that names other samples isn't scored again in silence."""
    honest = Store.get_json

    def forged(store, kind, digest):
        found = honest(store, kind, digest)
        if kind == "rounds" and found["round"] == 3:
            found["probes"]["samples"].reverse()
        return found

    monkeypatch.setattr(Store, "get_json", forged)
    with pytest.raises(RunError, match="round 3 gave its participants other probes than its nonce deals"):
        rescore(probed.fixture, [probed.fixture.scorer])


def test_the_state_is_read_back(probed):
    """Samples dealt and z's of every round come from records and receipts."""
    found = restore(probed.fixture)
    assert found.history == probed.state.history
    last = found.history.recent[-1]
    assert len(last.probed) == 160
    assert set(last.probe_z) == {hotkey for hotkey, kind in probed.kinds.items() if kind != "crash"}


def test_a_restart_in_the_middle_gives_the_same_ledger(probed, tmp_path, open_game):
    """Opened again after every other round, the run deals, tests and pays as the unbroken one."""
    for n_rounds in (3, 3, 1):
        with open_game(tmp_path / "run", CAST, scoring=ON) as game:
            game.play(n_rounds)
            head = game.fixture.ledger.head
    assert head == probed.fixture.ledger.head


def test_who_knows_anothers_update_knows_what_it_trained_on(probed):
    """The copycat's stored update is its victim's, bit for bit, probes and all."""
    (copycat,), victim = probed.of_kind("copycat"), probed.of_kind("honest")[0]
    for number in (1, N_ROUNDS):
        receipts = probed.report(number).receipts
        assert receipts[copycat]["update_hash"] == receipts[victim]["update_hash"]


def test_a_simulations_cheats_read_the_deal_of_the_round_that_is_played(probed):
    """The last round's, and none for another round or a stranger."""
    told = DealtProbes(app_dir=APP_DIR, spec=probed.fixture.spec, folder=probed.fixture.store.root)
    hotkey = probed.of_kind("honest")[0]
    record = probed.report(N_ROUNDS).record["probes"]
    hand = record["samples"][record["hotkeys"].index(hotkey)]
    assert torch.equal(told(round_number=N_ROUNDS, hotkey=hotkey).inputs, probed.fixture.probes.inputs[hand])
    assert told(round_number=1, hotkey=hotkey) is None
    assert told(round_number=N_ROUNDS, hotkey="nobody") is None


def test_without_the_option_nothing_is_sent_or_kept(season):
    """No record of probes on a message, a receipt or in the round."""
    report = season.report(4)
    assert report.record["probes"] is None
    assert {json.dumps(receipt["probe"]) for receipt in report.receipts.values()} == {"null"}
    assert all(read_probes(message.content) is None for message in season.grid.sent)
    assert not (season.fixture.store.root / "dealt.json").exists()
    assert len(season.fixture.validation) == 400


def test_more_participants_than_the_pool_serves_are_an_error_at_the_start(make_spec):
    """Before anything is written, with the arithmetic."""
    spec = make_spec(scoring={"probes": 16, "probe_share": 0.1})
    scenario = Scenario(spec=spec, app_dir=APP_DIR, cast="honest=3", partition="iid", seed=0, n_rounds=1)
    with pytest.raises(SpecError, match=r"3 participants x 16 probes need 48 samples a round; .* sets apart 40"):
        scenario.check()
    replace(scenario, cast="honest=2").check()
