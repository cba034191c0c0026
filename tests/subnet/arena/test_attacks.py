"""What the targeted attacks aim at."""

import torch

from clients.adversaries import Backdoor, mark
from clients.task import Examples, load_task
from subnet.arena.attacks import aim, attack_names
from tests.endtoend.conftest import BLOBS


def test_the_backdoor_aims_at_marked_inputs_of_other_labels():
    """The target label on every input that isn't of that label already."""
    task = load_task(BLOBS, "blobs.task:Blobs")
    held_out = task.validation_data()
    wanted = aim("backdoor", task, held_out)
    others = held_out.take((held_out.targets != 0).nonzero().flatten())
    assert bool((wanted.targets == 0).all())
    assert torch.equal(wanted.inputs, mark(held_out.inputs)[held_out.targets != 0])
    assert len(wanted) == len(others)


def test_the_label_flip_aims_at_turned_labels():
    """Of four labels all are turned: none is its own opposite."""
    task = load_task(BLOBS, "blobs.task:Blobs")
    held_out = task.validation_data()
    wanted = aim("label_flip", task, held_out)
    assert torch.equal(wanted.targets, 3 - held_out.targets)
    assert torch.equal(wanted.inputs, held_out.inputs)


def test_the_other_attacks_aim_at_nothing():
    """They only do damage, which accuracy shows."""
    task = load_task(BLOBS, "blobs.task:Blobs")
    assert [name for name in attack_names() if aim(name, task, task.validation_data())] == ["label_flip", "backdoor"]


def test_the_backdoor_marks_half_and_only_half():
    """Every other example carries the mark and the target label, the others are untouched."""
    inputs = torch.rand(6, 1, 8, 8) * 0.5
    examples = Examples(inputs=inputs, targets=torch.arange(6) + 3)
    poisoned = Backdoor().data(examples)
    assert torch.equal(poisoned.inputs[1::2], inputs[1::2])
    assert torch.equal(poisoned.inputs[::2], mark(inputs)[::2])
    assert poisoned.targets.tolist() == [0, 4, 0, 6, 0, 8]
    assert bool((mark(inputs)[..., :3, :3] == inputs.max()).all())
    assert torch.equal(mark(inputs)[..., 3:, :], inputs[..., 3:, :])
