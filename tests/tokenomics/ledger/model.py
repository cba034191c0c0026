"""What a ledger should hold, computed a second time: in fractions and loops, with nothing of the code under test."""

import math
from collections import Counter
from fractions import Fraction

from tests.tokenomics.ledger.conftest import digest
from tests.tokenomics.ledger.owners import ALICE, BOB, CAROL
from tokenomics import HeightSchedule
from tokenomics.ledger import Genesis, Settlement, SignedOrder

FORGED = "00" * 64
"""The signature of orders that nobody signed."""
ELSEWHERE = digest("another ledger")
"""The ledger of orders that are for another one."""
_OWNERS = {wallet.hotkey.keypair.public: wallet.coldkey.public for wallet in (ALICE, BOB, CAROL)}
"""Coldkey by hotkey; who isn't here has none."""


class Model:
    """A ledger's accounts in plain Python. Of the genesis and of settlements only the plain numbers are read."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.settled: list[Settlement] = []
        self.scheduled = self.unearned = 0
        self.balances: Counter[str] = Counter()
        self.pending: dict[int, dict[str, int]] = {}
        self.vested: Counter[str] = Counter()
        self.voided: Counter[str] = Counter()
        self.earned: Counter[str] = Counter()
        self.moved: Counter[str] = Counter()
        self.nonces: dict[str, int] = {}
        self.known: set[str] = set()

    @property
    def height(self) -> int:
        """The last settled round."""
        return len(self.settled)

    @property
    def minted(self) -> int:
        """All that there is, spent or burnt."""
        return -self.balances["issuance"]

    @property
    def cap(self) -> int:
        """What the schedule never passes."""
        schedule = self.genesis.schedule
        if not isinstance(schedule, HeightSchedule):
            return schedule.cap
        return sum((schedule.subsidy // 2**era) * schedule.interval for era in range(64))

    def settle(self, settlement: Settlement) -> dict[tuple[str, str], int]:
        """Settle a round; return its postings by account and kind, but for those of its orders (see `spend`)."""
        assert settlement.round == self.height + 1
        emission = self._emission(settlement.round)
        scores = {entry.hotkey: entry.score for entry in settlement.entries if settlement.pays}
        owner, validator, paid = self._divide(emission, scores, settlement.unpaid_score)
        minted = owner + validator + sum(paid.values())
        postings = Counter({("issuance", "emission"): -minted})
        postings[f"owner:{self.genesis.owner}", "emission"] += owner
        postings[f"validator:{self.genesis.validator}", "emission"] += validator
        first = "pending" if self.genesis.vesting else "participant"
        for hotkey, amount in paid.items():
            postings[f"{first}:{hotkey}", "emission"] += amount
        self._move_on(settlement, postings)
        self.scheduled += emission
        self.unearned += emission - minted
        self.earned.update(paid)
        if self.genesis.vesting:
            self.pending[settlement.round] = paid
        else:
            self.vested.update(paid)
        self.settled.append(settlement)
        found = {place: amount for place, amount in postings.items() if amount}
        for (account, _), amount in found.items():
            self.balances[account] += amount
        return found

    def spend(self, settlement: Settlement) -> list[SignedOrder]:
        """Move what the orders of the round just settled want moved; return those that apply, in their order."""
        orders = sorted(settlement.orders, key=lambda one: (one.order.coldkey, one.order.nonce, one.leaf))
        return [signed for signed in orders if self._moves(signed, settlement.round)]

    def _moves(self, signed: SignedOrder, number: int) -> bool:
        order = signed.order
        if not (
            order.subnet != ELSEWHERE
            and signed.signature != FORGED
            and number <= order.expires
            and order.nonce == self.nonces.get(order.coldkey, 0) + 1
            and self._owner(order.source, titled=signed.title is not None) == order.coldkey
            and self._takes(order.destination, order.kind)
            and self.balances[order.source] >= order.amount
        ):
            return False
        for account, amount in ((order.source, -order.amount), (order.destination, order.amount)):
            self.balances[account] += amount
            self.moved[account] += amount
        self.nonces[order.coldkey] = order.nonce
        self.known.add(order.source)
        return True

    def _owner(self, account: str, *, titled: bool) -> str | None:
        """Whose money it is: the last part of an account's name says so, but for pay."""
        kind, _, name = account.partition(":")
        if kind == "participant":
            return _OWNERS.get(name) if titled or account in self.known else None
        if kind in {"owner", "validator"}:
            return self.genesis.owner
        return name.rpartition(":")[2] if kind in {"wallet", "escrow"} else None

    def _takes(self, account: str, kind: str) -> bool:
        if kind == "stake":
            return account.startswith(f"escrow:{self.genesis.validator}:")
        if kind != "transfer" or account.startswith("wallet:"):
            return True
        return account.startswith(("participant:", "owner:", "validator:")) and account in self.balances

    def pending_of(self, hotkey: str) -> int:
        """What a hotkey has earned that is neither released nor voided."""
        return sum(paid.get(hotkey, 0) for paid in self.pending.values())

    def _emission(self, number: int) -> int:
        schedule = self.genesis.schedule
        if isinstance(schedule, HeightSchedule):
            emission = schedule.subsidy
            for _ in range((number - 1) // schedule.interval):
                emission //= 2
            return emission
        left = schedule.cap - self.minted
        if not left:
            return 0
        era = 0
        while Fraction(left, schedule.cap) <= Fraction(1, 2 ** (era + 1)):
            era += 1
        return min(schedule.initial_emission // 2**era, left)

    def _divide(self, emission: int, scores: dict[str, int], unpaid: int) -> tuple[int, int, dict[str, int]]:
        if not any(scores.values()):
            return 0, 0, {}
        shares = self.genesis.shares
        owner, pool, validator = hamilton(emission, [shares.owner, shares.participants, shares.validator])
        hotkeys = sorted(scores)
        parts = hamilton(pool, [*(scores[hotkey] for hotkey in hotkeys), unpaid])
        return owner, validator, dict(zip(hotkeys, parts, strict=False))

    def _move_on(self, settlement: Settlement, postings: Counter[tuple[str, str]]) -> None:
        """Void what is pending of the struck, then release what is due of the others."""
        for hotkey in [entry.hotkey for entry in settlement.entries if entry.struck]:
            for paid in self.pending.values():
                amount = paid.pop(hotkey, 0)
                postings[f"pending:{hotkey}", "void"] -= amount
                postings["burn", "void"] += amount
                self.voided[hotkey] += amount
        for hotkey, amount in self.pending.pop(settlement.round - self.genesis.vesting, {}).items():
            postings[f"pending:{hotkey}", "release"] -= amount
            postings[f"participant:{hotkey}", "release"] += amount
            self.vested[hotkey] += amount


def hamilton(total: int, weights: list[int]) -> list[int]:
    """Divide by largest remainder, one unit at a time; nothing to anybody where all weights are 0."""
    if not sum(weights):
        return [0] * len(weights)
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]
    parts = [math.floor(share) for share in exact]
    while sum(parts) < total:
        parts[max(range(len(parts)), key=lambda place: (exact[place] - parts[place], -place))] += 1
    return parts
