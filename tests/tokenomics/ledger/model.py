"""What a ledger should hold, computed a second time: in fractions and loops, with nothing of the code under test."""

import json
import math
import re
from collections import Counter
from fractions import Fraction

from tests.tokenomics.ledger.conftest import digest
from tokenomics import HeightSchedule
from tokenomics.ledger import Genesis, Settlement, SignedOrder

FORGED = "00" * 64
"""The signature of what nobody signed."""
ELSEWHERE = digest("another ledger")
"""The ledger of orders that are for another one."""


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
        self.holders: dict[str, str] = {}

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

    def spend(self, settlement: Settlement) -> tuple[list[SignedOrder], list[tuple[SignedOrder, str]]]:
        """Move what orders of the round just settled want moved; return those that apply, and why others don't."""
        applied, refused = [], []
        for signed in sorted(settlement.orders, key=lambda one: (one.order.coldkey, one.order.nonce, one.leaf)):
            reason = next((why for why, holds in self._objections(signed, settlement.round).items() if holds), None)
            if reason:
                refused.append((signed, reason))
            else:
                self._move(signed)
                applied.append(signed)
        return applied, refused

    def _objections(self, signed: SignedOrder, number: int) -> dict[str, bool]:
        """What may be held against an order, the first first, and whether it is so."""
        order, last, owner = signed.order, self.nonces.get(signed.order.coldkey, 0), self._owner(signed)
        return {
            "other_subnet": order.subnet == ELSEWHERE,
            "bad_signature": signed.signature == FORGED,
            "expired": number > order.expires,
            "nonce_used": order.nonce <= last,
            "nonce_gap": order.nonce > last + 1,
            **{why: owner == why for why in ("not_spendable", "no_title", "bad_title")},
            "not_owner": owner != order.coldkey,
            "unknown_validator": order.kind == "stake" and order.destination.split(":")[1] != self.genesis.validator,
            "unknown_account": order.kind == "transfer" and not self._is_somebodys(order.destination),
            "overdraft": self.balances[order.source] < order.amount,
        }

    def _move(self, signed: SignedOrder) -> None:
        order = signed.order
        for account, amount in ((order.source, -order.amount), (order.destination, order.amount)):
            self.balances[account] += amount
            self.moved[account] += amount
        self.nonces[order.coldkey] = order.nonce
        if order.source.startswith("participant:"):
            self.holders[order.source.removeprefix("participant:")] = order.coldkey

    def _owner(self, signed: SignedOrder) -> str:
        """The coldkey whose money an order moves, or what is wrong where nobody's is."""
        kind, _, name = signed.order.source.partition(":")
        if kind == "participant":
            if signed.title is None:
                return self.holders.get(name, "no_title")
            said = json.loads(signed.title.document)
            is_its_word = (said["subnet"], said["hotkey"]) == (self.genesis.spec_hash, name)
            if not is_its_word or FORGED in {signed.title.signature, said["binding"]}:
                return "bad_title"
            return self.holders.get(name, said["coldkey"])
        owners = {
            f"owner:{self.genesis.owner}": self.genesis.owner,
            f"validator:{self.genesis.validator}": self.genesis.owner,
            f"wallet:{name}": name,
            f"escrow:{name}": name.rpartition(":")[2],
        }
        owner = owners.get(signed.order.source, "")
        return owner if re.fullmatch("[0-9a-f]{64}", owner) else "not_spendable"

    def _is_somebodys(self, account: str) -> bool:
        """Whether it can be sent something: any wallet can, and whoever was paid before."""
        if account.startswith("wallet:"):
            return re.fullmatch("wallet:[0-9a-f]{64}", account) is not None
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
