"""A ledger with strikes, releases, refused rounds and a bad clock, and statements without any ledger."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from tests.tokenomics.ledger.conftest import digest
from tokenomics import HeightSchedule, Shares, Token
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger, ReceiptEntry, Settlement
from tokenomics.note import TreeHead
from tokenomics.statement import Balance, Line, Statement

N_ROUNDS = 40
VESTING = 5
DAY = 86_400
STRUCK = {9: "alice", 10: "alice", 23: "bob", 31: "alice"}
REFUSED = {4, 23}
NAMES = ("alice", "bob", "carol", "dora")
"""Alice and bob are struck; carol never earns anything; dora comes in round 12 and leaves after round 20."""


def settle_rounds(
    path: Path,
    *,
    token: Token,
    vesting: int = VESTING,
    subsidy: int = 10**15 + 7,
    n_rounds: int = N_ROUNDS,
    score: Callable[[int, str], int] = lambda number, name: (number * 7 + len(name) * 3) % 11 * (name != "carol"),
    struck: Mapping[int, str] = STRUCK,
) -> Path:
    """Settle rounds, nine hours apart, but for round 17, whose clock was a day back."""
    validator = Keypair.from_seed(bytes(32))
    genesis = Genesis(
        subnet='=HYPERLINK("x")',
        spec_hash=digest("spec"),
        validator=validator.public,
        owner="team",
        token=token,
        schedule=HeightSchedule(subsidy=subsidy, interval=12),
        shares=Shares(),
        vesting=vesting,
        model_hash=digest("model 0"),
        validation_root=digest("validation"),
        created_at=1_700_000_000,
    )
    with Ledger.create(path, genesis, validator) as ledger:
        for number in range(1, n_rounds + 1):
            present = [name for name in NAMES if name != "dora" or 12 <= number <= 20]
            entries = tuple(
                ReceiptEntry(
                    hotkey=digest(name),
                    receipt_hash=digest((number, name)),
                    status="accepted",
                    score=0 if struck.get(number) == name else score(number, name),
                    struck=struck.get(number) == name,
                )
                for name in present
            )
            ledger.settle(
                Settlement(
                    round=number,
                    base_hash=digest(f"model {number - 1}"),
                    model_hash=digest(f"model {number}"),
                    record_hash=digest(("record", number)),
                    settled_at=1_700_000_000 + 32_400 * number - DAY * (number == 17),
                    entries=entries,
                    unpaid_score=2,
                    pays=number not in REFUSED,
                ),
                validator,
            )
    return path


@pytest.fixture(scope="session")
def ledger_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty rounds of a token of 9 decimals, with a vesting of 5."""
    return settle_rounds(tmp_path_factory.mktemp("statements") / "ledger.sqlite", token=Token("DIG"))


def made_up(
    changes: Sequence[tuple[int, int]],
    *,
    token: Token = Token("DIG"),  # noqa: B008 - frozen
    opening: Balance = Balance(),  # noqa: B008 - frozen
    subnet: str = "digits",
) -> Statement:
    """A statement with a line for each change of vested and pending pay, a round each, an hour apart."""
    kinds = {(False, True): "credit", (True, False): "release"}
    lines = tuple(
        Line(
            round=number,
            settled_at=1_700_000_000 + 3_600 * number,
            kind=kinds.get((vested > 0, pending > 0), "void"),  # type: ignore[arg-type]
            vested=vested,
            pending=pending,
            earned_in=None if vested <= 0 and pending < 0 else number,
            receipt_hash=digest(number),
        )
        for number, (vested, pending) in enumerate(changes, start=1)
    )
    closing = opening
    for line in lines:
        closing = line.after(closing)
    return Statement(
        subnet=subnet,
        token=token,
        whose=digest("alice"),
        vesting=5,
        first=1,
        last=max(1, len(lines)),
        began_at=1_700_000_000,
        ended_at=1_700_000_000 + 3_600 * max(1, len(lines)),
        opening=opening,
        lines=lines,
        closing=closing,
        tree=TreeHead(origin="digits/0123456789abcdef", size=len(lines) + 1, root=digest("root")),
        key="digits/0123456789abcdef+0d9724b2+ATTOLbwqWGQJeDyssh1te0z4GWa/nW+fXDDYQSe4ngVl",
    )
