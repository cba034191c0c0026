"""A cell's key: everything that its result depends on, and nothing else."""

from dataclasses import replace

from subnet.arena import cell
from tests.subnet.arena.conftest import CELL


def test_the_key_is_of_all_that_matters_and_not_of_the_folder():
    """Every field but the subnet's place changes the key under which a result is kept."""
    assert replace(CELL, subnet="/elsewhere").key == CELL.key
    changes = {"spec": "x", "code": "x", "strategy": "krum", "attack": "nan", "partition": "dirichlet:1", "seed": 1}
    changes |= {"n_clients": 7, "n_byzantine": 1, "stated": 1, "n_rounds": 5}
    keys = {replace(CELL, **{name: value}).key for name, value in changes.items()}
    keys |= {replace(CELL, stated="auto").key}
    assert len(keys | {CELL.key}) == len(changes) + 2


def test_the_key_changes_with_the_version(monkeypatch):
    """Neither another version of the package nor another meaning of a cell is served what was played before."""
    before = CELL.key
    monkeypatch.setattr(cell, "VERSION", cell.VERSION + 1)
    raised = CELL.key
    monkeypatch.setattr(cell, "__version__", "999")
    assert len({before, raised, CELL.key}) == 3
