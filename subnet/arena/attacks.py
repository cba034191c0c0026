"""The attacks of the arena: what a single client can do, and what colluding ones can; and how far they got."""

from clients.adversaries import Backdoor, LabelFlip, informed, mark
from clients.attacks import ATTACKS
from clients.behaviour import Behaviour
from clients.cast import KINDS
from clients.errors import CastError
from clients.task import Examples, Task

NO_ATTACK = "none"
SINGLE_ATTACKS = ("sign_flip", "scaling", "noise", "zero", "label_flip", "backdoor", "nan")
"""Kinds of cheats that act on what a single client knows, and can take part."""


def attack_names() -> list[str]:
    """Return the names of all attacks, `none` first."""
    return [NO_ATTACK, *SINGLE_ATTACKS, *ATTACKS]


def checked(name: str) -> str:
    """Return an attack's name if it is one.

    Raises:
        CastError: it isn't.
    """
    if name not in attack_names():
        raise CastError(f"attack {name!r} is unknown", remedy=f"use one of {', '.join(attack_names())}")
    return name


def behaviour(attack: str, task: Task) -> Behaviour:
    """Return what a client does in an attack of the single kind."""
    return informed(KINDS[attack](), task.training_data())


def aim(attack: str, task: Task, test: Examples) -> Examples | None:
    """Return test inputs with the answers that an attack wants of the model.

    The backdoor wants its label wherever its mark is, the label flip its turned labels. Inputs whose true answer that
    is are left out.

    Args:
        attack: its name.
        task: what is trained.
        test: examples that nobody trained on.

    Returns:
        The examples; None for an attack that only does damage, or where nothing is left.
    """
    if attack == Backdoor.kind:
        target = Backdoor().target
        wanted = Examples(inputs=mark(test.inputs), targets=test.targets.new_full(test.targets.shape, target))
    elif attack == LabelFlip.kind:
        wanted = behaviour(attack, task).data(test)
    else:
        return None
    others = (wanted.targets != test.targets).reshape(len(test), -1).any(1).nonzero().flatten()
    return wanted.take(others) if len(others) else None
