"""What a simulation lets cheats know of others: true to the bit, whoever asks first, and computed once."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from clients import leaks
from clients.app import Simulation
from clients.attacks import ATTACKS, InnerProduct, Mimic
from clients.leaks import Once
from clients.participant import Participant
from clients.settings import TrainingSettings

ROLES = ("honest", "honest", "honest", "ipm", "ipm", "alie", "sybil_clone", "sybil_clone")


@pytest.fixture
def field(app_dir, tmp_path):
    """Three honest clients, colluders of two kinds, and an owner with two names."""
    return Simulation(
        app_dir=app_dir,
        task="toy_task:Toy",
        subnet="5" * 64,
        settings=TrainingSettings(),
        roles=ROLES,
        partition="iid",
        n_small=0,
        small_share=0.1,
        seed=3,
        models=tmp_path,
    )


@pytest.fixture
def trained(monkeypatch):
    """Whose local training was called for, by hotkey, in order."""
    calls, honest = [], Participant.local_update

    def watched(self, round_number, base, assigned=None):
        calls.append(self.hotkey.keypair.public)
        return honest(self, round_number, base, assigned)

    monkeypatch.setattr(Participant, "local_update", watched)
    return calls


def honest_updates(field, number, base):
    return torch.stack([field.participant(index).local_update(number, base) for index in range(3)])


def collude(field, index, attack, base, number=2):
    return field.participant(index).leaks.collusion(attack, number, base, [])


def test_colluders_know_exactly_what_the_honest_send(field, base):
    """What the attack makes of the very updates that the honest clients train this round."""
    honest = honest_updates(field, 2, base)
    for index, name in ((3, "ipm"), (4, "ipm"), (5, "alie")):
        n_byzantine = ROLES.count(name)
        expected = ATTACKS[name]().craft(honest, n_byzantine=n_byzantine)[0]
        assert torch.equal(collude(field, index, ATTACKS[name](), base), expected)


def test_another_round_model_or_field_is_another_collusion(field, base):
    """Nothing of an earlier round, base model or seed is taken for this one's."""
    asked = [(field, base, 2), (field, base, 3), (field, base + 1, 2), (replace(field, seed=4), base, 2)]
    for one, model, number in asked * 2:
        expected = InnerProduct().craft(honest_updates(one, number, model), n_byzantine=2)[0]
        assert torch.equal(collude(one, 3, InnerProduct(), model, number), expected)


def test_all_colluders_together_train_the_honest_once(field, base, trained):
    """Eight threads ask for three colluders at the same time, and each honest client is trained one time."""
    with ThreadPoolExecutor(8) as pool:
        sent = list(pool.map(lambda index: collude(field, index, ATTACKS[ROLES[index]](), base, 9), [3, 4, 5] * 4))
    assert sorted(trained) == sorted(field.hotkey(index).keypair.public for index in range(3))
    assert all(torch.equal(one, sent[place % 3]) for place, one in enumerate(sent))


def test_clones_train_once_and_send_the_first_ones_update(field, base, trained):
    """Both have the bits that the first would have trained alone."""
    with ThreadPoolExecutor(2) as pool:
        sent = list(pool.map(lambda index: field.participant(index).leaks.leader_update(5, base), [7, 6]))
    assert trained == [field.hotkey(6).keypair.public]
    assert torch.equal(sent[0], sent[1])
    assert torch.equal(sent[0], field.participant(6).local_update(5, base))


def test_updates_that_arent_finite_are_left_out(field, base, monkeypatch):
    """Colluders work with the finite honest updates, and send zeros when there are none."""
    honest = honest_updates(field, 2, base)
    honest[0, 0] = torch.nan
    monkeypatch.setattr(leaks.SimulatedLeaks, "_honest", lambda *_: honest)
    assert torch.equal(collude(field, 3, Mimic(), base, 31), honest[1])
    monkeypatch.setattr(leaks.SimulatedLeaks, "_honest", lambda *_: honest * torch.nan)
    assert torch.equal(collude(field, 3, Mimic(), base, 32), torch.zeros_like(base))


class Searched:
    """A rule that keeps what colluders hand it."""

    def __init__(self):
        self.calls = []

    def __call__(self, **known):
        """Keep it, and aggregate by the mean."""
        self.calls.append(known)
        return lambda updates: updates.mean(0)


def test_the_rule_is_told_what_the_colluders_have(field, base):
    """Round, base, public deltas, and all their own examples in place of the validator's."""
    searched = Searched()
    told = replace(field, rule_of=searched, seed=5)
    deltas = [base * 2]
    told.participant(3).leaks.collusion(ATTACKS["optimised_ipm"](), 4, base, deltas)
    [known] = searched.calls
    assert (known["round_number"], known["deltas"]) == (4, deltas)
    assert torch.equal(known["base"], base)
    own = [told.participant(index).examples.inputs for index in (3, 4)]
    assert torch.equal(known["own"].inputs, torch.cat(own))


def test_once_remembers_the_last_few():
    """A thing is computed again only after so many others, and a failure isn't remembered."""
    once, calls = Once(2), []

    def get(key):
        return once.get(key, lambda: calls.append(key) or torch.zeros(1))

    for key in "abab":
        get(key)
    assert calls == ["a", "b"]
    get("c")
    get("b")
    get("a")
    assert calls == ["a", "b", "c", "a"]
    with pytest.raises(ZeroDivisionError):
        once.get("d", lambda: 1 / 0)
    get("d")
    assert calls[-1] == "d"


def test_once_may_be_asked_from_within():
    """What is computed may ask for another thing of the same memory."""
    once, done = Once(2), []
    thread = threading.Thread(
        target=lambda: done.append(once.get("outer", lambda: once.get("inner", lambda: torch.ones(1)) * 2)), daemon=True
    )
    thread.start()
    thread.join(20)
    assert [float(one) for one in done] == [2.0]


def test_others_are_trained_with_their_own_probes(field, base, task):
    """What a victim, a leader or a colluder's honest ones send includes what each was dealt, and nobody else's."""
    keys = [field.hotkey(index).keypair.public for index in range(len(ROLES))]
    dealt = {key: task.validation_data().take(torch.arange(4 * place, 4 * place + 4)) for place, key in enumerate(keys)}
    asked = []

    def probes_of(*, round_number, hotkey):
        asked.append((round_number, hotkey))
        return dealt[hotkey]

    knowing = replace(field, probes_of=probes_of)
    expected = [knowing.participant(index).local_update(11, base, dealt[keys[index]]) for index in (0, 1, 2, 6)]
    assert torch.equal(knowing.participant(3).leaks.peer_update(11, base), expected[0])
    assert torch.equal(knowing.participant(7).leaks.leader_update(11, base), expected[3])
    mimicked = knowing.participant(3).leaks.collusion(Mimic(victim=2), 11, base, [])
    assert torch.equal(mimicked, expected[2])
    assert set(asked) == {(11, keys[index]) for index in (0, 1, 2, 6)}
