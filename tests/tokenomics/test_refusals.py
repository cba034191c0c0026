"""A refusal names the value, its limit and what to do: here to the letter, as a user reads it."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tokenomics import HeightSchedule, Shares, SupplySchedule, Token, divide_round, split
from tokenomics.emission import schedule_from_dict
from tokenomics.errors import TokenomicsError
from tokenomics.ledger import Genesis, Posting, ReceiptEntry, RoundRow, Settlement, plan_round
from tokenomics.ledger.planning import Tip, check_follows
from tokenomics.merkle import consistency_proof, inclusion_proof

HASH, OTHER = "ab" * 32, "cd" * 32
NO_INTEGER = "give a whole number; floats and bools are refused"
BACKUP = "restore it from a backup"
HEIGHT = HeightSchedule(subsidy=8, interval=2)
GENESIS = Genesis(
    subnet="digits",
    spec_hash=HASH,
    validator=HASH,
    owner="team",
    token=Token("DIG"),
    schedule=HEIGHT,
    shares=Shares(),
    vesting=3,
    model_hash=HASH,
    validation_root=HASH,
    created_at=1,
)
DOCUMENT = GENESIS.to_dict()
ENTRY = ReceiptEntry(hotkey=HASH, receipt_hash=OTHER, status="accepted", score=3, struck=False)
SETTLEMENT = Settlement(
    round=1,
    base_hash=HASH,
    model_hash=OTHER,
    record_hash=HASH,
    settled_at=2,
    entries=(ENTRY,),
    unpaid_score=0,
    pays=True,
)
POSTING = Posting(position=0, account="burn", kind="void", amount=1)
ROW = RoundRow(
    round=1,
    era=0,
    emission=8,
    minted=7,
    unminted=1,
    supply=7,
    pays=True,
    unpaid_score=0,
    base_hash=HASH,
    model_hash=HASH,
    record_hash=HASH,
    settled_at=0,
    receipts_root=HASH,
    postings_root=HASH,
    head=HASH,
    log_root=HASH,
    signature="",
)
TIP = Tip(round=4, head=HASH, log_root=HASH, model_hash=HASH, supply=7)


def plan(**changed: Any) -> object:
    given = {"round": 1, "minted": 0, "scores": {}, "unpaid_score": 0, "pays": True, **changed}
    return plan_round(GENESIS, **given)


def divided(emission: Any = 1, score: Any = 1, unpaid: Any = 0) -> object:
    return divide_round(emission=emission, shares=Shares(), scores={"bob": score}, unpaid_score=unpaid)


REFUSED: dict[str, tuple[Callable[[], object], str, str]] = {
    "a score of text": (
        lambda: split(1, {"bob": "1"}),  # type: ignore[dict-item]
        "the score of 'bob' is '1', not a number",
        "give an int or a float",
    ),
    "a negative score": (
        lambda: split(1, {"bob": Decimal(-1)}),
        "the score of 'bob' is -1, not finite and at least 0",
        "give 0 for worthless",
    ),
    "an emission to split": (lambda: split(-1, {"bob": 1}), "emission is -1, less than 0", "give at least 0"),
    "an emission to divide": (lambda: divided(-1), "emission is -1, less than 0", "give at least 0"),
    "a score to divide by": (lambda: divided(score=0.5), "the score of bob is 0.5, not an integer", NO_INTEGER),
    "an unpaid score": (lambda: divided(unpaid=-2), "unpaid score is -2, less than 0", "give at least 0"),
    "no shares": (
        lambda: Shares(owner=0, validator=0, participants=0),
        "owner, validator and participants all have a share of 0",
        "give one of them a part",
    ),
    "a negative share": (lambda: Shares(owner=-1), "the share of owner is -1, less than 0", "give at least 0"),
    "a fraction of a share": (
        lambda: Shares(validator=0.5),  # type: ignore[arg-type]
        "the share of validator is 0.5, not an integer",
        NO_INTEGER,
    ),
    "a huge share": (
        lambda: Shares(participants=2**63),
        f"the share of participants is {2**63}, more than {2**63 - 1}",
        f"give at most {2**63 - 1}",
    ),
    "no subsidy": (
        lambda: HeightSchedule(subsidy=0, interval=1),
        "subsidy is 0, less than 1",
        "give at least 1",
    ),
    "no interval": (lambda: HeightSchedule(subsidy=1, interval=0), "interval is 0, less than 1", "give at least 1"),
    "no cap": (lambda: SupplySchedule(cap=0, emission=1), "cap is 0, less than 1", "give at least 1"),
    "nothing emitted": (lambda: SupplySchedule(cap=1, emission=0), "emission is 0, less than 1", "give at least 1"),
    "a negative height": (lambda: HEIGHT.era(height=-1), "height is -1, less than 0", "give at least 0"),
    "a negative supply": (
        lambda: SupplySchedule(cap=1, emission=1).era(minted=-1),
        "minted is -1, less than 0",
        "give at least 0",
    ),
    "an unknown schedule": (
        lambda: schedule_from_dict({"kind": "linear"}),
        "schedule kind 'linear' isn't known",
        "use one of height, supply",
    ),
    "a schedule's wrong numbers": (
        lambda: schedule_from_dict({"kind": "supply", "subsidy": 1, "cap": 1}),
        "a supply schedule was given cap, subsidy",
        "give cap and emission",
    ),
    "a schedule without numbers": (
        lambda: schedule_from_dict({"kind": "height"}),
        "a height schedule was given nothing",
        "give interval and subsidy",
    ),
    "a leaf that isn't there": (
        lambda: inclusion_proof([HASH], 1),
        "there is no leaf 1 among 1",
        "give 0 to 0",
    ),
    "a leaf between two": (
        lambda: inclusion_proof([HASH], 0.5),  # type: ignore[arg-type]
        "index is 0.5, not an integer",
        NO_INTEGER,
    ),
    "a list that never was": (
        lambda: consistency_proof([HASH], 2),
        "a list of 1 never had 2 leaves",
        "give 1 to 1",
    ),
    "a list of some size": (
        lambda: consistency_proof([HASH], 0.5),  # type: ignore[arg-type]
        "earlier size is 0.5, not an integer",
        NO_INTEGER,
    ),
    "a genesis without token": (
        lambda: replace(GENESIS, token=("DIG", 9)),  # type: ignore[arg-type]
        "token is ('DIG', 9), not a token",
        "see `Genesis`",
    ),
    "a genesis without schedule": (
        lambda: replace(GENESIS, schedule={"cap": 1}),  # type: ignore[arg-type]
        "schedule is {'cap': 1}, not a schedule",
        "see `Genesis`",
    ),
    "a genesis without shares": (
        lambda: replace(GENESIS, shares=(1, 2, 3)),  # type: ignore[arg-type]
        "shares is (1, 2, 3), not a shares",
        "see `Genesis`",
    ),
    "no subnet": (
        lambda: replace(GENESIS, subnet=""),
        "subnet is '', not 1 to 128 printable characters",
        "give it a short name",
    ),
    "a long owner": (
        lambda: replace(GENESIS, owner="o" * 129),
        f"owner is {('o' * 129)!r:.80}, not 1 to 128 printable characters",
        "give it a short name",
    ),
    **{
        f"a genesis's {name}": (
            lambda name=name: replace(GENESIS, **{name: "AB" * 32}),
            f"{name} is '{'AB' * 32}', not 64 lower-case hexadecimal digits",
            "",
        )
        for name in ("spec_hash", "validator", "model_hash", "validation_root")
    },
    "a long vesting": (
        lambda: replace(GENESIS, vesting=10_001),
        "vesting is 10001, more than 10000",
        "give at most 10000",
    ),
    "a time before 1970": (
        lambda: replace(GENESIS, created_at=-1),
        "created_at is -1, less than 0",
        "give at least 0",
    ),
    "a cap beyond 64 bits": (
        lambda: replace(GENESIS, schedule=SupplySchedule(cap=2**63, emission=1)),
        f"the schedule's cap is {2**63}, more than {2**63 - 1}",
        f"give at most {2**63 - 1}",
    ),
    "a genesis that is none": (
        lambda: Genesis.from_dict([1]),
        "the genesis hasn't exactly the fields of version 3",
        BACKUP,
    ),
    "a genesis of another version": (
        lambda: Genesis.from_dict(DOCUMENT | {"version": 4}),
        "the genesis hasn't exactly the fields of version 3",
        BACKUP,
    ),
    "a genesis with one field more": (
        lambda: Genesis.from_dict(DOCUMENT | {"more": 1}),
        "the genesis hasn't exactly the fields of version 3",
        BACKUP,
    ),
    "a token of one field": (
        lambda: Genesis.from_dict(DOCUMENT | {"token": {"symbol": "DIG"}}),
        "the genesis names no proper token",
        BACKUP,
    ),
    "a token of text": (
        lambda: Genesis.from_dict(DOCUMENT | {"token": "DIG"}),
        "the genesis names no proper token",
        BACKUP,
    ),
    "shares of two": (
        lambda: Genesis.from_dict(DOCUMENT | {"shares": {"owner": 1, "validator": 1}}),
        "the genesis names no proper shares",
        BACKUP,
    ),
    "a schedule of numbers": (
        lambda: Genesis.from_dict(DOCUMENT | {"schedule": [1]}),
        "the genesis names no proper schedule",
        BACKUP,
    ),
    **{
        f"a receipt's {name}": (
            lambda name=name: replace(ENTRY, **{name: "bob"}),
            f"{name} is 'bob', not 64 lower-case hexadecimal digits",
            "",
        )
        for name in ("hotkey", "receipt_hash")
    },
    "an unknown status": (
        lambda: replace(ENTRY, status="late"),  # type: ignore[arg-type]
        "status is 'late'",
        "use one of accepted, rejected, missing",
    ),
    "a receipt's score": (lambda: replace(ENTRY, score=-1), "score is -1, less than 0", "give at least 0"),
    "a score for nothing": (
        lambda: replace(ENTRY, status="missing"),
        f"hotkey {HASH[:12]} has score 3, but its contribution is missing",
        "give a score of 0, or accept the contribution",
    ),
    "half a strike": (
        lambda: replace(ENTRY, struck=1),  # type: ignore[arg-type]
        "struck is 1, neither True nor False",
        "give a bool",
    ),
    "a paid strike": (
        lambda: replace(ENTRY, struck=True),
        f"hotkey {HASH[:12]} is struck, but has score 3",
        "a strike earns nothing: give a score of 0",
    ),
    "round 0": (lambda: replace(SETTLEMENT, round=0), "round is 0, less than 1", "give at least 1"),
    **{
        f"a settlement's {name}": (
            lambda name=name: replace(SETTLEMENT, **{name: ""}),
            f"{name} is '', not 64 lower-case hexadecimal digits",
            "",
        )
        for name in ("base_hash", "model_hash", "record_hash")
    },
    **{
        f"a settlement's {name}": (
            lambda name=name: replace(SETTLEMENT, **{name: -1}),
            f"{name} is -1, less than 0",
            "give at least 0",
        )
        for name in ("settled_at", "unpaid_score")
    },
    "a settlement that pays perhaps": (
        lambda: replace(SETTLEMENT, pays=None),  # type: ignore[arg-type]
        "pays is None, neither True nor False",
        "give a bool",
    ),
    "a hotkey twice": (
        lambda: replace(SETTLEMENT, entries=(ENTRY, ENTRY)),
        f"hotkey {HASH} has two entries in round 1",
        "give each hotkey one entry",
    ),
    "a posting before the first": (
        lambda: replace(POSTING, position=-1),
        "position is -1, less than 0",
        "give at least 0",
    ),
    "a long account": (
        lambda: replace(POSTING, account="a" * 161),
        f"account is {('a' * 161)!r:.80}, not 1 to 160 printable characters",
        "give it a short name",
    ),
    "a long kind": (
        lambda: replace(POSTING, kind="k" * 33),
        f"kind is {('k' * 33)!r:.80}, not 1 to 32 printable characters",
        "give it a short name",
    ),
    "an amount below 64 bits": (
        lambda: replace(POSTING, amount=-(2**63) - 1),
        f"amount is {-(2**63) - 1}, less than {-(2**63)}",
        f"give at least {-(2**63)}",
    ),
    **{
        f"a round's {name}": (
            lambda name=name: replace(ROW, **{name: -1}),
            f"{name} is -1, less than 0",
            "give at least 0",
        )
        for name in ("round", "era", "emission", "minted", "unminted", "supply", "unpaid_score", "settled_at")
    },
    **{
        f"a round's {name}": (
            lambda name=name: replace(ROW, **{name: "00"}),
            f"{name} is '00', not 64 lower-case hexadecimal digits",
            "",
        )
        for name in ("base_hash", "model_hash", "record_hash", "receipts_root", "postings_root", "head", "log_root")
    },
    "a round's orders_root": (
        lambda: replace(ROW, orders_root="00"),
        "orders_root is '00', not 64 lower-case hexadecimal digits",
        "",
    ),
    "a genesis's nonce_commitment": (
        lambda: replace(GENESIS, nonce_commitment="00"),
        "nonce_commitment is '00', not 64 lower-case hexadecimal digits",
        "",
    ),
    "too many orders": (
        lambda: replace(SETTLEMENT, orders=(None,) * 1_001),  # type: ignore[arg-type]
        "round 1 has 1001 orders, more than 1000",
        "leave some for the next round",
    ),
    "a round that pays perhaps": (
        lambda: replace(ROW, pays=2),  # type: ignore[arg-type]
        "pays is 2, neither True nor False",
        "restore the ledger",
    ),
    "a plan for round 0": (lambda: plan(round=0), "round is 0, less than 1", "give at least 1"),
    "a plan above the cap": (
        lambda: plan(minted=GENESIS.schedule.cap + 1),
        f"minted is {GENESIS.schedule.cap + 1}, more than {GENESIS.schedule.cap}",
        f"give at most {GENESIS.schedule.cap}",
    ),
    "a round settled before": (
        lambda: check_follows(TIP, replace(SETTLEMENT, round=4)),
        "round 4 is settled already: the ledger ends at round 4",
        "settle round 5",
    ),
    "a round too early": (
        lambda: check_follows(TIP, replace(SETTLEMENT, round=6)),
        "round 6 would leave a gap: the ledger ends at round 4",
        "settle round 5",
    ),
    "another model": (
        lambda: check_follows(TIP, replace(SETTLEMENT, round=5, base_hash=OTHER)),
        f"round 5 starts from model {OTHER[:12]}, but round 4 ended with {HASH[:12]}",
        "train from the model that the ledger names",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_names_the_value_its_limit_and_the_remedy(case: str) -> None:
    make, message, remedy = REFUSED[case]
    with pytest.raises(TokenomicsError) as caught:
        make()
    assert (caught.value.message, caught.value.remedy) == (message, remedy)


def test_limits_themselves_are_within() -> None:
    """One less than each refusal: the largest and the smallest that there may be."""
    replace(GENESIS, vesting=10_000, created_at=0, owner="o" * 128, schedule=SupplySchedule(cap=2**63 - 1, emission=1))
    replace(POSTING, account="a" * 160, kind="k" * 32, amount=-(2**63))
    replace(SETTLEMENT, settled_at=0, unpaid_score=2**63 - 1)
    replace(SETTLEMENT, orders=(None,) * 1_000)  # type: ignore[arg-type]
    replace(ENTRY, score=2**63 - 1)
    check_follows(TIP, replace(SETTLEMENT, round=5))
    plan(minted=GENESIS.schedule.cap)
    HeightSchedule(subsidy=1, interval=1)
    SupplySchedule(cap=1, emission=1)
    Shares(owner=0, validator=0, participants=1)
