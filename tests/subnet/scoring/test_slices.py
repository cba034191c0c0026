"""Slices: who teaches one label as another is found, and who merely lacks a label isn't."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from clients.settings import TrainingSettings
from clients.task import Examples
from clients.training import train
from subnet.engine.simulate import Scenario
from subnet.errors import SpecError
from subnet.judge import _slice
from subnet.rescore import rescore
from subnet.run_files import LEDGER_NAME
from subnet.scoring import slices
from subnet.scoring.history import History, PastRound
from subnet.scoring.objective import Objective
from subnet.scoring.path_credit import PathCredit
from subnet.spec import ScoringSection
from subnet.state import restore

ON = ScoringSection(slices="label")
AT_ONCE = ON.model_copy(update={"slice_rounds": 1})
TRAINING = TrainingSettings(epochs=2, batch_size=16, learning_rate=0.05)


def appraise(field, rules=AT_ONCE, history=None):
    history = history or History()
    return slices.look(field, PathCredit(rules).appraise(field, history), history, rules)


def draw(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="session")
def settled(task, base):
    """A model that tells the blobs apart already, as after some rounds."""
    settings = TrainingSettings(epochs=3, batch_size=16, learning_rate=0.05)
    return base + train(task, base, task.training_data(), settings, draw=draw(0))


@pytest.fixture(scope="session")
def mixed(task, settled):
    """Nine updates `(9, n_params)` from there, on parts of the data.

    Six have all labels, the seventh lacks the label 3, the eighth has labels 0, 1 and 8 only, and the ninth has each 3
    labelled as 8.
    """
    data = task.training_data()
    parts = [data.take(part) for part in torch.randperm(len(data), generator=draw(1)).tensor_split(9)]
    parts[6] = parts[6].take((parts[6].targets != 3).nonzero().flatten())
    parts[7] = parts[7].take(torch.isin(parts[7].targets, torch.tensor([0, 1, 8])).nonzero().flatten())
    parts[8] = replace(parts[8], targets=parts[8].targets.masked_fill(parts[8].targets == 3, 8))
    return torch.stack([train(task, settled, part, TRAINING, draw=draw(2)) for part in parts])


@pytest.fixture
def field(make_field, mixed, settled):
    """These nine, judged from the settled model."""
    return replace(make_field(mixed), base=settled)


@pytest.fixture(scope="session")
def gradient64(task, layout):
    """Gradient at a point in float64, of inputs under labels, by a model of its own."""
    model = task.model().double()

    def gradient(point, inputs, targets):
        point = point.double().requires_grad_()
        logits = functional_call(model, layout.split(point), (inputs.double(),))
        return torch.autograd.grad(functional.cross_entropy(logits, targets), point)[0]

    return gradient


def middle_of(field, found):
    return field.base + 0.5 * (found.clip[:, None] * field.updates.double()).mean(0)


def test_slice_credits_weighted_by_size_sum_to_the_credit(field, gradient64):
    """The credits of all labels, each by its share of the draw, are the credit of the whole draw, by hand."""
    found = appraise(field)
    inputs = torch.cat([batch.inputs for batch in field.batches])
    targets = torch.cat([batch.targets for batch in field.batches])
    assert found.slices.names == tuple(range(10))
    sizes = torch.bincount(targets).double()
    gradient = gradient64(middle_of(field, found), inputs, targets)
    expected = -found.clip * (field.updates.double() @ gradient) / field.n
    total = (sizes[:, None] * found.slices.credit).sum(0) / sizes.sum()
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-7)


def test_rises_are_those_of_a_slow_oracle(field, gradient64):
    """Every slice under every label, by float64 autograd."""
    found = appraise(field)
    _, rises = slices.measure(field, replace(found, slices=None))
    middle = middle_of(field, found)
    inputs = torch.cat([batch.inputs for batch in field.batches])
    targets = torch.cat([batch.targets for batch in field.batches])
    for row, column in ((3, 8), (3, 3), (8, 3), (0, 9)):
        part = inputs[targets == row]
        gradient = gradient64(middle, part, torch.full((len(part),), column))
        expected = -found.clip * (field.updates.double() @ gradient)
        torch.testing.assert_close(rises[row, column], expected, rtol=1e-4, atol=1e-6)


def test_confusion_is_what_the_docstring_says():
    """Against loops over every pair and update, by the definition."""
    k, n = 5, 4
    rises = torch.randn(k, k, n, generator=draw(3), dtype=torch.float64)
    found = slices.confusion(rises)
    for a, b, i in product(range(k), range(k), range(n)):
        turn = [[float(rises[x, y, i] - rises[x, :, i].mean()) for y in range(k)] for x in range(k)]
        own = turn[a][b] - sum(turn[x][b] for x in range(k) if x not in {a, b}) / (k - 2)
        gain = sum(max(0.0, float(rises[x, x, i])) for x in range(k))
        expected = 0.0 if a == b else max(0.0, own) * max(0.0, -float(rises[a, a, i])) / gain
        assert float(found[a, b, i]) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_who_teaches_one_label_as_another_is_found_and_who_lacks_it_is_not(field):
    """The flipper alone is over the limit, by 3 for 8; those without any 3 harm that label too."""
    found = appraise(field)
    assert found.slices.harmful.tolist() == [False] * 8 + [True]
    assert found.slices.worst[8] == (3, 8)
    assert (found.slices.credit[3, 6:] < 0).all()
    assert found.excluded(field).tolist() == [False] * 8 + [True]
    told = _slice(8, found.slices)
    assert (told["harmed"], told["taken_for"], told["harmful"]) == (3, 8, True)
    assert told["credit"] < 0
    assert told["pairs"][0][:2] == [3, 8]
    assert len(told["pairs"]) <= slices.N_PAIRS


def test_the_limit_decides(field):
    """The same field under a limit just above the flipper's ratio has nobody over it."""
    ratio = float(appraise(field).slices.ratio[8])
    for limit, harmful in ((ratio * 1.001, False), (ratio * 0.999, True)):
        found = appraise(field, AT_ONCE.model_copy(update={"slice_limit": limit}))
        assert bool(found.slices.harmful[8]) == harmful


def test_several_rounds_count_and_a_first_one_counts_half(field):
    """The ratio is the mean over the rounds there are, of at least two; older rounds and other pairs don't count."""
    at_once = float(appraise(field).slices.ratio[8])
    settled = [PastRound(credits={}, slices={"i": {(3, 8): value}}) for value in (90.0, 2.0, 4.0)]
    other = PastRound(credits={}, slices={"i": {(1, 2): 0.5}})
    for rounds, expected in (
        ([], at_once / 2),
        (settled[:1], (at_once + 90.0) / 2),
        (settled, (at_once + 6.0) / 3),
        ([*settled, other], (at_once + 4.0) / 3),
    ):
        found = appraise(field, ON, History(tuple(rounds)))
        assert float(found.slices.ratio[8]) == pytest.approx(expected)
        assert found.slices.worst[8] == (3, 8)


def test_nothing_is_found_where_the_spec_asks_for_nothing(field, objective):
    """No gradient is taken, and the first look is what it was."""
    plain = PathCredit(ScoringSection()).appraise(field, History())
    before = objective.n_gradients
    assert slices.look(field, plain, History(), ScoringSection()) is plain
    assert objective.n_gradients == before
    slices.look(field, plain, History(), ON)
    assert objective.n_gradients == before + 10 * 10


def test_a_small_field_has_nothing_to_be_compared_with(field):
    """With fewer than five nobody is found, whatever they send."""
    few = [5, 6, 7, 8]
    found = appraise(
        replace(field, hotkeys=tuple("abcd"), arrivals=(0, 1, 2, 3), n_examples=(1,) * 4, updates=field.updates[few])
    )
    assert not found.slices.harmful.any()
    assert found.slices.worst == (None,) * 4


def test_a_field_that_moves_nothing_or_explodes_has_finite_numbers(field):
    """Zeros confuse nothing; where gradients overflow all numbers can be written on a receipt."""
    still = appraise(replace(field, updates=torch.zeros_like(field.updates)))
    assert not still.slices.harmful.any()
    wild = appraise(replace(field, base=torch.full_like(field.base, 1e38)))
    for found in (still, wild):
        assert torch.isfinite(found.slices.credit).all()
        assert torch.isfinite(found.slices.ratio).all()
        assert (found.slices.ratio <= slices.MAX_RATIO).all()


def test_rare_labels_are_left_out(field):
    """A label with fewer than five samples in the draw isn't looked at."""
    rare = [batch.take((batch.targets != 9).nonzero().flatten()) for batch in field.batches]
    rare[0] = field.batches[0].take((field.batches[0].targets >= 0).nonzero().flatten()[:40])
    found = appraise(replace(field, batches=tuple(rare)))
    counts = torch.bincount(torch.cat([batch.targets for batch in rare]), minlength=10)
    assert 0 < int(counts[9]) < slices.MIN_SAMPLES
    assert found.slices.names == tuple(range(9))


def of_type(task, **methods):
    """A task like another, with some methods of its own."""
    return type("Other", (type(task),), methods)()


def test_a_task_names_slices_of_its_own(field, task):
    """Odd and even labels as two domains: four gradients, and the pairs are of domains."""
    halves = of_type(
        task,
        slices=lambda _self, examples: examples.targets % 2,
        relabelled=lambda _self, examples, name: Examples(
            inputs=examples.inputs, targets=examples.targets - examples.targets % 2 + name
        ),
    )
    objective = Objective(halves)
    found = appraise(replace(field, objective=objective))
    assert found.slices.names == (0, 1)
    assert objective.n_gradients == 8 + 4


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (lambda _self, _examples: None, "Other has no integer label an example"),
        (lambda _self, examples: torch.zeros(len(examples), dtype=torch.int64), r"into 1 slices \(400 labels\)"),
        (lambda _self, examples: torch.arange(len(examples)), r"into 400 slices .* allowed are 2 to 32"),
        (lambda _self, _examples: torch.arange(5), r"400 validation examples into 5 slices \(5 labels\)"),
    ],
)
def test_a_task_without_usable_slices_is_refused(task, labels, said):
    """Where the spec asks for slices, the error says what the task has and what to do; otherwise nobody asks."""
    other = of_type(task, slices=labels)
    slices.check(other, task.validation_data(), ScoringSection())
    with pytest.raises(SpecError, match=said) as caught:
        slices.check(other, task.validation_data(), ON)
    assert "scoring.slices" in caught.value.remedy


def test_a_run_that_looks_at_slices_is_scored_again_and_goes_on_alike(game):
    """What a round remembers of slices is on the receipts: history read back, and a re-scoring, reach the same."""
    rules = {"slices": "label", "slice_limit": 1.5, "slice_rounds": 3}
    played = game("honest=6,targeted_flip=2", scoring=rules)
    played.play(4)
    assert restore(played.fixture).history == played.state.history
    assert all(one.slices for one in played.state.history.recent)
    outcomes = rescore(played.fixture, [played.fixture.scorer])
    assert all(outcome.receipts["path_credit"] == outcome.played.receipts for outcome in outcomes)
    receipts = [receipt for number in range(1, 5) for receipt in played.report(number).receipts.values()]
    harmful = [one for one in receipts if one["numbers"]["slice"]["harmful"]]
    assert harmful, "with so low a limit somebody is over it"
    for one in harmful:
        assert (one["status"], one["zero_because"], one["reward"]) == ("accepted", "slice_harm", 0)
        assert one["numbers"]["influence"] == 0
        assert set(one["counted"].values()) == {0.0}


def test_a_run_that_asks_for_missing_slices_is_refused(game, make_spec, app_dir, task, monkeypatch, tmp_path):
    """Both a simulation's own check and a validator that opens its folder refuse it, and no ledger is begun."""
    monkeypatch.setattr(type(task), "slices", lambda _self, _examples: None, raising=False)
    rules = {"slices": "label"}
    scenario = Scenario(
        spec=make_spec(scoring=rules), app_dir=app_dir, cast="honest=5", partition="iid", seed=0, n_rounds=1
    )
    with pytest.raises(SpecError, match="no integer label"):
        scenario.check()
    with pytest.raises(SpecError, match="no integer label"):
        game("honest=5", scoring=rules)
    assert not (tmp_path / "run" / LEDGER_NAME).exists()
