"""Vesting: what a round pays is pending for some rounds, then released to its earner, or voided by a strike.

With a vesting of V rounds the pay of round r is released by the settlement of round r + V, whether or not that round
pays, and whether or not its earner takes part in it. A strike in round s voids whatever is pending then: the pay of
rounds s - V to s - 1, V rounds in all. So what the settlement of round s would have released is voided too.

What is voided moves to the account `burn`: it was minted and stays so, and nobody gets it. If it came back into the
emission, a strike would be worth something to everybody else.

Source: DESIGN section 5, rule 5.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

BURN: Final = "burn"
"""The account of voided pay. Nothing ever leaves it."""

PENDING_PREFIX: Final = "pending:"
PARTICIPANT_PREFIX: Final = "participant:"

Kind: TypeAlias = Literal["emission", "release", "void"]
"""What a posting is for."""

Movement: TypeAlias = tuple[str, str, int]
"""Account, kind of posting, and signed amount in base units."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What was earned and is neither released nor voided yet."""

    by_round: Mapping[int, Mapping[str, int]] = field(default_factory=dict)
    """Base units, above 0, by the round that paid them and by hotkey."""

    def due(self, number: int, *, vesting: int) -> Mapping[str, int]:
        """Return what the settlement of round `number` releases to whom, unless it voids it."""
        return self.by_round.get(number - vesting, {})

    def of(self, hotkey: str) -> int:
        """Return all that is pending of one hotkey."""
        return sum(amounts.get(hotkey, 0) for amounts in self.by_round.values())

    def after(self, number: int, movements: Iterable[Movement], *, vesting: int) -> "Pending":
        """Return what is pending once a round is settled.

        Args:
            number: that round; the rounds before are in `self` already.
            movements: its postings, in any order; only those of pending accounts are looked at.
            vesting: rounds for which pay is pending.
        """
        earned, voided = {}, set()
        for account, kind, amount in movements:
            if account.startswith(PENDING_PREFIX):
                hotkey = account.removeprefix(PENDING_PREFIX)
                if kind == "emission":
                    earned[hotkey] = amount
                elif kind == "void":
                    voided.add(hotkey)
        kept = {paid: amounts for paid, amounts in self.by_round.items() if paid > number - vesting}
        if voided:
            kept = {
                paid: {hotkey: amount for hotkey, amount in amounts.items() if hotkey not in voided}
                for paid, amounts in kept.items()
            }
        return Pending(kept | {number: earned})


NOTHING_PENDING: Final = Pending()
"""Before round 1, and always where pay doesn't vest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Earnings:
    """What came of all that a participant was paid, in base units."""

    vested: int
    """Became its own: paid at once, or released."""
    pending: int
    """Not yet released; a strike would void it."""
    voided: int
    """Lost to strikes."""
    moved: int = 0
    """What orders brought into its account, less what they took out; part of none of the others."""

    @property
    def paid(self) -> int:
        """All that rounds have paid it: vested, pending and voided together."""
        return self.vested + self.pending + self.voided

    @property
    def balance(self) -> int:
        """What is in its account now, to be spent."""
        return self.vested + self.moved


@dataclass(frozen=True, slots=True, kw_only=True)
class Payout:
    """What came of the pay of one round."""

    state: Literal["paid", "pending", "released", "voided"]
    """`paid`: at once, without vesting."""
    round: int
    """In which round that was, or will be: a pending one's release."""


def payout(paid_in: int, *, vesting: int, height: int, voided_in: int | None) -> Payout:
    """Say what came of what a hotkey was paid in a round.

    Args:
        paid_in: that round, at most `height`.
        vesting: rounds for which pay is pending.
        height: the last settled round.
        voided_in: the first round from `paid_in + 1` to `paid_in + vesting` that voided the hotkey's pending pay.
    """
    if not vesting:
        return Payout(state="paid", round=paid_in)
    if voided_in is not None:
        return Payout(state="voided", round=voided_in)
    return Payout(state="released" if height >= paid_in + vesting else "pending", round=paid_in + vesting)


def earner(hotkey: str, *, vesting: int) -> str:
    """Return the account that a round's pay goes to first."""
    return f"{PENDING_PREFIX if vesting else PARTICIPANT_PREFIX}{hotkey}"


def moved_on(pending: Pending, number: int, *, vesting: int, struck: Collection[str]) -> list[Movement]:
    """Return what a settlement does to the pay of earlier rounds, in the order in which it is posted.

    Args:
        pending: what is pending after the round before.
        number: the round that is settled.
        vesting: rounds for which pay is pending.
        struck: hotkeys that were struck in this round.

    Returns:
        For each release the pending account's side and then its earner's, by hotkey; then each voided account's side,
        by hotkey, and `burn`'s for all of them.
    """
    movements: list[Movement] = []
    due = pending.due(number, vesting=vesting)
    for hotkey in sorted(due):
        if hotkey not in struck:
            movements += (
                (f"{PENDING_PREFIX}{hotkey}", "release", -due[hotkey]),
                (f"{PARTICIPANT_PREFIX}{hotkey}", "release", due[hotkey]),
            )
    voided = {hotkey: amount for hotkey in sorted(struck) if (amount := pending.of(hotkey))}
    movements += [(f"{PENDING_PREFIX}{hotkey}", "void", -amount) for hotkey, amount in voided.items()]
    return [*movements, (BURN, "void", sum(voided.values()))] if voided else movements
