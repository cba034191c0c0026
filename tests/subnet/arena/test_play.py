"""Cells that repeat, and measure what they say."""

import json
from dataclasses import replace

import pytest

from clients.errors import CastError, TaskError
from clients.task import Task
from subnet.arena import play as module
from subnet.arena.attacks import attack_names
from subnet.arena.play import play
from tests.subnet.arena.conftest import CELL, measured


@pytest.mark.parametrize("attack", attack_names())
def test_every_attack_is_played_and_repeats(attack):
    """A cell gives the same measurements twice, whatever the attack, and a distance of 0 without one under the mean."""
    result = play(replace(CELL, attack=attack))
    assert measured(result) == measured(play(replace(CELL, attack=attack)))
    assert (result["distance"] < 1e-6) == (attack in {"none", "nan"})  # NaN is set aside by every rule
    assert (result["attack_success"] is not None) == (attack in {"backdoor", "label_flip"})
    assert result["wall_s"] > result["aggregation_s"] > 0
    json.dumps(result, allow_nan=False)


def test_attacks_harm_the_mean_and_the_default_withstands_them():
    """A magnified sign flip wrecks the mean's model and not the default rule's."""
    calm = play(CELL)["accuracy"]
    assert play(replace(CELL, attack="sign_flip"))["accuracy"] < calm - 0.2
    assert play(replace(CELL, attack="sign_flip", strategy="credit_gated"))["accuracy"] > calm - 0.1


def test_a_label_flip_by_most_clients_succeeds():
    """Where the attackers are the majority, the mean's model gives their answers, and the measure says so."""
    few = play(replace(CELL, attack="label_flip", n_byzantine=1))
    most = play(replace(CELL, attack="label_flip", n_byzantine=5))
    assert few["attack_success"] < 0.2
    assert most["attack_success"] > 0.5


@pytest.mark.parametrize("strategy", ["fltrust", "zeno", "fedavg", "centered_clipping", "credit_gated"])
def test_rules_get_the_evidence_that_they_read(strategy):
    """Credit, a trusted update, claimed sizes or the last aggregate: no round is refused for want of it."""
    assert play(replace(CELL, strategy=strategy, attack="optimised_ipm", n_rounds=2))["n_refused"] == 0


def test_an_optimised_attack_sees_the_credit_that_it_gets(monkeypatch):
    """Its search asks the rule with the evidence on the very updates that it tries, not on others."""
    seen = []
    judged = module.Round.evidence
    monkeypatch.setattr(
        module.Round, "evidence", lambda self, updates: seen.append(updates[-1].norm().item()) or judged(self, updates)
    )
    play(replace(CELL, strategy="zeno", attack="optimised_ipm", n_rounds=1))
    assert len(set(seen)) == 15
    assert seen[1] == pytest.approx(2 * seen[0])


def test_a_rule_that_cant_work_keeps_the_model_and_is_counted():
    """A field too small for the rule's number of attackers refuses every round, and the model stays where it was."""
    cell = replace(CELL, strategy="krum", stated=3)
    result = play(cell)
    assert result["n_refused"] == cell.n_rounds
    assert result["distance"] == pytest.approx(1.0)


def test_a_rule_can_be_left_to_its_own_estimate():
    """Told "auto", it works as when told nothing."""
    cell = replace(CELL, strategy="trimmed_mean", attack="sign_flip")
    assert measured(play(replace(cell, stated="auto"))) == measured(play(cell))


def test_an_unknown_attack_is_refused_in_words():
    """The error lists what there is."""
    with pytest.raises(CastError, match="'ghost' is unknown"):
        play(replace(CELL, attack="ghost"))


def test_a_task_without_accuracy_is_refused(monkeypatch):
    """The arena ranks by accuracy; the error says which method to write."""
    module._prepared.cache_clear()
    monkeypatch.setattr(type(module._prepared(CELL.app_dir, "")[0]), "correct", Task.correct)
    module._prepared.cache_clear()
    with pytest.raises(TaskError, match="no accuracy"):
        play(CELL)


def test_nobody_sees_the_test_data():
    """Clients and the validator work on other examples than those that the last model is measured on."""
    task = module._prepared(CELL.app_dir, "")[0]
    trained, test = module.divided(task.training_data())
    assert len(test) == int(0.2 * len(task.training_data()))
    seen = {tuple(row.flatten().tolist()) for row in (*trained.inputs, *task.validation_data().inputs)}
    assert not seen & {tuple(row.flatten().tolist()) for row in test.inputs}
    assert len(trained) + len(test) == len(task.training_data())


def test_the_trusted_update_is_of_samples_that_credit_is_not_taken_on(monkeypatch):
    """As in a subnet's round, where the pool has more samples than a round draws."""
    trained = []
    game = module._open(replace(CELL, strategy="fltrust"))
    monkeypatch.setattr(
        type(game.trainer), "train", lambda self, base, shards, draws: trained.extend(shards) or base.new_zeros(1, 1)
    )
    known = game.judge.look(game.rule, game.base, None, 1)

    def rows(part):
        return {tuple(row.flatten().tolist()) for row in part.inputs}

    [own] = trained
    held_out, drawn = rows(game.task.validation_data()), set().union(*map(rows, known.batches))
    assert rows(own) <= held_out
    assert not rows(own) & drawn or drawn == held_out
