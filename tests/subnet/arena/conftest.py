"""Helpers of the arena's tests: a cell that is played in a moment, and a result that was never played."""

from subnet.arena.cell import Cell
from subnet.spec import load_spec
from tests.endtoend.conftest import BLOBS

CELL = Cell(
    subnet=str(BLOBS),
    spec=load_spec(BLOBS).hash,
    code="",
    strategy="mean",
    attack="none",
    partition="iid",
    n_clients=6,
    n_byzantine=2,
    stated=None,
    n_rounds=4,
    seed=0,
)


def measured(result):
    """A result without its times."""
    return {name: value for name, value in result.items() if not name.endswith("_s")}


def result(accuracy, **more):
    """A cell's result."""
    plain = {
        "loss": 1.0,
        "attack_success": None,
        "distance": 0.5,
        "n_refused": 0,
        "n_rounds_alive": 4,
        "aggregation_s": 0.1,
        "wall_s": 1.0,
    }
    return {"accuracy": accuracy, **plain, **more}
