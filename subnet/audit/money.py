"""The ledger under audit: its postings, its log, the key that was published and a checkpoint that somebody kept."""

import re
from pathlib import Path

from subnet.audit.compare import Agreement
from subnet.audit.findings import Report
from tokenomics.ledger import Checkpoint, Ledger, Verification, verify_ledger
from tokenomics.note import VerifierKey

_ROUND = re.compile(r"^round (\d+): ")
_HOTKEY = re.compile(r"(?:participant|pending):([0-9a-f]{64})")
_VALUES = re.compile(
    r"^(?P<what>.*?) (?:is paid|is|has|issue) (?P<recorded>.*?),(?: but .*?)? (?:recomputed|due) (?P<due>.*)$"
)


def check_ledger(path: Path, report: Report, *, key: VerifierKey | None) -> int:
    """Enter what the ledger's own verification finds: of the money as `postings`, of the signed chain as `log`.

    Returns:
        How many rounds the ledger has.
    """
    found = verify_ledger(path, validator=key.public if key else None)
    in_log = set(found.log_errors)
    for layer, problems in (
        ("postings", [one for one in found.errors if one not in in_log]),
        ("log", found.log_errors),
    ):
        for problem in sorted(problems, key=lambda one: _HOTKEY.search(one) is None):  # whoever is paid wrongly, first
            _enter(report, layer, problem)
        _count(report, layer, found, problems)
    return found.rounds


def check_key(ledger: Ledger, report: Report, key: VerifierKey) -> None:
    """Check that the ledger's log is the one whose key was published."""
    report.check("log", 0, what="key", recorded=str(ledger.key), recomputed=str(key))


def check_kept(
    ledger: Ledger, report: Report, kept: Checkpoint, rows: dict[int, str], *, key: VerifierKey | None
) -> None:
    """Check that the ledger extends a checkpoint that somebody kept.

    Args:
        ledger: to be held to it.
        report: takes the check.
        kept: what was signed then.
        rows: the log's root by round, 0 for the genesis; they are the log's, which its verification has shown.
        key: the published one, if it is known.
    """
    public = key.public if key else ledger.genesis.validator
    number = kept.round
    if not kept.verify(public):
        report.check("log", number, what="kept checkpoint", recorded="signed by another key", recomputed=public)
    else:
        root = rows.get(number, f"the ledger ends at round {max(rows)}")
        report.check("log", number, what="root at the kept checkpoint", recorded=root, recomputed=kept.tree.root)


def _enter(report: Report, layer: str, problem: str) -> None:
    where = _ROUND.match(problem)
    words = problem[where.end() :] if where else problem
    whose = _HOTKEY.search(words)
    values = _VALUES.match(words)
    report.check(
        layer,
        int(where.group(1)) if where else 0,
        whose.group(1) if whose else "",
        what=values.group("what") if values else words,
        recorded=values.group("recorded") if values else words,
        recomputed=values.group("due") if values else "a ledger without this",
        agreement=Agreement.FAR,
    )


def _count(report: Report, layer: str, found: Verification, problems: list[str]) -> None:
    """Count the rounds in which nothing is wrong, and the genesis, as checks that agree."""
    wrong = {match.group(1) if (match := _ROUND.match(one)) else "0" for one in problems}
    report.tallies[layer].checked += max(0, found.rounds + 1 - len(wrong))
