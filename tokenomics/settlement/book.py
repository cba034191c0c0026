"""Which address each coldkey's earnings go to, from export to export.

What was exported for an address stays its own: it may have been claimed. A coldkey that binds another address gets
there what it earns from then on. So no claim ever shrinks, and nothing is paid twice.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

from tokenomics._checks import INT64_MAX, check_hex, check_integer
from tokenomics.errors import SettlementError
from tokenomics.settlement.binding import EvmBinding

_DAMAGED: Final = "restore the run's settlement/book.json from a copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A binding, and from where on it counts.

    Attributes:
        binding: the coldkey's signed word.
        start: base units that the coldkey had been credited with elsewhere before.
    """

    binding: EvmBinding
    start: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """A run's bindings on one chain, and what was last exported.

    Attributes:
        chain_id: the chain on which the run is settled; a second one would pay everything twice.
        stretches: by coldkey, in order of nonce and of start; one or more each.
        exported: base units by coldkey at the last export.
    """

    chain_id: int
    stretches: Mapping[str, tuple[Stretch, ...]] = field(default_factory=dict)
    exported: Mapping[str, int] = field(default_factory=dict)

    def bind(self, bindings: Iterable[EvmBinding]) -> Self:
        """Return the book with new bindings taken up.

        Of a coldkey's bindings only that with the highest nonce counts; one that is in the book may be given again.

        Args:
            bindings: on this chain, in any order.

        Raises:
            SettlementError: a binding is of another chain, a nonce is older than one already seen of that coldkey, or
                one nonce names two addresses.
        """
        stretches = dict(self.stretches)
        for coldkey, newest in _newest(bindings).items():
            if newest.chain_id != self.chain_id:
                raise SettlementError(
                    f"the binding of {coldkey[:12]} is for chain {newest.chain_id}, the run is settled on "
                    f"{self.chain_id}",
                    remedy=f"sign one with --chain-id {self.chain_id}",
                )
            known = stretches.get(coldkey, ())
            if known and newest.nonce < known[-1].binding.nonce:
                raise SettlementError(
                    f"nonce {newest.nonce} of {coldkey[:12]}'s binding is older than {known[-1].binding.nonce}, which "
                    "was seen before",
                    remedy="give the newest binding, or sign one with a higher --nonce",
                )
            if known:
                _check_one_address(known[-1].binding, newest)
            if not known or newest.nonce > known[-1].binding.nonce:
                start = self.exported.get(coldkey, 0) if known else 0
                stretches[coldkey] = (*known, Stretch(binding=newest, start=start))
        return replace(self, stretches=stretches)

    def export(self, totals: Mapping[str, int]) -> tuple[Self, dict[str, int]]:
        """Return the book after an export, and what each address has earned in all.

        Args:
            totals: base units that each coldkey has earned in all, 0 to 2**63 - 1; one without a binding is left out.

        Returns:
            The book to keep, and base units by address, addresses ascending; none of 0.

        Raises:
            SettlementError: a coldkey has less than at the last export.
        """
        amounts: dict[str, int] = {}
        exported = dict(self.exported)
        for coldkey, stretches in self.stretches.items():
            total = check_integer("total", totals.get(coldkey, 0), maximum=INT64_MAX, error=SettlementError)
            if total < exported.get(coldkey, 0):
                raise SettlementError(
                    f"coldkey {coldkey[:12]} has {total} base units now and had {exported[coldkey]} at the last export",
                    remedy="a claim can't shrink: check the ledger with `subnet ledger verify`",
                )
            exported[coldkey] = total
            ends = [*(one.start for one in stretches[1:]), total]
            for one, end in zip(stretches, ends, strict=True):
                amounts[one.binding.address] = amounts.get(one.binding.address, 0) + end - one.start
        earned = {address: amounts[address] for address in sorted(amounts, key=str.lower) if amounts[address]}
        return replace(self, exported=exported), earned

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        stretches = {
            coldkey: [{"binding": one.binding.to_dict(), "start": one.start} for one in all_of_it]
            for coldkey, all_of_it in self.stretches.items()
        }
        return {"version": 1, "chain_id": self.chain_id, "stretches": stretches, "exported": dict(self.exported)}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Read what `to_dict` gave; every signature is checked again.

        Raises:
            SettlementError: it is something else, or was damaged.
        """
        try:
            if data["version"] != 1 or set(data["exported"]) - set(data["stretches"]):
                raise SettlementError("the book isn't of version 1, or exports without a binding", remedy=_DAMAGED)
            chain_id = check_integer("chain id", data["chain_id"], minimum=1, error=SettlementError)
            stretches = {coldkey: _stretches(coldkey, chain_id, rows) for coldkey, rows in data["stretches"].items()}
            exported = {
                coldkey: check_integer("exported", units, error=SettlementError)
                for coldkey, units in data["exported"].items()
            }
        except (TypeError, LookupError, AttributeError) as error:
            raise SettlementError("the book of bindings is damaged", remedy=_DAMAGED) from error
        for coldkey, found in stretches.items():
            starts = [one.start for one in found]
            if not found or starts[0] or sorted(starts) != starts or starts[-1] > exported.get(coldkey, 0):
                raise SettlementError(f"the book's amounts of {coldkey[:12]} aren't in order", remedy=_DAMAGED)
        return cls(chain_id=chain_id, stretches=stretches, exported=exported)


def _newest(bindings: Iterable[EvmBinding]) -> dict[str, EvmBinding]:
    found: dict[str, EvmBinding] = {}
    for binding in bindings:
        known = found.get(binding.coldkey)
        if known is not None:
            _check_one_address(known, binding)
        if known is None or binding.nonce > known.nonce:
            found[binding.coldkey] = binding
    return found


def _check_one_address(known: EvmBinding, other: EvmBinding) -> None:
    if (known.nonce, known.chain_id) == (other.nonce, other.chain_id) and known.address != other.address:
        raise SettlementError(
            f"{known.coldkey[:12]} signed two addresses with nonce {known.nonce}: {known.address} and {other.address}",
            remedy="have it sign one of them with a higher --nonce",
        )


def _stretches(coldkey: str, chain_id: int, rows: Any) -> tuple[Stretch, ...]:
    check_hex("coldkey", coldkey, error=SettlementError)
    found = tuple(
        Stretch(
            binding=EvmBinding.read(row["binding"]), start=check_integer("start", row["start"], error=SettlementError)
        )
        for row in rows
    )
    if any((one.binding.coldkey, one.binding.chain_id) != (coldkey, chain_id) for one in found):
        raise SettlementError(f"the book has another coldkey's or chain's binding at {coldkey[:12]}", remedy=_DAMAGED)
    return found
