"""Scorers by name."""

import pytest

from subnet.errors import RunError, SpecError
from subnet.scoring import registry
from subnet.spec import ScoringSection

NAMES = ["path_credit", "individual", "gauntlet", "leave_one_out", "shapley", "cosine"]


@pytest.mark.parametrize("name", NAMES)
def test_a_scorer_is_made_by_its_name(name):
    """The spec's name gives the scorer of that name."""
    assert registry.create(ScoringSection(scorer=name)).name == name


def test_an_unknown_scorer_is_named_with_the_closest():
    """The error names the key and value, and the remedy what there is."""
    with pytest.raises(SpecError, match=r"scoring\.scorer = 'path_credits'") as caught:
        registry.create(ScoringSection(scorer="path_credits"))
    assert caught.value.remedy == f"did you mean 'path_credit'? use {', '.join(NAMES)}"
    with pytest.raises(RunError, match="scorer 'shaply' is unknown") as caught:
        registry.named("shaply", ScoringSection())
    assert caught.value.remedy.startswith("did you mean 'shapley'?")


def test_another_scorer_is_made_under_the_specs_constants():
    """By name, whatever the spec's own is."""
    rules = ScoringSection(gate_floor=0.25)
    assert [registry.named(name, rules).name for name in NAMES] == NAMES == list(registry.SCORERS)
    assert registry.named("path_credit", rules).settings is rules
