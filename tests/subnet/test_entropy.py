"""A validator's nonces: the same after a crash, unlike one another, and for nobody else to read."""

import stat
import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch

import subnet.engine.simulate
import subnet.round
from clients.app import create_client_app
from subnet import draw
from subnet.audit import audit
from subnet.engine.app import Schedule, Session
from subnet.engine.inprocess import InProcessGrid
from subnet.engine.simulate import Scenario, open_fixture
from subnet.entropy import SeededEntropy, SystemEntropy
from subnet.errors import RunError
from subnet.run_files import LEDGER_NAME, NONCES_NAME


def test_a_validator_that_comes_back_has_the_nonces_that_it_had(tmp_path):
    """And each round its own; another run has others."""
    (tmp_path / "other").mkdir()
    nonces = [SystemEntropy(tmp_path).nonce(number) for number in range(1, 20)]
    assert nonces == [SystemEntropy(tmp_path).nonce(number) for number in range(1, 20)]
    assert len(set(nonces)) == 19
    assert all(len(bytes.fromhex(nonce)) == 32 for nonce in nonces)
    assert SystemEntropy(tmp_path / "other").nonce(1) not in nonces


def test_a_message_that_is_sent_again_has_its_id_again(tmp_path):
    """Every other one another: by round, by participant and by run; and none has to do with a nonce."""
    (tmp_path / "other").mkdir()
    asked = [(SystemEntropy(tmp_path), number, name) for number in (1, 2) for name in ("a", "b")]
    ids = [entropy.message_id(number, name) for entropy, number, name in asked]
    assert ids == [SystemEntropy(tmp_path).message_id(number, name) for _, number, name in asked]
    others = {SystemEntropy(tmp_path / "other").message_id(1, "a"), SystemEntropy(tmp_path).nonce(1)[:32]}
    assert len({*ids, *others}) == 6
    assert all(len(bytes.fromhex(one)) == 16 for one in ids)


def test_the_secret_is_its_owners_alone(tmp_path):
    """Its file is made so, and refused where it isn't so any more."""
    entropy = SystemEntropy(tmp_path)
    entropy.nonce(1)
    path = tmp_path / NONCES_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(RunError, match="mode 0640: others can read the nonces") as caught:
        entropy.nonce(2)
    assert caught.value.remedy == f"chmod 600 {path}"


def test_a_run_that_has_begun_never_draws_a_second_secret(tmp_path):
    """Its ledger has committed to nonces of the first: without that the run can't go on."""
    (tmp_path / LEDGER_NAME).write_bytes(b"")
    with pytest.raises(RunError, match="can't be read: No such file") as caught:
        SystemEntropy(tmp_path).nonce(3)
    assert "backup" in caught.value.remedy
    assert not (tmp_path / NONCES_NAME).exists()


def test_half_a_secret_is_none(tmp_path):
    SystemEntropy(tmp_path).nonce(1)
    (tmp_path / NONCES_NAME).write_bytes(b"half")
    with pytest.raises(RunError, match="isn't 32 bytes"):
        SystemEntropy(tmp_path).nonce(1)


def test_a_simulations_numbers_repeat():
    """By seed, round and, for messages, participant."""
    assert SeededEntropy(1).nonce(1) == SeededEntropy(1).nonce(1)
    assert len({SeededEntropy(seed).nonce(number) for seed in (1, 2) for number in (1, 2)}) == 4
    ids = {SeededEntropy(1).message_id(number, hotkey) for number in (1, 2) for hotkey in ("a", "b")}
    assert len(ids | {SeededEntropy(1).message_id(1, "a")}) == 4


def test_a_crash_in_mid_round_doesnt_draw_again(open_game, app_dir, tmp_path, monkeypatch):
    """What the ledger had committed to is what the round is drawn by, whenever it is played; and the audit agrees."""
    monkeypatch.setattr(subnet.engine.simulate, "SeededEntropy", lambda _seed: SystemEntropy(tmp_path))
    with open_game(tmp_path, "honest=3") as played:
        committed = played.play().record["next_nonce_commitment"]
        with monkeypatch.context() as patch:
            patch.setattr(subnet.round, "settle", lambda *_: pytest.fail("the machine went down"))
            with pytest.raises(pytest.fail.Exception, match="went down"):
                played.play()
    with open_game(tmp_path, "honest=3") as again:
        record = again.play().record
        again.play()
    assert draw.commitment(record["nonce"]) == record["nonce_commitment"] == committed
    assert audit(tmp_path, [app_dir]).ok
    (tmp_path / NONCES_NAME).write_bytes(bytes(32))
    with open_game(tmp_path, "honest=3") as lost, pytest.raises(RunError, match="the nonce of round 4 hashes to"):
        lost.play()


class Forgetful:
    """Gives real participants: each trains by fresh randomness, and keeps what it sent in a folder, or nowhere."""

    def __init__(self, field, folder):
        self._field, self._folder = field, folder

    def __call__(self, context):
        """The node's participant."""
        found = self._field(context)
        state = self._folder and self._folder / found.hotkey.keypair.public
        return replace(found, draw=lambda _number: _fresh(), state=state)


def _fresh():
    draw = torch.Generator()
    draw.seed()
    return draw


@pytest.mark.parametrize("remembers", [True, False])
def test_a_round_that_is_opened_again_is_drawn_again_only_where_participants_keep_nothing(
    make_spec, app_dir, tmp_path, monkeypatch, remembers
):
    """A validator that has seen the contributions, and the draw, gets the same ones when it asks again."""
    run, seeds = tmp_path / "run", []
    monkeypatch.setattr(subnet.engine.simulate, "SeededEntropy", lambda _seed: SystemEntropy(run))
    scenario = Scenario(
        spec=make_spec(), app_dir=app_dir, cast="honest=3", partition="dirichlet:0.3", seed=0, n_rounds=9
    )
    schedule = Schedule(n_rounds=9, min_participants=3, wait_s=100)
    source = Forgetful(scenario.participants(run / "models"), tmp_path / "states" if remembers else None)

    def crash(_fixture, _state, played):
        seeds.append(played.scored.seed)
        raise RuntimeError("the validator doesn't like this draw")

    for settling in (crash, crash, subnet.round.settle):
        with (
            monkeypatch.context() as patch,
            open_fixture(scenario, run, threading.Event()) as fixture,
            InProcessGrid(create_client_app(source), n_nodes=3, n_workers=1) as grid,
        ):
            patch.setattr(subnet.round, "settle", settling)
            with pytest.raises(RuntimeError, match="doesn't like") if settling is crash else nullcontext():
                Session(fixture, grid, schedule).play()
    with open_fixture(scenario, run, threading.Event()) as fixture:
        [row] = fixture.ledger.rounds()
        seeds.append(fixture.store.get_json("rounds", row.record_hash)["seed"])
    assert len(seeds) == 3
    assert len(set(seeds)) == (1 if remembers else 3)
