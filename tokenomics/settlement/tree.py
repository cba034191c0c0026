"""The tree of claims and its file, byte for byte as `StandardMerkleTree` of `@openzeppelin/merkle-tree` 1.0 has them.

A leaf is hashed twice, so that no inner node passes for one; the two below a node are hashed in ascending order, so
that a proof needs no directions. Leaves are sorted by hash. The tree is one array: the root first, the children of node
i at 2i + 1 and 2i + 2, the first leaf last.

Source: the reference implementation `@openzeppelin/merkle-tree` 1.0.8, format `standard-v1`.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from tokenomics.errors import SettlementError
from tokenomics.settlement.evm import check_hash, checksum_address, encode_claim, keccak256

_FORMAT: Final = "standard-v1"
_ENCODING: Final = ("address", "uint256")
_REMEDY: Final = "give the file that `subnet settlement export` wrote, unchanged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What an account has earned in all.

    Args:
        account: an address; kept in its checksum spelling.
        amount: units of 18 decimals, 0 to 2**256 - 1; cumulative, so that what was claimed before is part of it.

    Raises:
        SettlementError: either is out of range.
    """

    account: str
    amount: int

    def __post_init__(self) -> None:
        encode_claim(self.account, self.amount)
        object.__setattr__(self, "account", checksum_address(self.account))

    @property
    def leaf(self) -> bytes:
        """The 32-byte hash of its hash."""
        return keccak256(keccak256(encode_claim(self.account, self.amount)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimTree:
    """Claims, and the hashes above them.

    Attributes:
        claims: in the order given, each account once.
        nodes: 2n - 1 hashes of 32 bytes for n claims, the root first.
        places: index into `nodes` of each claim's leaf.
    """

    claims: tuple[Claim, ...]
    nodes: tuple[bytes, ...]
    places: tuple[int, ...]

    @classmethod
    def of(cls, claims: Iterable[Claim]) -> Self:
        """Build the tree of one claim or more.

        Raises:
            SettlementError: there is none, or an account has two.
        """
        kept = tuple(claims)
        if not kept:
            raise SettlementError("there is no claim to build a tree of", remedy="export when somebody has earned")
        accounts = [claim.account for claim in kept]
        if len(set(accounts)) < len(accounts):
            twice = next(account for account in accounts if accounts.count(account) > 1)
            raise SettlementError(f"account {twice} has two claims", remedy="add them up")
        leaves = [claim.leaf for claim in kept]
        n_nodes = 2 * len(leaves) - 1
        places = [0] * len(leaves)
        nodes = [b""] * n_nodes
        for rank, index in enumerate(sorted(range(len(leaves)), key=leaves.__getitem__)):
            places[index] = n_nodes - 1 - rank
            nodes[places[index]] = leaves[index]
        for node in range(len(leaves) - 2, -1, -1):
            nodes[node] = _parent(nodes[2 * node + 1], nodes[2 * node + 2])
        return cls(claims=kept, nodes=tuple(nodes), places=tuple(places))

    @classmethod
    def load(cls, text: str) -> Self:
        """Read a file of claims and recompute every hash in it.

        Args:
            text: what `dump` returned, or the JavaScript library's `JSON.stringify(tree.dump())` of accounts in their
                checksum spelling, once each.

        Raises:
            SettlementError: it is something else, or was altered.
        """
        try:
            document = json.loads(text)
            values = [entry["value"] for entry in document["values"]]
            tree = cls.of(Claim(account=account, amount=_amount(amount)) for account, amount in values)
        except (ValueError, TypeError, LookupError) as error:
            raise SettlementError("the claims aren't a dump of a tree of [address, uint256]", remedy=_REMEDY) from error
        if document != tree.document():
            raise SettlementError("the claims don't match their own tree: they were altered", remedy=_REMEDY)
        return tree

    @property
    def root(self) -> str:
        """`0x` and 64 hexadecimal digits."""
        return _hex(self.nodes[0])

    @property
    def total(self) -> int:
        """All claims together, in units of 18 decimals."""
        return sum(claim.amount for claim in self.claims)

    def claim(self, account: str) -> Claim:
        """Return an account's claim.

        Raises:
            SettlementError: the address is malformed, or has no claim.
        """
        return self.claims[self._index(account)]

    def proof(self, account: str) -> list[str]:
        """Return the hashes beside the way from an account's leaf to the root, lowest first.

        Raises:
            SettlementError: the address is malformed, or has no claim.
        """
        place, steps = self.places[self._index(account)], []
        while place:
            steps.append(_hex(self.nodes[place + 1 if place % 2 else place - 1]))
            place = (place - 1) // 2
        return steps

    def dump(self) -> str:
        """Return the file: what `JSON.stringify(tree.dump())` gives in JavaScript, to the byte."""
        return json.dumps(self.document(), separators=(",", ":"))

    def document(self) -> dict[str, Any]:
        """Return what `dump` writes, as plain data."""
        entries = zip(self.claims, self.places, strict=True)
        return {
            "format": _FORMAT,
            "leafEncoding": list(_ENCODING),
            "tree": [_hex(node) for node in self.nodes],
            "values": [{"value": [one.account, str(one.amount)], "treeIndex": place} for one, place in entries],
        }

    def _index(self, account: str) -> int:
        wanted = checksum_address(account)
        for index, claim in enumerate(self.claims):
            if claim.account == wanted:
                return index
        raise SettlementError(
            f"account {wanted} has no claim among {len(self.claims)}",
            remedy="bind the address with `subnet wallet bind-evm`, and have the claims exported again",
        )


def verify_claim(*, root: str, account: str, amount: int, proof: Sequence[str]) -> bool:
    """Whether a proof shows that the tree with this root holds this claim, as the distributor checks it.

    Args:
        root: `0x` and 64 hexadecimal digits.
        account: an address.
        amount: its cumulative amount, in units of 18 decimals.
        proof: what `ClaimTree.proof` gave.

    Raises:
        SettlementError: something is malformed.
    """
    found = Claim(account=account, amount=amount).leaf
    for step in proof:
        found = _parent(found, check_hash("a step of the proof", step))
    return found == check_hash("root", root)


def _parent(one: bytes, other: bytes) -> bytes:
    return keccak256(min(one, other) + max(one, other))


def _hex(digest: bytes) -> str:
    return f"0x{digest.hex()}"


def _amount(text: object) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 78:
        raise SettlementError(f"amount {text!r:.80} isn't a whole number as text", remedy=_REMEDY)
    return int(text)
