"""The conformance suite on a strategy of your own."""

from my_strategy import TypicalNorm

from strategies.testing import check_aggregator


def test_typical_norm() -> None:
    """It sets aside what it must, repeats itself to the bit, and survives whatever clients send."""
    check_aggregator(TypicalNorm)
