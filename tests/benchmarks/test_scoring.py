"""benchmarks/scoring: its figures against values known otherwise, its data divisions, and each part at a tiny size."""

import doctest
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.scoring import __main__ as command
from benchmarks.scoring import checks, cost, fairness, figures, models, shapley
from benchmarks.scoring.report import Bar
from benchmarks.scoring.runs import task_of


@pytest.mark.parametrize("module", [figures, fairness, command])
def test_the_documented_values_hold(module):
    """The modules' doctests run and pass."""
    result = doctest.testmod(module)
    assert result.attempted >= 1
    assert result.failed == 0


def test_the_auc_is_scikit_learns():
    """With ties and without, of lists of unequal length."""
    draw = np.random.default_rng(0)
    for digits in (0, 1, 9):
        high, low = draw.normal(0.5, 1, 40).round(digits), draw.normal(0, 1, 70).round(digits)
        expected = roc_auc_score([1] * 40 + [0] * 70, [*high, *low])
        assert figures.auc(list(high), list(low)) == pytest.approx(expected, abs=1e-12)


def test_the_correlation_is_numpys_and_none_without_variation():
    """Nothing can be said of a list that doesn't vary."""
    one, other = np.random.default_rng(1).normal(size=(2, 9))
    assert figures.pearson(one, other) == pytest.approx(np.corrcoef(one, other)[0, 1], abs=1e-12)
    assert figures.pearson([1.0, 1.0], [1.0, 2.0]) is None


def scenario(n):
    return SimpleNamespace(each=("honest",) * n)


@pytest.fixture
def played(monkeypatch):
    """Coalitions whose worth is a function of who doesn't crash, instead of a run."""

    def game(worth):
        def play(roles):
            record = {"val_loss_before": 3.0, "val_loss_after": 3.0 - worth(roles)}
            return SimpleNamespace(rounds=[SimpleNamespace(record=record)])

        def trained(_, roles):
            return {place for place, role in enumerate(roles) if role == "honest"}

        monkeypatch.setattr(shapley, "with_roles", trained)
        monkeypatch.setattr(shapley, "play", play)

    return game


def test_in_a_sum_everyone_is_worth_its_own_part(played):
    """Shapley's additivity: 2^4 coalitions of a sum give back what everyone adds."""
    parts = [0.5, -0.25, 0.0, 1.0]
    played(lambda members: sum(parts[place] for place in members))
    assert figures.shapley(shapley.coalition_values(scenario(4))) == pytest.approx(parts)


def test_the_glove_game_has_its_known_value(played):
    """One has a left glove, two have right ones, and a pair is worth 1: 2/3, 1/6 and 1/6 (Shapley and Shubik 1969)."""
    played(lambda members: float(0 in members and bool(members & {1, 2})))
    worth = shapley.coalition_values(scenario(3))
    assert worth == pytest.approx([0, 0, 0, 1, 0, 1, 0, 1])
    assert figures.shapley(worth) == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_unequal_clients_hold_from_all_to_a_tenth_and_one_has_wrong_labels():
    """The parts shrink evenly; only the third one's labels aren't those of its images."""
    task = task_of("optdigits")
    data = task.training_data()
    truth = {image.numpy().tobytes(): int(label) for image, label in zip(data.inputs, data.targets, strict=True)}
    shards = shapley.unequal_shards(task, 8, partition="iid", seed=3)
    whole = len(data) / 8
    assert [len(shard) / whole for shard in shards] == pytest.approx(list(np.linspace(1, 0.1, 8)), abs=0.02)
    wrong = [
        sum(truth[image.numpy().tobytes()] != int(label) for image, label in zip(one.inputs, one.targets, strict=True))
        for one in shards
    ]
    assert [place for place, count in enumerate(wrong) if count] == [2]
    assert 0.3 < wrong[2] / len(shards[2]) < 0.6


@pytest.mark.parametrize("whole", [False, True])
def test_the_minority_alone_holds_its_classes(whole):
    """Nobody else has any example of them, and it has none of the others."""
    task = task_of("optdigits")
    lone, *others = fairness.minority_shards(task, 20, seed=1, rare=(4, 7), whole=whole)
    assert set(lone.targets.tolist()) == {4, 7}
    assert all(not {4, 7} & set(shard.targets.tolist()) for shard in others)
    n_rare = int(((task.training_data().targets == 4) | (task.training_data().targets == 7)).sum())
    assert len(lone) == (n_rare if whole else len(others[0]))
    assert sum(len(shard) for shard in others) == len(task.training_data()) - n_rare


def test_free_riding_in_a_round_is_told_from_that_over_all_rounds():
    """Both bear the same word on a receipt: as a reason for rejection, and as a reason for no pay."""
    gated = {"status": "rejected", "reason": "free_riding", "zero_because": "ineligible"}
    over_time = {"status": "accepted", "reason": "", "zero_because": "free_riding"}
    copied = {"status": "rejected", "reason": "copy", "zero_because": "ineligible"}
    assert [fairness._why(one) for one in (gated, over_time, copied)] == ["gate", "free_riding", "copy"]


def test_thresholds_look_to_the_suspicious_side():
    """A long update and one that points uphill are beyond; the strike rule wants all of its thresholds."""
    assert checks.is_beyond("norm_ratio", 3.6)
    assert not checks.is_beyond("norm_ratio", 3.5)
    assert checks.is_beyond("gradient_cosine", -0.1)
    assert not checks.is_beyond("gradient_cosine", 0.1)
    seen = [{"norm_ratio": 9, "own_norm_ratio": own, "z": z} for own, z in ((9, -4), (9, 4), (2, -4), (None, -4))]
    assert [checks.is_strike(one) for one in seen] == [True, False, False, True]


def test_a_bar_holds_at_its_limit_and_not_beyond():
    """Both ways; what couldn't be measured doesn't hold."""
    values = [(0.25, True), (0.251, True), (0.25, False), (0.249, False), (None, True)]
    bars = [Bar(text="", value=value, limit=0.25, at_most=at_most) for value, at_most in values]
    assert [bar.met for bar in bars] == [True, False, True, False, False]


def test_a_stopwatch_counts_inner_work_once(monkeypatch):
    """What runs inside another label's function is taken off that one."""
    now = [0.0]
    monkeypatch.setattr(cost.time, "process_time", lambda: now[0])

    def take(seconds):
        now[0] += seconds

    watch = cost.Stopwatch()
    inner = watch.wrapped("inner", lambda: take(2.0))

    def outside():
        take(1.0)
        inner()
        inner()

    watch.wrapped("outer", outside)()
    assert watch.seconds == {"inner": 4.0, "outer": 1.0}


def test_the_sequences_repeat_and_the_transformer_learns_from_them():
    """The same draw gives the same; the model has 1 to 3 million parameters, and a loss near log 64 at first."""
    one, two = (models.markov(5, 9, torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(one, two)
    task, model = models.Sequences(), models.Transformer()
    assert 1e6 < sum(values.numel() for values in model.parameters()) < 3e6
    batch = task.validation_data().take(torch.arange(4))
    assert float(task.loss(model, batch).detach()) == pytest.approx(np.log(64), abs=0.5)


TINY = {
    "cost": ["--clients", "3", "--evaluated", "2", "--repeats", "1", "--models", "cnn"],
    "shapley": ["--clients", "3", "--rounds", "2", "--seeds", "0", "--partitions", "iid"],
    "evenness": ["--clients", "4", "--rounds", "2", "--seeds", "0", "--partitions", "iid,dirichlet:0.5"],
    "minority": ["--clients", "4", "--rounds", "2", "--seeds", "0"],
    "outliers": ["--clients", "5", "--cheating", "2", "--rounds", "2", "--seeds", "0", "--partitions", "iid",
                 "--cheats", "sign_flip,noise"],
}  # fmt: skip


@pytest.mark.parametrize("part", TINY)
def test_every_part_runs(part, capsys):
    """At a tiny size, in both forms; a missed bar is an exit status, not a failure."""
    for form in ([], ["--json"]):
        try:
            command.main([part, *TINY[part], *form])
        except SystemExit as ended:
            assert ended.code == "a bar was missed"  # noqa: PT017 -- whether it is met isn't the test's business
        told = capsys.readouterr().out
        if form:
            found = json.loads(told)
            assert found["part"] == part
            assert found["rows"]
        else:
            assert "| --- |" in told


def test_the_outliers_part_tells_a_reversed_update_by_its_cosine(capsys):
    """Sign flips point uphill, so the two checks that look at the loss see them nearly always."""
    command.main(["outliers", *TINY["outliers"], "--json"])
    rows = {row["cheat"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["sign_flip"]["gradient_cosine_auc"] > 0.9
    assert rows["sign_flip"]["first_z_auc"] > 0.9
    assert rows["sign_flip"]["n_honest_rounds"] == 10


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (["evenness", "--seeds", "3-1"], "3-1"),
        (["evenness", "--partitions", "round"], "round"),
        (["cost", "--models", "rnn"], "rnn"),
        (["outliers", "--cheats", "saint"], "saint"),
        (["shapley", "--clients", "2"], "from 3 on"),
    ],
)
def test_bad_options_are_named(given, word, capsys):
    """One line says which value is wrong."""
    with pytest.raises(SystemExit):
        command.arguments(given)
    assert word in capsys.readouterr().err
