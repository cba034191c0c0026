"""The scorers by name."""

import difflib

from subnet.errors import RunError, SpecError
from subnet.scoring.base import Scorer
from subnet.scoring.cosine import Cosine
from subnet.scoring.gauntlet import Gauntlet
from subnet.scoring.individual import Individual
from subnet.scoring.leave_one_out import LeaveOneOut
from subnet.scoring.path_credit import PathCredit
from subnet.scoring.plain import Plain
from subnet.scoring.shapley import Shapley
from subnet.spec import ScoringSection

SCORERS: dict[str, type[PathCredit] | type[Plain]] = {
    scorer.name: scorer for scorer in (PathCredit, Individual, Gauntlet, LeaveOneOut, Shapley, Cosine)
}
"""The default first."""


def create(settings: ScoringSection) -> Scorer:
    """Return the scorer that the spec names.

    Raises:
        SpecError: no scorer has that name.
    """
    found = SCORERS.get(settings.scorer)
    if found is None:
        raise SpecError(f"scoring.scorer = {settings.scorer!r} is unknown", remedy=_what_there_is(settings.scorer))
    return found(settings)


def named(name: str, settings: ScoringSection) -> Scorer:
    """Return another scorer than the spec's, under the spec's constants.

    Raises:
        RunError: no scorer has that name.
    """
    if name not in SCORERS:
        raise RunError(f"scorer {name!r} is unknown", remedy=_what_there_is(name))
    return SCORERS[name](settings)


def _what_there_is(name: str) -> str:
    close = difflib.get_close_matches(name, SCORERS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}use {', '.join(SCORERS)}"
