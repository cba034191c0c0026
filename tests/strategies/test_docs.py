"""The examples in the docstrings."""

import doctest
import importlib
import pkgutil

import pytest

import strategies


@pytest.mark.parametrize(
    "name", ["strategies", *(m.name for m in pkgutil.walk_packages(strategies.__path__, "strategies."))]
)
def test_examples_in_docstrings(name):
    """Every example gives what it says."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0
