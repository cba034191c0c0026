"""Every kind of client that a cast can name, in a real subnet: two of a kind, over two rounds."""

import pytest

from clients.cast import KINDS
from tokenomics.ledger import verify_ledger

CHEATS = [kind for kind in KINDS if kind not in {"honest", "late"}]
"""All but the one whose round lasts until the deadline; `test_round` plays that with a clock of its own."""


@pytest.mark.parametrize("kind", CHEATS)
def test_no_honest_participant_loses_by_a_cheat(game, tmp_path, kind):
    """In both rounds every honest one is accepted, unpunished and paid; the model improves, and the ledger verifies."""
    played = game(f"honest=5,{kind}=2")
    honest, losses = played.of_kind("honest"), [played.state.val_loss]
    for _ in range(2):
        report = played.play()
        assert report.row.pays
        for hotkey in honest:
            receipt = report.receipts[hotkey]
            assert (receipt["status"], receipt["reason"], receipt["zero_because"]) == ("accepted", "", "")
            assert report.rewards[hotkey] > 0
        losses.append(played.state.val_loss)
    assert losses == sorted(losses, reverse=True)
    assert verify_ledger(tmp_path / "run" / "ledger.sqlite").ok
