"""Ledgers and rounds for hypothesis to draw: schedules that run out, ties, strikes and huge scores."""

from typing import Any

from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.model import Model
from tokenomics import HeightSchedule, Shares, SupplySchedule, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, ReceiptEntry, Settlement

VALIDATOR = Keypair.from_seed(bytes(32))
HOTKEYS = tuple(digest(name) for name in ("alice", "bob", "carol", "dan"))

schedules = st.builds(HeightSchedule, subsidy=st.integers(1, 2_000), interval=st.integers(1, 9)) | st.builds(
    SupplySchedule, cap=st.integers(1, 5_000), emission=st.integers(1, 800)
)
shares = st.builds(Shares, owner=st.integers(0, 3), validator=st.integers(0, 3), participants=st.integers(1, 9))
scores = st.integers(0, 9) | st.integers(0, 2**63 - 1)
outcomes = st.one_of(
    st.tuples(st.just("accepted"), scores, st.sampled_from([False])),
    st.tuples(st.sampled_from(["accepted", "rejected", "missing"]), st.just(0), st.booleans()),
)
rounds = st.fixed_dictionaries(
    {
        "outcomes": st.dictionaries(st.sampled_from(HOTKEYS), outcomes),
        "unpaid_score": st.just(0) | scores,
        "pays": st.sampled_from([True, True, True, False]),
    }
)


def genesis_of(schedule: HeightSchedule | SupplySchedule, shares: Shares, vesting: int) -> Genesis:
    """A first row with what was drawn."""
    return Genesis(
        subnet="digits",
        spec_hash=digest("spec"),
        validator=VALIDATOR.public,
        owner="team",
        token=Token("DIG"),
        schedule=schedule,
        shares=shares,
        vesting=vesting,
        model_hash=digest(("model", 0)),
        validation_root=digest("validation"),
        created_at=1_700_000_000,
    )


def settlement_of(model: Model, drawn: dict[str, Any]) -> Settlement:
    """The round that follows; `drawn` says what became of whom."""
    number = model.height + 1
    entries = tuple(
        ReceiptEntry(hotkey=hotkey, receipt_hash=digest((number, hotkey)), status=status, score=score, struck=struck)
        for hotkey, (status, score, struck) in drawn["outcomes"].items()
    )
    return Settlement(
        round=number,
        base_hash=model.settled[-1].model_hash if model.settled else model.genesis.model_hash,
        model_hash=digest(("model", number, drawn["pays"])),
        record_hash=digest(("record", number)),
        settled_at=1_700_000_000 + number,
        entries=entries,
        unpaid_score=drawn["unpaid_score"],
        pays=drawn["pays"],
    )
