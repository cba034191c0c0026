"""The contract between a task and everything else: a model is a flat float32 vector."""

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from clients.errors import TaskError
from clients.task import Examples, ModelLayout, evaluate, load_task


def numbers(n):
    return Examples(inputs=torch.arange(n, dtype=torch.float32)[:, None], targets=torch.arange(n))


def test_examples_pair_inputs_with_targets():
    """Inputs and targets of different lengths are refused, and the error names both."""
    with pytest.raises(TaskError, match="3 inputs but 2 targets") as caught:
        Examples(inputs=torch.zeros(3, 2), targets=torch.zeros(2))
    assert caught.value.remedy


@given(n=st.integers(0, 50), size=st.integers(1, 60))
def test_batches_hold_every_example_once_and_in_order(n, size):
    """Consecutive batches are full but for the last, and together they are the examples."""
    batches = list(numbers(n).batches(size))
    assert [int(target) for batch in batches for target in batch.targets] == list(range(n))
    assert all(torch.equal(batch.inputs[:, 0].long(), batch.targets) for batch in batches)
    assert all(len(batch) == size for batch in batches[:-1])
    assert all(0 < len(batch) <= size for batch in batches)


def test_take_keeps_the_given_order():
    """Examples come back in the order of their indices, inputs beside their own targets."""
    taken = numbers(9).take(torch.tensor([7, 0, 7, 2]))
    assert taken.targets.tolist() == [7, 0, 7, 2]
    assert taken.inputs[:, 0].tolist() == [7.0, 0.0, 7.0, 2.0]


@given(seed=st.integers(0, 2**31))
def test_a_vector_written_to_a_model_is_read_back_bit_for_bit(task, layout, seed):
    """`read` after `write` is the identity, and splitting and joining is too."""
    flat = torch.randn(layout.n_params, generator=torch.Generator().manual_seed(seed))
    model = task.model()
    layout.write(model, flat)
    assert torch.equal(layout.read(model), flat)
    assert torch.equal(layout.join(layout.split(flat)), flat)


def test_the_layout_follows_the_models_own_order(task, layout):
    """Names, shapes and offsets are those of `named_parameters`."""
    model = task.model()
    assert layout.names == tuple(name for name, _ in model.named_parameters())
    assert layout.shapes == tuple(tuple(parameter.shape) for parameter in model.parameters())
    assert torch.equal(layout.read(model), nn.utils.parameters_to_vector(model.parameters()))
    assert layout.n_params == sum(parameter.numel() for parameter in model.parameters())


def test_reading_a_model_takes_a_copy(task, layout):
    """A vector that was read off a model doesn't change when the model does."""
    model = task.model()
    before = layout.read(model)
    kept = before.clone()
    layout.write(model, before + 1)
    assert torch.equal(before, kept)


def test_frozen_parameters_stay_out_of_the_vector():
    """A parameter that isn't trained is neither read nor written."""
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].requires_grad_(requires_grad=False)
    frozen = model[0].weight.clone()
    layout = ModelLayout.of(model)
    assert layout.names == ("1.weight", "1.bias")
    assert layout.n_params == 4
    layout.write(model, torch.ones(4))
    assert torch.equal(model[0].weight, frozen)


def test_the_gradient_is_that_of_finite_differences_in_float64(task, layout, base):
    """Every coordinate of a random direction agrees with a central difference of the float64 loss."""
    batch = task.training_data().take(torch.arange(40))
    model = task.model()
    layout.write(model, base)
    found = layout.gradient(model, task.loss(model, batch)).double()
    wide = task.model().double()

    def loss(flat):
        with torch.no_grad():
            logits = functional_call(wide, layout.split(flat), (batch.inputs.double(),))
            return float(functional.cross_entropy(logits, batch.targets))

    centre, step = base.double(), 1e-6
    expected = torch.empty_like(centre)
    for index in range(layout.n_params):
        shift = torch.zeros_like(centre)
        shift[index] = step
        expected[index] = (loss(centre + shift) - loss(centre - shift)) / (2 * step)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-6)


def test_the_gradient_of_an_unused_parameter_is_zero():
    """A parameter that the loss doesn't touch has a gradient of zeros, in its place."""
    model = nn.ModuleDict({"unused": nn.Linear(2, 1), "used": nn.Linear(1, 1, bias=False)})
    layout = ModelLayout.of(model)
    gradient = layout.gradient(model, model["used"](torch.tensor([[3.0]])).sum())
    assert dict(zip(layout.names, [2, 1, 1], strict=True)) == {"unused.weight": 2, "unused.bias": 1, "used.weight": 1}
    assert gradient.tolist() == [0.0, 0.0, 0.0, 3.0]


class WithBuffer(nn.Module):
    def __init__(self, *, persistent):
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.register_buffer("running", torch.zeros(1), persistent=persistent)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), "1.num_batches_tracked, 1.running_mean"),
        (WithBuffer(persistent=True), "running"),
        (nn.Linear(2, 2).double(), "weight is torch.float64"),
        (nn.Linear(2, 2).half(), "weight is torch.float16"),
        (nn.ReLU(), "no trainable parameter"),
        (nn.Linear(2, 2).requires_grad_(requires_grad=False), "no trainable parameter"),
    ],
)
def test_a_model_that_cant_be_averaged_is_refused(model, said):
    """Batch statistics, other types than float32 and nothing to train are found at once, with a remedy."""
    with pytest.raises(TaskError, match=said) as caught:
        ModelLayout.of(model)
    assert caught.value.remedy


def test_a_buffer_that_isnt_kept_is_allowed():
    """A non-persistent buffer is no state of the model."""
    assert ModelLayout.of(WithBuffer(persistent=False)).names == ("linear.weight", "linear.bias")


@pytest.mark.parametrize("batch_size", [1, 7, 128, 400, 1000])
def test_evaluation_doesnt_depend_on_the_batches(task, layout, base, batch_size):
    """Mean loss and accuracy are those of all examples at once, also when the last batch is smaller."""
    model = task.model()
    layout.write(model, base)
    pool = task.validation_data()
    with torch.no_grad():
        whole, correct = float(task.loss(model, pool)), int(task.correct(model, pool))
    loss, accuracy = evaluate(task, model, pool, batch_size=batch_size)
    assert loss == pytest.approx(whole, rel=1e-5)
    assert accuracy == correct / len(pool)


def test_a_task_without_accuracy_has_none(app_dir):
    """Where a task can't count what is right, accuracy is None and the loss is still there."""
    task = load_task(app_dir, "toy_task:Unmeasured")
    loss, accuracy = evaluate(task, task.model(), task.validation_data())
    assert accuracy is None
    assert loss > 0


def test_a_task_is_loaded_once_a_process(app_dir, task):
    """The same reference gives the same object, and the folder doesn't stay on the import path."""
    assert load_task(app_dir, "toy_task:Toy") is task
    assert str(app_dir) not in sys.path


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("no_such_module_here:Toy", "can't import 'no_such_module_here'"),
        ("toy_task:Absent", "no Task class named 'Absent'"),
        ("toy_task:NOT_A_TASK", "no Task class named 'NOT_A_TASK'"),
        ("toy_task:blobs", "no Task class named 'blobs'"),
        ("toy_task:Examples", "no Task class named 'Examples'"),
        ("toy_task", "no Task class named ''"),
    ],
)
def test_a_reference_to_no_task_is_refused(app_dir, reference, said):
    """A missing module or class, or one that is no Task, is named in the error."""
    with pytest.raises(TaskError, match=said) as caught:
        load_task(app_dir, reference)
    assert caught.value.remedy
    assert str(app_dir) not in sys.path


def test_a_task_with_a_method_left_out_is_refused_in_words(tmp_path):
    """An unfinished subclass of Task is a TaskError that names what is missing, not Python's TypeError."""
    (tmp_path / "unfinished_toy_task.py").write_text(
        "from clients.task import Task\n\n\nclass Half(Task):\n    def model(self):\n        return None\n"
    )
    with pytest.raises(TaskError, match="validation_data"):
        load_task(tmp_path, "unfinished_toy_task:Half")


@pytest.mark.parametrize("targets", [torch.zeros(4), torch.zeros(4, 2, dtype=torch.int64)])
def test_only_integer_labels_are_slices(task, targets):
    """One integer an example is its slice; numbers to regress on, or several labels an example, are none."""
    labelled = Examples(inputs=torch.ones(4, 12), targets=torch.tensor([3, 0, 3, 1]))
    assert task.slices(labelled).tolist() == [3, 0, 3, 1]
    assert task.slices(Examples(inputs=labelled.inputs, targets=targets)) is None


def test_relabelled_examples_keep_their_inputs(task):
    """Only the targets change, and the given examples stay as they were."""
    labelled = Examples(inputs=torch.ones(4, 12), targets=torch.tensor([3, 0, 3, 1]))
    other = task.relabelled(labelled, 8)
    assert other.targets.tolist() == [8] * 4
    assert other.inputs is labelled.inputs
    assert labelled.targets.tolist() == [3, 0, 3, 1]
