"""Who takes part in a simulation: so many honest clients, so many cheats of each kind."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from clients import adversaries, colluders, free_riders, jittered, protocol_cheats, sybils, turncoats
from clients.behaviour import Behaviour
from clients.errors import CastError

_CHEATS: tuple[type[Behaviour], ...] = (
    adversaries.SignFlip,
    adversaries.Scaling,
    adversaries.LabelFlip,
    adversaries.TargetedFlip,
    adversaries.NoisyLabels,
    adversaries.Backdoor,
    adversaries.NotANumber,
    adversaries.Infinite,
    adversaries.Denormals,
    colluders.MeanFlip,
    colluders.InnerProduct,
    colluders.LittleIsEnough,
    colluders.Mimic,
    colluders.MinMax,
    colluders.MinSum,
    colluders.OptimisedInnerProduct,
    colluders.OptimisedLittleIsEnough,
    jittered.JitteredLittleIsEnough,
    jittered.JitteredInnerProduct,
    jittered.JitteredMimic,
    jittered.SteadyLittleIsEnough,
    jittered.SteadyMimic,
    free_riders.Zero,
    free_riders.Noise,
    free_riders.Stale,
    free_riders.StaleNoise,
    free_riders.Extrapolation,
    free_riders.OldMixture,
    free_riders.Lazy,
    free_riders.ProbeOnly,
    free_riders.Copycat,
    free_riders.Leak,
    turncoats.OnOff,
    turncoats.OnOffPoison,
    turncoats.SlowPoison,
    turncoats.Coasting,
    turncoats.Burst,
    sybils.SybilClone,
    sybils.SybilSplit,
    sybils.SameData,
    protocol_cheats.Unsigned,
    protocol_cheats.Forged,
    protocol_cheats.HugeExamples,
    protocol_cheats.WrongSigner,
    protocol_cheats.WrongNode,
    protocol_cheats.Replayed,
    protocol_cheats.WrongBase,
    protocol_cheats.WrongNames,
    protocol_cheats.Oversized,
    protocol_cheats.Malformed,
    protocol_cheats.Altered,
    protocol_cheats.Crash,
    protocol_cheats.Late,
)
KINDS: dict[str, type[Behaviour]] = {"honest": Behaviour, **{cheat.kind: cheat for cheat in _CHEATS}}
"""Every kind of client that a cast can name."""

MAX_CLIENTS = 10_000


def parse_cast(cast: str) -> tuple[str, ...]:
    """Read a cast such as `honest=8,sign_flip=2,copycat:0.05=1`.

    Returns:
        One role (`kind` or `kind:strength`) a client, honest ones first: their index is the partition they get.

    Raises:
        CastError: an unknown kind, a count below 1, no honest client, or too many clients.
    """
    roles: list[str] = []
    for entry in cast.split(","):
        role, _, count = entry.strip().partition("=")
        behaviour(role)
        if not (count.isascii() and count.isdigit() and len(count) < 10 and int(count) > 0):
            raise CastError(
                f"cast {entry.strip()!r}: {count!r} isn't a count", remedy="write KIND=COUNT, COUNT at least 1"
            )
        roles += [role] * min(int(count), MAX_CLIENTS + 1)
    if len(roles) > MAX_CLIENTS:
        raise CastError(f"cast {cast!r} has more than {MAX_CLIENTS:,} clients", remedy="use fewer")
    if "honest" not in roles:
        raise CastError(f"cast {cast!r} has no honest client", remedy="add honest=COUNT")
    return tuple(sorted(roles, key=lambda role: role != "honest"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose a client is.

    Attributes:
        owner: number of the part of the training data that its owner has, from 0.
        place: which of the owner's identities it is, from 0.
        size: how many those are.
    """

    owner: int
    place: int
    size: int


@lru_cache(maxsize=16)
def identities(roles: tuple[str, ...]) -> tuple[Identity, ...]:
    """Return whose each client is: one owner a client, but for roles that are one owner's many identities."""
    counts, seen = Counter(roles), Counter[str]()
    owner_of: dict[str, int] = {}
    found: list[Identity] = []
    n_owners = 0
    for role in roles:
        shared = behaviour(role).one_owner
        if shared and role in owner_of:
            owner = owner_of[role]
        else:
            owner = owner_of[role] = n_owners
            n_owners += 1
        found.append(Identity(owner=owner, place=seen[role] if shared else 0, size=counts[role] if shared else 1))
        seen[role] += 1
    return tuple(found)


def kind(role: str) -> str:
    """Return the kind of a role: `copycat` for `copycat:0.05`."""
    return role.partition(":")[0]


def behaviour(role: str) -> Behaviour:
    """Return the behaviour of a role.

    Raises:
        CastError: an unknown kind, or a strength that the kind doesn't take or that isn't a number from 0.
    """
    name, has_strength, strength = role.partition(":")
    found = KINDS.get(name)
    if found is None:
        raise CastError(f"client kind {name!r} is unknown", remedy=f"use one of {', '.join(KINDS)}")
    if not has_strength:
        return found()
    if "strength" not in getattr(found, "__dataclass_fields__", {}):
        raise CastError(f"client kind {name!r} takes no strength", remedy=f"write {name}=COUNT")
    try:
        value = float(strength)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise CastError(f"strength {strength!r} of {name} isn't a number from 0", remedy=f"write {name}:2.5=COUNT")
    return found(value)  # type: ignore[call-arg]
