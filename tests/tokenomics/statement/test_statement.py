"""A statement adds up over any period, splits anywhere, and every line of it can be proved."""

import doctest
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.statement.conftest import N_ROUNDS, NAMES, STRUCK, VESTING, settle_rounds
from tokenomics import Token
from tokenomics.errors import LedgerCorruptError, StatementError
from tokenomics.ledger import Ledger, PaymentFacts, Posting, verify_ledger, verify_proof
from tokenomics.note import VerifierKey
from tokenomics.statement import (
    Balance,
    Period,
    Statement,
    find_period,
    lines_of,
    parse_moment,
    period,
    proofs_of,
    read_statement,
    tables,
)

ROUNDS = st.integers(1, N_ROUNDS)


@pytest.fixture(scope="module")
def ledger(ledger_file: Path) -> Iterator[Ledger]:
    assert verify_ledger(ledger_file).errors == []
    with Ledger.open(ledger_file, read_only=True) as opened:
        yield opened


@settings(max_examples=60)
@given(name=st.sampled_from(NAMES), bounds=st.tuples(ROUNDS, ROUNDS).map(sorted))
def test_opening_and_movements_make_closing_over_any_period(ledger: Ledger, name: str, bounds: list[int]) -> None:
    """Against the ledger's own postings, added up here one by one."""
    first, last = bounds
    found = read_statement(ledger, digest(name), start=str(first), end=str(last))
    sums: Counter[tuple[str, bool]] = Counter()
    for number in range(1, last + 1):
        for posting in ledger.postings(number):
            place, _, hotkey = posting.account.partition(":")
            if hotkey == digest(name):
                sums[place, number < first] += posting.amount
    before = Balance(vested=sums["participant", True], pending=sums["pending", True])
    assert found.opening == before
    assert found.closing == Balance(
        vested=before.vested + sums["participant", False], pending=before.pending + sums["pending", False]
    )
    assert sum(line.vested for line in found.lines) == sums["participant", False]
    assert sum(line.pending for line in found.lines) == sums["pending", False]
    assert all(first <= line.round <= last and line.amount > 0 for line in found.lines)
    assert all(balance.vested >= 0 <= balance.pending for balance in found.balances)


@settings(max_examples=60)
@given(name=st.sampled_from(NAMES), cut=st.integers(1, N_ROUNDS - 1))
def test_a_period_split_in_two_gives_the_same_lines(ledger: Ledger, name: str, cut: int) -> None:
    whole = read_statement(ledger, digest(name))
    one = read_statement(ledger, digest(name), end=str(cut))
    two = read_statement(ledger, digest(name), start=str(cut + 1))
    assert one.lines + two.lines == whole.lines
    assert (one.opening, one.closing, two.closing) == (whole.opening, two.opening, whole.closing)


@given(
    settled_at=st.lists(st.integers(0, 40 * 86_400), min_size=1, max_size=30),
    cut=st.integers(0, 40),
)
def test_days_split_rounds_without_gap_or_overlap_even_if_a_clock_goes_back(settled_at: list[int], cut: int) -> None:
    def day(number: int) -> str:
        return datetime.fromtimestamp(number * 86_400, tz=UTC).strftime("%Y-%m-%d")

    def rounds(**bounds: str) -> list[int]:
        try:
            found = find_period(settled_at, **bounds)
        except StatementError:
            return []
        return list(range(found.first, found.last + 1))

    assert rounds(end=day(cut)) + rounds(start=day(cut + 1)) == list(range(1, len(settled_at) + 1))


def test_a_day_begins_at_midnight_utc() -> None:
    """A round settled at that second is of the day that begins, and one a second before isn't."""
    settled_at = [86_399, 86_400, 172_799, 172_800]
    assert find_period(settled_at, start="1970-01-02", end="1970-01-02") == Period(first=2, last=3)
    assert find_period(settled_at, start="1970-01-02") == Period(first=2, last=4)
    assert find_period(settled_at, end="1970-01-02") == Period(first=1, last=3)


@pytest.mark.parametrize("module", [period, tables])
def test_the_documented_values_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 1
    assert result.failed == 0


@settings(max_examples=15)
@given(data=st.data())
def test_whatever_rounds_pay_and_strike_every_statement_adds_up(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """`read_statement` raises where lines and the ledger's sums disagree; so does any split of the period."""
    n_rounds, vesting = 8, data.draw(st.integers(0, 4))
    scores = data.draw(st.lists(st.integers(0, 2**40), min_size=4 * n_rounds, max_size=4 * n_rounds))
    struck = data.draw(st.dictionaries(st.integers(1, n_rounds), st.sampled_from(("alice", "bob")), max_size=4))
    path = settle_rounds(
        tmp_path_factory.mktemp("any") / "ledger.sqlite",
        token=Token("DIG"),
        vesting=vesting,
        n_rounds=n_rounds,
        score=lambda number, name: scores[(number - 1) * 4 + NAMES.index(name)],
        struck=struck,
    )
    cut = data.draw(st.integers(1, n_rounds - 1))
    with Ledger.open(path, read_only=True) as ledger:
        for name in ("alice", "bob", "carol"):
            whole = read_statement(ledger, digest(name))
            parts = [
                read_statement(ledger, digest(name), end=str(cut)),
                read_statement(ledger, digest(name), start=str(cut + 1)),
            ]
            assert parts[0].lines + parts[1].lines == whole.lines
            earned = ledger.earnings().get(digest(name))
            assert whole.total("credit") == (earned.paid if earned else 0)
            assert whole.total("void") == (earned.voided if earned else 0)


def test_a_strike_is_one_line_and_names_its_receipt(ledger: Ledger) -> None:
    """It voids the pay of the five rounds before, so none of that is released; a release names the round that paid."""
    found = read_statement(ledger, digest("alice"))
    voids = [line for line in found.lines if line.kind == "void"]
    assert [line.round for line in voids] == [
        number for number, name in STRUCK.items() if name == "alice" and number != 10
    ]
    assert all(line.receipt_hash == digest((line.round, "alice")) and line.earned_in is None for line in voids)
    credits = {line.round: line.amount for line in found.lines if line.kind == "credit"}
    assert voids[0].amount == sum(credits.get(number, 0) for number in range(9 - VESTING, 9))
    released = [line for line in found.lines if line.kind == "release"]
    assert released
    for line in released:
        assert line.earned_in == line.round - VESTING
        assert (line.amount, line.receipt_hash) == (credits[line.earned_in], digest((line.earned_in, "alice")))
    assert not {line.earned_in for line in released} & set(range(4, 9))


def test_every_line_can_be_proved_with_the_key_alone(ledger: Ledger) -> None:
    """The postings shown by a round's proof are those that the statement's lines of that round say."""
    found = read_statement(ledger, digest("bob"), start="6", end="25")
    proofs = proofs_of(ledger, found)
    assert set(proofs) == {line.round for line in found.lines}
    for number, proof in proofs.items():
        facts = verify_proof(proof, VerifierKey.parse(found.key))
        assert isinstance(facts, PaymentFacts)
        assert (facts.round, facts.size) == (number, found.tree.size)
        assert found.tree.text in proof["checkpoint"]
        shown = Counter[str]()
        for account, _, amount in facts.movements:
            shown[account.partition(":")[0]] += amount
        own = [line for line in found.lines if line.round == number]
        assert shown["participant"] == sum(line.vested for line in own)
        assert shown["pending"] == sum(line.pending for line in own)


def test_rounds_settled_meanwhile_change_no_proof(tmp_path: Path) -> None:
    """A statement's proofs all lead to its own checkpoint, though the ledger has grown since."""
    shorter = settle_rounds(tmp_path / "shorter.sqlite", token=Token("DIG"), n_rounds=7)
    longer = settle_rounds(tmp_path / "longer.sqlite", token=Token("DIG"), n_rounds=9)
    with Ledger.open(shorter) as early, Ledger.open(longer) as late:
        found = read_statement(early, digest("bob"))
        assert proofs_of(late, found) == proofs_of(early, found)
        assert proofs_of(late, found) != proofs_of(late, read_statement(late, digest("bob"), end="7"))


def test_who_never_earned_has_a_statement_without_lines(ledger: Ledger) -> None:
    found = read_statement(ledger, digest("carol"))
    assert (found.lines, found.opening, found.closing) == ((), Balance(), Balance())


def test_without_vesting_pay_is_vested_at_once(tmp_path: Path) -> None:
    path = settle_rounds(tmp_path / "ledger.sqlite", token=Token("DIG"), vesting=0, n_rounds=10)
    with Ledger.open(path) as ledger:
        found = read_statement(ledger, digest("alice"))
    assert {line.kind for line in found.lines} == {"credit"}
    assert found.closing == Balance(vested=found.total("credit"))


@pytest.mark.parametrize("decimals", [0, 9, 18])
def test_amounts_are_exact_at_any_number_of_decimals(tmp_path: Path, decimals: int) -> None:
    """Read back as integers, the decimals are the ledger's base units, also where a float would round them."""
    token = Token("DIG", decimals)
    subsidy = 2**53 + 1 if decimals == 0 else 10**16 + 12_345_678_901
    path = settle_rounds(tmp_path / "ledger.sqlite", token=token, subsidy=subsidy, n_rounds=12)
    with Ledger.open(path) as ledger:
        found = read_statement(ledger, digest("bob"))
        posted = [
            one.amount
            for number in range(1, 13)
            for one in ledger.postings(number)
            if one.account == f"pending:{digest('bob')}" and one.kind == "emission"
        ]
    shown = [found.decimal(line.amount) for line in found.lines if line.kind == "credit"]
    for text, units in zip(shown, posted, strict=True):
        whole, _, fraction = text.partition(".")
        assert int(whole + fraction.ljust(decimals, "0")) == units
    assert any(int(float(units)) != units for units in [*posted, sum(posted)])


def test_a_statement_that_doesnt_add_up_is_refused(ledger: Ledger) -> None:
    found = read_statement(ledger, digest("bob"))
    for wrong in (
        {"opening": Balance(vested=1)},
        {"closing": replace(found.closing, vested=found.closing.vested + 1)},
        {"lines": found.lines[1:]},
        {"lines": (replace(found.lines[0], pending=found.lines[0].pending + 1), *found.lines[1:])},
    ):
        with pytest.raises(LedgerCorruptError, match="lead to"):
            replace(found, **wrong)  # type: ignore[arg-type]
    assert isinstance(replace(found), Statement)


def test_pay_without_a_receipt_or_of_an_unknown_kind_is_refused() -> None:
    paid = Posting(position=0, account=f"pending:{digest('bob')}", kind="emission", amount=3)
    times, receipts = {1: 10}, {1: digest("receipt")}
    assert len(lines_of([(1, paid)], settled_at=times, receipt_hashes=receipts, vesting=2)) == 1
    with pytest.raises(LedgerCorruptError, match="no receipt"):
        lines_of([(1, paid)], settled_at=times, receipt_hashes={}, vesting=2)
    with pytest.raises(LedgerCorruptError, match="kind 'gift'"):
        lines_of([(1, replace(paid, kind="gift"))], settled_at=times, receipt_hashes=receipts, vesting=2)


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        ("5", "4", "is before"),
        ("2023-11-20", "2023-11-19", "is before"),
        ("", "41", "isn't settled"),
        ("41", "", "no round was settled"),
        ("", "0", "no round was settled"),
        ("2024-01-01", "", "no round was settled"),
        ("", "2023-11-01", "no round was settled"),
        ("2023-11-30", "3", "no round was settled"),
        ("yesterday", "", "neither a round nor a day"),
        ("2023-02-30", "", "neither a round nor a day"),
        ("", "9999-12-31", "neither a round nor a day"),
        ("-3", "", "neither a round nor a day"),
    ],
)
def test_a_period_that_isnt_one_is_refused(ledger: Ledger, start: str, end: str, words: str) -> None:
    with pytest.raises(StatementError, match=words) as caught:
        read_statement(ledger, digest("bob"), start=start, end=end)
    assert caught.value.remedy


def test_nobody_has_no_statement(ledger: Ledger) -> None:
    with pytest.raises(StatementError, match="has no receipt"):
        read_statement(ledger, digest("nobody"))


def test_moments_are_read_in_utc() -> None:
    assert parse_moment("1700000000") == parse_moment("2023-11-14T22:13:20") == 1_700_000_000
    assert parse_moment("2023-11-15T00:13:20+02:00") == 1_700_000_000
    for wrong in ("soon", "1969-12-31", "999999999999"):
        with pytest.raises(StatementError):
            parse_moment(wrong)
