"""The transparency log of a ledger: a Merkle tree whose first leaf is the genesis and whose others are the rounds.

A leaf holds a round's numbers, the roots of its receipts and postings and the head of the hash chain, so a proof that a
round is in the log, and that a receipt or posting is in the round, is a proof of payment that needs nothing else.

Source: RFC 6962, section 2.1.
"""

import re
from collections.abc import Iterable
from typing import Any

from tokenomics.canonical import canonical_json, sha256_hex
from tokenomics.ledger.records import Genesis, RoundRow
from tokenomics.merkle import leaf_hash, node_hash


def genesis_head(genesis: Genesis) -> str:
    """Return the first link of the hash chain."""
    return sha256_hex(b"flower-subnet/ledger-genesis/v3\x00" + canonical_json(genesis.to_dict()))


def origin_of(genesis: Genesis) -> str:
    """Return the log's name: the subnet's, and what tells its ledger from any other."""
    name = re.sub(r"[^A-Za-z0-9._-]", "-", genesis.subnet)
    return f"{name}/{genesis_head(genesis)[:16]}"


def genesis_leaf(genesis: Genesis) -> bytes:
    """Return the log's first leaf."""
    return canonical_json(genesis.to_dict())


def leaf_fields(row: RoundRow) -> dict[str, Any]:
    """Return what a round's leaf holds, as plain data."""
    return {**row.content, "head": row.head}


def round_leaf(row: RoundRow) -> bytes:
    """Return a round's leaf."""
    return canonical_json(leaf_fields(row))


class Log:
    """A growing tree of which only the perfect subtrees' roots are kept: at most one for each bit of its size.

    Args:
        leaves: those it begins with.

    >>> from tokenomics.merkle import merkle_root
    >>> Log([b"a", b"b", b"c"]).root == merkle_root([b"a", b"b", b"c"])
    True
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self.size = 0
        self._subtrees: list[str] = []
        for leaf in leaves:
            self._add(leaf)

    @property
    def root(self) -> str:
        """Root of all leaves, of which there has to be one."""
        *rest, found = self._subtrees
        for subtree in reversed(rest):
            found = node_hash(subtree, found)
        return found

    def then(self, leaf: bytes) -> "Log":
        """Return the log with one more leaf; this one stays as it is."""
        longer = Log()
        longer.size, longer._subtrees = self.size, [*self._subtrees]
        longer._add(leaf)
        return longer

    def _add(self, leaf: bytes) -> None:
        found = leaf_hash(leaf)
        size = self.size
        while size % 2:
            found = node_hash(self._subtrees.pop(), found)
            size //= 2
        self._subtrees.append(found)
        self.size += 1
