"""Whatever is done to a ledger, and wherever it crashes, it holds what a plain model says.

A handful of runs here. `make model` plays many more: SUBNET_LEDGER_RUNS of SUBNET_LEDGER_STEPS steps.
"""
# ruff: noqa: D102 - the rules' names say what they do

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.crashes import File, Place, Server
from tests.tokenomics.ledger.database import Database
from tests.tokenomics.ledger.drawn import VALIDATOR, genesis_of, schedules, settlement_of, shares
from tests.tokenomics.ledger.drawn import rounds_with_orders as rounds
from tests.tokenomics.ledger.model import Model
from tests.tokenomics.ledger.owners import CAROL
from tokenomics import HeightSchedule, Shares, SupplySchedule
from tokenomics.errors import LedgerConflictError, LedgerError
from tokenomics.keys import Keypair
from tokenomics.ledger import Checkpoint, Ledger, Settlement, SignedOrder, store

N_RUNS = int(os.environ.get("SUBNET_LEDGER_RUNS", "8"))
N_STEPS = int(os.environ.get("SUBNET_LEDGER_STEPS", "25"))
STRANGER = Keypair.from_seed(bytes([1] * 32))
writers = st.sampled_from(["first", "second"])


class Told(list[tuple[SignedOrder, str]]):
    """The orders of a settlement that were refused, and why, as whoever settles is told."""

    def settle(self, ledger: Ledger, settlement: Settlement, signer: Keypair = VALIDATOR) -> Checkpoint:
        return ledger.settle(settlement, signer, on_refused=lambda one: self.append((one.signed, one.reason)))


class LedgerMachine(RuleBasedStateMachine):
    """Settling, spending, racing, crashing and restarting, beside a model that does the same sums."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place
        self.open: dict[str, Ledger] = {}
        self.handed_in: list[SignedOrder] = []

    @initialize(
        schedule=schedules,
        shares=shares,
        vesting=st.integers(0, 4),
        owner=st.sampled_from(["team", CAROL.coldkey.public]),
    )
    def begin(self, schedule: HeightSchedule | SupplySchedule, shares: Shares, vesting: int, owner: str) -> None:
        genesis = genesis_of(schedule, shares, vesting, owner=owner)
        self.model = Model(genesis)
        self.place.create(genesis, VALIDATOR)

    def ledger(self, who: str) -> Ledger:
        """The ledger as one of three has it open, until the next restart: two that write, and a reader."""
        if who not in self.open:
            self.open[who] = self.place.open(read_only=who == "reader")
        return self.open[who]

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1].close()

    def next_round(self, drawn: dict[str, Any], **changes: Any) -> Settlement:
        """The round that follows; `drawn` says what became of whom, and what is ordered, maybe once more."""
        settlement = replace(settlement_of(self.model, drawn, self.handed_in), **changes)
        self.handed_in += settlement.orders
        return settlement

    def in_model(self, settlement: Settlement, told: Told | None = None) -> None:
        """Let the model settle what the ledger has settled; compare the round's postings, and what was refused."""
        expected, (applied, refused) = self.model.settle(settlement), self.model.spend(settlement)
        assert told is None or told == refused
        assert self.ledger("reader").orders(settlement.round) == applied
        assert {self.ledger("reader").round_of(one) for one in applied} <= {settlement.round}
        postings = self.ledger("reader").postings(settlement.round)
        assert [one.position for one in postings] == list(range(len(postings)))
        paid, moved = postings[: len(expected)], postings[len(expected) :]
        assert {(one.account, one.kind): one.amount for one in paid} == expected
        sides = [[(one.source, -one.amount), (one.destination, one.amount)] for one in (two.order for two in applied)]
        assert [(one.account, one.amount) for one in moved] == [side for both in sides for side in both]
        assert [one.kind for one in moved[::2]] == [one.order.kind for one in applied]

    @rule(drawn=rounds, who=writers)
    def settle(self, drawn: dict[str, Any], who: str) -> None:
        settlement, told = self.next_round(drawn), Told()
        checkpoint = told.settle(self.ledger(who), settlement)
        assert checkpoint.round == settlement.round
        assert checkpoint.verify(VALIDATOR.public)
        self.in_model(settlement, told)

    @rule(first=rounds, second=rounds, same=st.booleans())
    def settle_at_once(self, first: dict[str, Any], second: dict[str, Any], same: bool) -> None:
        """Two settle the next round at the same time, maybe with the same orders: one does, the other is told so."""
        one, other = self.next_round(first), self.next_round(second)
        settlements = [one, replace(other, orders=one.orders[::-1]) if same else other]
        ledgers = [self.ledger("first"), self.ledger("second")]
        barrier, tolds = threading.Barrier(2), [Told(), Told()]

        def race(ledger: Ledger, settlement: Settlement, told: Told) -> str:
            barrier.wait()
            try:
                told.settle(ledger, settlement)
            except LedgerConflictError as error:
                return error.message
            return "settled"

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(race, ledgers, settlements, tolds))
        assert outcomes.count("settled") == 1, outcomes
        assert any("is settled already" in outcome for outcome in outcomes)
        winner = outcomes.index("settled")
        assert tolds[1 - winner] == []
        self.in_model(settlements[winner], tolds[winner])

    @rule(drawn=rounds, who=writers, away=st.sampled_from([-3, -2, -1, 0, 2, 3]))
    def settle_out_of_order(self, drawn: dict[str, Any], who: str, away: int) -> None:
        """A round that was settled, or that comes too early, is refused, though all else about it be right."""
        settlement = self.next_round(drawn, round=max(1, self.model.height + away))
        if settlement.round != self.model.height + 1:
            self.refused(who, settlement, LedgerConflictError)

    @rule(drawn=rounds, who=writers)
    def settle_from_another_model(self, drawn: dict[str, Any], who: str) -> None:
        self.refused(who, self.next_round(drawn, base_hash=digest("another")), LedgerError)

    @rule(drawn=rounds)
    def settle_without_the_right(self, drawn: dict[str, Any]) -> None:
        """Neither a stranger settles, nor whoever opened the ledger to read."""
        self.refused("first", self.next_round(drawn), LedgerError, signer=STRANGER)
        self.refused("reader", self.next_round(drawn), LedgerError)

    def refused(self, who: str, settlement: Settlement, error: type[LedgerError], signer: Keypair = VALIDATOR) -> None:
        head, told = self.ledger(who).head, Told()
        with pytest.raises(error):
            told.settle(self.ledger(who), settlement, signer)
        assert (self.ledger(who).head, told) == (head, [])

    @rule(drawn=rounds, statement=st.integers(0, 12))
    def crash_within_a_settlement(self, drawn: dict[str, Any], statement: int) -> None:
        """Nothing of the round is left, wherever it was."""
        settlement, told = self.next_round(drawn), Told()
        self.place.crash_at(statement, lambda: told.settle(self.ledger("first"), settlement))
        self.close()
        assert told == []

    @precondition(lambda self: self.place.tears_commits)
    @rule(drawn=rounds, share=st.floats(0, 1) | st.just(1.0))
    def crash_in_the_commit(self, drawn: dict[str, Any], share: float) -> None:
        """All of the round is left if all of it was written, and nothing otherwise."""
        settlement, told = self.next_round(drawn), Told()
        whole = self.place.crash_in_commit(lambda: told.settle(self.ledger("first"), settlement), share=share)
        self.close()
        if whole:
            self.in_model(settlement, told)

    @rule(drawn=rounds, goes_on=st.booleans())
    def crash_before_the_checkpoint_file(self, drawn: dict[str, Any], goes_on: bool) -> None:
        """The round is settled; the next opening or settlement writes the file, and none is settled before it."""
        settlement, told = self.next_round(drawn), Told()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(store, "write_checkpoint", _full_disk)
            with pytest.raises(LedgerError, match="is settled") as caught:
                told.settle(self.ledger("first"), settlement)
        assert told == []
        if not goes_on:
            self.close()
        if caught.value.message.startswith(f"round {settlement.round} "):
            self.in_model(settlement)

    @rule()
    def restart(self) -> None:
        head = self.ledger("first").head
        self.close()
        assert self.ledger("first").head == head

    @rule()
    def verify(self) -> None:
        self.sound()

    def sound(self) -> None:
        found = self.place.verify(VALIDATOR.public)
        assert found.errors == []
        assert (found.rounds, found.head) == (self.model.height, self.ledger("first").head)

    @invariant()
    def everybody_has_what_the_model_says(self) -> None:
        for ledger in self.open.values():
            assert ledger.height == self.model.height
            balances = ledger.balances()
            assert {account: amount for account, amount in balances.items() if amount} == {
                account: amount for account, amount in self.model.balances.items() if amount
            }
            assert sum(balances.values()) == 0
            assert all(amount >= 0 for account, amount in balances.items() if account != "issuance")

    @invariant()
    def orders_are_judged_by_what_the_model_says(self) -> None:
        """And nothing is left of a settlement that was lost."""
        model = self.model
        for ledger in self.open.values():
            book = ledger.book()
            assert (book.balances, book.nonces, book.holders) == (model.balances, model.nonces, model.holders)
            assert ledger.orders(model.height + 1) == ledger.postings(model.height + 1) == []

    @invariant()
    def what_was_minted_is_what_was_scheduled_less_what_nobody_earned(self) -> None:
        minted = self.ledger("first").minted
        assert minted == self.model.minted == self.model.scheduled - self.model.unearned <= self.model.cap

    @invariant()
    def all_that_was_earned_is_vested_pending_or_voided(self) -> None:
        model, found, pending = self.model, self.ledger("first").earnings(), self.ledger("first").pending()
        assert found.keys() >= {hotkey for hotkey, amount in model.earned.items() if amount}
        for hotkey, one in found.items():
            assert (one.vested, one.voided) == (model.vested[hotkey], model.voided[hotkey])
            assert one.pending == model.pending_of(hotkey) == pending.of(hotkey)
            assert one.vested + one.pending + one.voided == model.earned[hotkey]
            assert one.moved == model.moved[f"participant:{hotkey}"]
            assert one.balance == model.balances[f"participant:{hotkey}"]

    def teardown(self) -> None:
        """The chain holds, and a ledger of the same rounds that was never disturbed has the same bytes."""
        try:
            self.sound()
            with self.place.other(self.model.genesis, VALIDATOR) as straight:
                for settlement in self.model.settled:
                    straight.settle(settlement, VALIDATOR)
                assert list(straight.dump()) == list(self.ledger("first").dump())
        finally:
            self.close()
            self.place.discard()


def _full_disk(_: Path, checkpoint: Checkpoint) -> None:
    raise LedgerError(f"round {checkpoint.round} is settled, but its checkpoint can't be written: the disk is full")


@pytest.fixture
def new_place(database: Database, request: pytest.FixtureRequest) -> Callable[[], Place]:
    """Make a place for one run after the other."""
    return File if database.kind == "sqlite" else lambda: Server(request.getfixturevalue("postgres_url"))


def test_a_ledger_holds_what_the_model_says_whatever_happens(new_place: Callable[[], Place]) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(new_place()),
        settings=settings(
            max_examples=N_RUNS,
            stateful_step_count=N_STEPS,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
