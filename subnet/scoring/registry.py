"""The scorers by name."""

import difflib

from subnet.errors import SpecError
from subnet.scoring.base import Scorer
from subnet.scoring.individual import Individual
from subnet.scoring.path_credit import PathCredit
from subnet.spec import ScoringSection

SCORERS: dict[str, type[PathCredit | Individual]] = {scorer.name: scorer for scorer in (PathCredit, Individual)}


def create(settings: ScoringSection) -> Scorer:
    """Return the scorer that the spec names.

    Raises:
        SpecError: no scorer has that name.
    """
    found = SCORERS.get(settings.scorer)
    if found is None:
        close = difflib.get_close_matches(settings.scorer, SCORERS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise SpecError(f"scoring.scorer = {settings.scorer!r} is unknown", remedy=f"{hint}use {', '.join(SCORERS)}")
    return found(settings)
