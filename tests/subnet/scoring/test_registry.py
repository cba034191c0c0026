"""Scorers by name."""

import pytest

from subnet.errors import SpecError
from subnet.scoring import registry
from subnet.spec import ScoringSection


@pytest.mark.parametrize("name", ["path_credit", "individual"])
def test_a_scorer_is_made_by_its_name(name):
    """The spec's name gives the scorer of that name."""
    assert registry.create(ScoringSection(scorer=name)).name == name


def test_an_unknown_scorer_is_named_with_the_closest():
    """The error names the key and value, and the remedy what there is."""
    with pytest.raises(SpecError, match=r"scoring\.scorer = 'path_credits'") as caught:
        registry.create(ScoringSection(scorer="path_credits"))
    assert caught.value.remedy == "did you mean 'path_credit'? use path_credit, individual"
