"""The orders under audit: that whoever spent a hotkey's money is the coldkey for which the hotkey enrolled first.

That they are signed, in turn and covered is the business of the ledger's own verification. Whose a hotkey's account is,
an order shows by an enrolment; which enrolment was the first, and so counts, only the run's folder knows.
"""

from collections.abc import Mapping

from subnet.audit.findings import Report
from tokenomics.ledger import Ledger, RoundRow
from tokenomics.ledger.accounts import hotkey_of


def check_orders(ledger: Ledger, report: Report, row: RoundRow, enrolled: Mapping[str, str]) -> None:
    """Check whose money a round's orders spent.

    Args:
        ledger: whose round it is.
        report: takes the checks.
        row: the round.
        enrolled: coldkey by hotkey, as the run keeps the first enrolments.
    """
    for signed in ledger.orders(row.round) if row.orders_root else []:
        hotkey = hotkey_of(signed.order.source)
        if hotkey is not None:
            report.check(
                "signatures",
                row.round,
                hotkey,
                what="who spent its money",
                recorded=signed.order.coldkey,
                recomputed=enrolled.get(hotkey, "nobody: it isn't enrolled"),
            )
