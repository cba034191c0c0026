"""The example of a strategy of one's own works as its README says."""

import doctest
import importlib
import sys
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
import torch

import strategies
from strategies import mixing, registry  # noqa: F401 -- registers the mixers
from strategies.errors import SettingsError

FOLDER = Path(__file__).parents[2] / "examples" / "custom_strategy"


@pytest.fixture(autouse=True)
def on_the_path(monkeypatch):
    """The example's folder in PYTHONPATH, and nothing of it left afterwards."""
    monkeypatch.syspath_prepend(FOLDER)
    yield
    for name in ("my_strategy", "test_my_strategy"):
        sys.modules.pop(name, None)


def test_the_rule_passes_its_own_test():
    """Its one-line test, and the numbers in its docstring."""
    importlib.import_module("test_my_strategy").test_typical_norm()
    assert doctest.testmod(importlib.import_module("my_strategy")).failed == 0


def test_it_is_named_by_its_import_path_mixers_in_front():
    """As in subnet.toml, settings checked like any rule's."""
    updates = torch.tensor([[1.0], [2.0], [3.0], [90.0]])
    rule = strategies.create("my_strategy:TypicalNorm", keep_share=0.5)
    assert rule.aggregate(updates).update.tolist() == [2.5]
    mixed = strategies.create("nnm+my_strategy:TypicalNorm", n_byzantine=1, keep_share=0.6)
    assert mixed.name == "nnm+typical_norm"
    assert mixed.aggregate(updates).update.isfinite().all()
    with pytest.raises(SettingsError, match=r"typical_norm: keep_share=2\.0 is outside"):
        strategies.create("my_strategy:TypicalNorm", keep_share=2.0)


def test_its_entry_point_gives_it_a_name(monkeypatch):
    """The entry point that its pyproject.toml declares."""
    declared = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]["entry-points"]
    points = [EntryPoint(name, value, registry.ENTRY_POINTS) for name, value in declared["subnet.strategies"].items()]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)
    assert strategies.create("typical_norm").name == "typical_norm"
