"""A participant's part in a round: work for the agreed spec from the named model, and sign what came out."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from clients.behaviour import Behaviour
from clients.contribution import open_enrolment, open_envelope
from clients.errors import CastError, InstructionError
from clients.participant import Participant
from clients.probes import encode as encode_probes
from clients.seeds import generator
from clients.settings import TrainingSettings
from clients.training import train
from clients.weights import decode, digest, encode
from clients.wire import Instruction

SUBNET = "5" * 64
SETTINGS = TrainingSettings(epochs=1, batch_size=16)


@pytest.fixture
def participant(task, wallet):
    return Participant(
        subnet=SUBNET,
        task=task,
        settings=SETTINGS,
        hotkey=wallet.hotkey,
        examples=task.training_data().take(torch.arange(0, 1200, 20)),
        draw=lambda round_number: generator("test", round_number),
    )


@pytest.fixture
def base_bytes(layout, base):
    return encode(layout, base)


@pytest.fixture
def instruction(base_bytes):
    return Instruction(
        subnet=SUBNET,
        round=2,
        base_hash=digest(base_bytes),
        validator="7" * 64,
        nonce_commitment="8" * 64,
        deadline_s=600,
    )


def test_an_enrolment_answers_its_challenge(participant, wallet):
    """It opens, and names the spec, the hotkey, its coldkey and the very message that asked."""
    document = open_enrolment(participant.enrol(subnet=SUBNET, challenge="q" * 32))
    assert document.subnet == SUBNET
    assert document.hotkey == wallet.hotkey.keypair.public
    assert document.coldkey == wallet.coldkey.public
    assert document.challenge == "q" * 32


def test_a_contribution_is_the_honest_update_under_a_true_envelope(
    participant, wallet, task, layout, base, instruction, base_bytes
):
    """The update is that of the local loop with the round's draw, and the envelope says what it is and for whom."""
    contribution = participant.contribute(instruction, base_bytes, message_id="m" * 32)
    expected = train(task, base, participant.examples, SETTINGS, draw=generator("test", 2))
    assert torch.equal(decode(layout, contribution.update), expected)
    envelope = open_envelope(contribution.signed)
    assert envelope.model_dump() == {
        "version": 1,
        "subnet": SUBNET,
        "hotkey": wallet.hotkey.keypair.public,
        "round": 2,
        "base_hash": instruction.base_hash,
        "update_hash": digest(contribution.update),
        "message_id": "m" * 32,
        "validator": "7" * 64,
        "n_examples": 60,
        "epsilon_micro": None,
        "gpu_ms": None,
    }


def test_the_time_of_training_is_reported_by_the_gpu_clock(participant, instruction, base_bytes):
    """The clock is read before training and after it: in whole milliseconds, in the signed envelope."""
    trained = []

    class Watched(Behaviour):
        def update(self, view):
            trained.append(next(clock))
            return view.own_update()

    clock = iter([10.0, 11.0, 12.3456])
    timed = replace(participant, behaviour=Watched(), gpu_clock=lambda: next(clock))
    sent = timed.contribute(instruction, base_bytes, message_id="m" * 32)
    assert (open_envelope(sent.signed).gpu_ms, trained) == (2346, [11.0])


def test_the_same_draw_gives_the_same_contribution(participant, instruction, base_bytes):
    """Everything repeats but for the round's own randomness."""
    first = participant.contribute(instruction, base_bytes, message_id="m" * 32)
    assert participant.contribute(instruction, base_bytes, message_id="m" * 32) == first
    other = participant.contribute(instruction.model_copy(update={"round": 3}), base_bytes, message_id="m" * 32)
    assert other.update != first.update


@pytest.fixture
def restless(participant, tmp_path):
    """A participant that trains otherwise every time, and keeps what it sent."""

    def fresh(_number):
        draw = torch.Generator()
        draw.seed()
        return draw

    return replace(participant, draw=fresh, state=tmp_path)


def test_a_message_that_comes_again_gets_the_answer_that_it_got(restless, instruction, base_bytes):
    """Also after a restart; who keeps nothing answers with another update."""
    first = restless.contribute(instruction, base_bytes, message_id="m" * 32)
    assert replace(restless).contribute(instruction, base_bytes, message_id="m" * 32) == first
    other = replace(restless, state=None).contribute(instruction, base_bytes, message_id="m" * 32)
    assert other.update != first.update


@pytest.mark.parametrize("change", [{"round": 3}, {"validator": "6" * 64}, {"message_id": "n" * 32}])
def test_another_message_gets_an_answer_of_its_own(restless, instruction, base_bytes, change):
    """Which is kept in place of the one before."""
    first = restless.contribute(instruction, base_bytes, message_id="m" * 32)
    message_id = change.get("message_id", "m" * 32)
    asked = instruction.model_copy(update={name: value for name, value in change.items() if name != "message_id"})
    second = restless.contribute(asked, base_bytes, message_id=message_id)
    assert second.update != first.update
    assert restless.contribute(asked, base_bytes, message_id=message_id) == second
    assert restless.contribute(instruction, base_bytes, message_id="m" * 32) != first


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_what_a_crash_left_of_an_answer_isnt_sent(restless, instruction, base_bytes, tmp_path, caplog, suffix):
    """It is said, and the round is trained."""
    first = restless.contribute(instruction, base_bytes, message_id="m" * 32)
    [path] = (tmp_path / "sent").glob(f"*{suffix}")
    path.write_bytes(path.read_bytes()[:-1])
    second = restless.contribute(instruction, base_bytes, message_id="m" * 32)
    assert second != first
    assert open_envelope(second.signed).update_hash == digest(second.update)
    [told] = caplog.messages
    assert str(path) in told


def test_an_answer_that_cant_be_kept_is_sent_all_the_same(restless, instruction, base_bytes, tmp_path, caplog):
    (tmp_path / "sent").write_text("in the way")
    contribution = restless.contribute(instruction, base_bytes, message_id="m" * 32)
    assert open_envelope(contribution.signed).update_hash == digest(contribution.update)
    assert "can't be kept" in caplog.messages[-1]


def test_another_spec_is_refused(participant, instruction, base_bytes):
    """Neither enrolment nor training happens under rules that weren't agreed to, and the error names both."""
    other = "6" * 64
    with pytest.raises(InstructionError, match=f"spec {'6' * 12}.*agreed to {'5' * 12}") as caught:
        participant.contribute(instruction.model_copy(update={"subnet": other}), base_bytes, message_id="m")
    assert "subnet.toml" in caught.value.remedy
    with pytest.raises(InstructionError, match=f"spec {'6' * 12}"):
        participant.enrol(subnet=other, challenge="q")


def test_another_base_model_is_refused(participant, instruction, layout, base):
    """A model whose hash isn't the one named isn't trained on."""
    with pytest.raises(InstructionError, match=f"isn't {instruction.base_hash[:12]}"):
        participant.contribute(instruction, encode(layout, base + 1), message_id="m")


def test_a_base_model_that_isnt_one_is_refused(participant, instruction, layout, base):
    """Bytes of the right hash that can't be read, or hold NaN, are an InstructionError too."""
    broken = base.clone()
    broken[0] = float("nan")
    for data in (b"junk", encode(layout, broken)):
        with pytest.raises(InstructionError, match="can't be used"):
            participant.contribute(instruction.model_copy(update={"base_hash": digest(data)}), data, message_id="m")


class Spy(Behaviour):
    """Keeps what it is shown."""

    def update(self, view):
        """Keep the view and send nothing."""
        self.view = view
        return torch.zeros_like(view.base)


def test_a_behaviour_sees_the_round_the_base_and_its_own_update(participant, instruction, base_bytes, base):
    """The view's numbers are the round's, and its own update is the honest one."""
    spy = Spy()
    replace(participant, behaviour=spy).contribute(instruction, base_bytes, message_id="m")
    assert (spy.view.round, spy.view.deadline_s) == (2, 600)
    assert torch.equal(spy.view.base, base)
    assert torch.equal(spy.view.own_update(), participant.local_update(2, base))


def test_a_copying_behaviour_sees_its_victims_update(participant, instruction, base_bytes, base, task):
    """The peer's update is, bit for bit, the one that the victim sends this round."""
    spy = Spy()
    others = task.training_data().take(torch.arange(1, 1200, 20))
    victim = replace(participant, examples=others, draw=lambda number: generator("victim", number))
    leaks = SimpleNamespace(peer_update=victim.local_update, peer_hotkey=lambda: "7" * 64, copy_floor=lambda: 0.65)
    replace(participant, behaviour=spy, leaks=leaks).contribute(instruction, base_bytes, message_id="m")
    assert torch.equal(spy.view.peer_update(), victim.local_update(2, base))
    assert not torch.equal(spy.view.peer_update(), spy.view.own_update())


def test_public_history_is_the_last_step_of_the_base_model(
    participant, instruction, base_bytes, base, layout, tmp_path
):
    """The last global delta is the base minus the newest model before it; there is none before the first step."""
    before = base - torch.linspace(0, 1, len(base))
    (tmp_path / "old.safetensors").write_bytes(encode(layout, before))
    spy = Spy()
    seeing = replace(participant, behaviour=spy, models=tmp_path)
    seeing.contribute(instruction.model_copy(update={"history": ("old", "older")}), base_bytes, message_id="m")
    assert torch.equal(spy.view.last_global_delta(), base - before)
    seeing.contribute(instruction, base_bytes, message_id="m")
    assert spy.view.last_global_delta() is None


@pytest.fixture
def run(layout, base, tmp_path):
    """Three earlier models, published, and the hashes by which an instruction names them."""
    models = [base - torch.linspace(0, step, len(base)) for step in (1, 3, 4)]
    for name, model in zip(("one", "two", "three"), models, strict=True):
        (tmp_path / f"{name}.safetensors").write_bytes(encode(layout, model))
    return models, ("one", "two", "three")


def test_public_history_goes_back_as_far_as_the_instruction_names_models(
    participant, instruction, base_bytes, base, run, tmp_path
):
    """Global deltas are the steps between models, newest first, at most as many as asked for."""
    spy, (models, names) = Spy(), run
    seeing = replace(participant, behaviour=spy, models=tmp_path)
    seeing.contribute(instruction.model_copy(update={"history": names}), base_bytes, message_id="m")
    deltas = [base - models[0], models[0] - models[1], models[1] - models[2]]
    for n in (0, 1, 2, 3, 9):
        for found, expected in zip(spy.view.global_deltas(n), deltas[:n], strict=True):
            assert torch.equal(found, expected)


def test_an_earlier_update_is_trained_again_as_it_was(participant, instruction, base_bytes, run, tmp_path):
    """From the model of so many models ago, with that round's draw; None where none is so old."""
    spy, (models, names) = Spy(), run
    seeing = replace(participant, behaviour=spy, models=tmp_path)
    asked = instruction.model_copy(update={"history": names, "round": 7})
    seeing.contribute(asked, base_bytes, message_id="m")
    for back in (1, 2, 3):
        assert torch.equal(spy.view.past_update(back), participant.local_update(7 - back, models[back - 1]))
    assert spy.view.past_update(4) is None


def test_a_real_participant_is_shown_nothing_of_others(participant, instruction, base_bytes):
    """Without a simulation's leaks there is no victim, no leader and no collusion to look at."""
    spy = Spy()
    replace(participant, behaviour=spy).contribute(instruction, base_bytes, message_id="m")
    for look in (spy.view.peer_update, spy.view.peer_hotkey, spy.view.leader_update):
        with pytest.raises(CastError):
            look()


def test_training_data_pass_through_the_behaviour(participant, base):
    """A behaviour that turns its labels trains on the turned ones."""

    class Shift(Behaviour):
        def data(self, examples):
            return replace(examples, targets=(examples.targets + 1) % 10)

    honest = participant.local_update(2, base)
    assert not torch.equal(replace(participant, behaviour=Shift()).local_update(2, base), honest)


def test_probes_are_trained_on_beside_ones_own_data(participant, instruction, base_bytes, base, task, layout):
    """What is sent is the update on both; who looks sees the update on the probes alone, too."""
    assigned = task.validation_data().take(torch.arange(16))
    spy, ready = Spy(), replace(participant, n_probes=16)
    sent = ready.contribute(instruction, base_bytes, message_id="m", probe_bytes=encode_probes(assigned))
    expected = train(task, base, participant.examples, SETTINGS, draw=generator("test", 2), probes=assigned)
    assert torch.equal(decode(layout, sent.update), expected)
    assert open_envelope(sent.signed).n_examples == 60
    replace(ready, behaviour=spy).contribute(
        instruction, base_bytes, message_id="m", probe_bytes=encode_probes(assigned)
    )
    alone = train(task, base, assigned, SETTINGS, draw=generator("test", 2))
    assert torch.equal(spy.view.probe_update(), alone)
    replace(ready, behaviour=spy).contribute(instruction, base_bytes, message_id="m")
    assert spy.view.probe_update() is None


def test_more_probes_than_agreed_are_refused(participant, instruction, base_bytes, task):
    """The spec's number is the most, and without the option there are none."""
    data = encode_probes(task.validation_data().take(torch.arange(3)))
    for n_probes, said in ((2, "3 probes came"), (0, "the subnet has none")):
        with pytest.raises(InstructionError, match=said):
            replace(participant, n_probes=n_probes).contribute(
                instruction, base_bytes, message_id="m", probe_bytes=data
            )
