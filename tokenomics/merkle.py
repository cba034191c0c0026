"""The Merkle tree of certificate transparency: one hash that stands for an ordered list, and proofs about it.

A leaf is hashed behind a 0 byte and a node behind a 1 byte, so that neither passes for the other; a list is cut at the
largest power of two below its length. Hashes are written as 64 lower-case hexadecimal digits.

Source: RFC 6962, section 2.1; the checks of proofs are those of its successor, RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

from collections.abc import Sequence
from hashlib import sha256

from tokenomics._checks import check_integer, is_hex
from tokenomics.errors import ProofError

__all__ = [
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "merkle_root",
    "node_hash",
    "root_of_hashes",
    "verify_consistency",
    "verify_inclusion",
]


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return the Merkle tree hash of a list. No list but an equal one has the same.

    Args:
        leaves: any number of byte strings, in order; none gives the SHA-256 of nothing.
    """
    # `_leaf` and `_node` written out here and below: a call for each hash takes a fifth of the time
    return _root([sha256(b"\x00" + leaf).digest() for leaf in leaves]).hex()


def leaf_hash(leaf: bytes) -> str:
    """Return the hash of a leaf, which is also the root of the list of it alone."""
    return _leaf(leaf).hex()


def node_hash(left: str, right: str) -> str:
    """Return the hash of a node over two others."""
    return _node(bytes.fromhex(left), bytes.fromhex(right)).hex()


def root_of_hashes(hashes: Sequence[str]) -> str:
    """Return the root of a list that is known by its leaves' hashes only."""
    return _root([bytes.fromhex(one) for one in hashes]).hex()


def inclusion_proof(hashes: Sequence[str], index: int) -> list[str]:
    """Return the hashes that show, with leaf `index`, what the root of the list is: its audit path.

    Args:
        hashes: of all leaves, in order, as `leaf_hash` gives them.
        index: from 0.

    Raises:
        ProofError: there is no such leaf.
    """
    if not 0 <= check_integer("index", index, error=ProofError) < len(hashes):
        raise ProofError(f"there is no leaf {index} among {len(hashes)}", remedy=f"give 0 to {len(hashes) - 1}")
    return [one.hex() for one in _path([bytes.fromhex(one) for one in hashes], index)]


def verify_inclusion(leaf: str, *, index: int, size: int, proof: Sequence[str], root: str) -> bool:
    """Whether a proof shows that a leaf is at `index` in the list of `size` leaves with this root.

    Args:
        leaf: its hash.
        index: from 0; an index outside the list isn't in it.
        size: number of leaves.
        proof: what `inclusion_proof` gave; anything malformed proves nothing.
        root: of the list.
    """
    if not 0 <= index < size or not all(is_hex(one, 64) for one in (leaf, root, *proof)):
        return False
    place, last, found = index, size - 1, bytes.fromhex(leaf)
    for step in proof:
        if last == 0:
            return False
        other = bytes.fromhex(step)
        if place % 2 or place == last:
            found = _node(other, found)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            found = _node(found, other)
        place, last = place >> 1, last >> 1
    return last == 0 and found.hex() == root


def consistency_proof(hashes: Sequence[str], earlier: int) -> list[str]:
    """Return the hashes that show that the first `earlier` leaves are what the list began with.

    Args:
        hashes: of all leaves, in order.
        earlier: from 1 up to their number; at either end nothing needs to be shown beyond the roots.

    Raises:
        ProofError: there were never so many leaves.
    """
    if not 1 <= check_integer("earlier size", earlier, error=ProofError) <= len(hashes):
        raise ProofError(f"a list of {len(hashes)} never had {earlier} leaves", remedy=f"give 1 to {len(hashes)}")
    return [one.hex() for one in _subproof([bytes.fromhex(one) for one in hashes], earlier, whole=True)]


def verify_consistency(*, earlier: int, earlier_root: str, later: int, later_root: str, proof: Sequence[str]) -> bool:
    """Whether a proof shows that the list with the earlier root is the beginning of that with the later one.

    Args:
        earlier: number of leaves then, 1 or more.
        earlier_root: the root then.
        later: number of leaves now.
        later_root: the root now.
        proof: what `consistency_proof` gave; anything malformed proves nothing.
    """
    if not 1 <= earlier <= later or not all(is_hex(one, 64) for one in (earlier_root, later_root, *proof)):
        return False
    if earlier == later:
        return not proof and earlier_root == later_root
    steps = [bytes.fromhex(one) for one in proof]
    if earlier & (earlier - 1) == 0:  # a whole subtree: its root is the earlier one, and isn't repeated in the proof
        steps.insert(0, bytes.fromhex(earlier_root))
    if not steps:
        return False
    place, last = earlier - 1, later - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    then = now = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place % 2 or place == last:
            then, now = _node(step, then), _node(step, now)
            while not place % 2 and place:
                place, last = place >> 1, last >> 1
        else:
            now = _node(now, step)
        place, last = place >> 1, last >> 1
    return last == 0 and then.hex() == earlier_root and now.hex() == later_root


def _leaf(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def _root(level: Sequence[bytes]) -> bytes:
    """Root over leaf hashes; pairing level by level and carrying an odd one up cuts at the same powers of two."""
    if not level:
        return sha256(b"").digest()
    while len(level) > 1:
        paired = [sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = [*paired, *level[len(paired) * 2 :]]
    return level[0]


def _cut(n: int) -> int:
    """The largest power of two below n, which is 2 or more."""
    return 1 << ((n - 1).bit_length() - 1)


def _path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    if len(hashes) == 1:
        return []
    cut = _cut(len(hashes))
    if index < cut:
        return [*_path(hashes[:cut], index), _root(hashes[cut:])]
    return [*_path(hashes[cut:], index - cut), _root(hashes[:cut])]


def _subproof(hashes: Sequence[bytes], earlier: int, *, whole: bool) -> list[bytes]:
    """SUBPROOF of RFC 6962, section 2.1.2: `whole` while these are the first leaves of the list."""
    if earlier == len(hashes):
        return [] if whole else [_root(hashes)]
    cut = _cut(len(hashes))
    if earlier <= cut:
        return [*_subproof(hashes[:cut], earlier, whole=whole), _root(hashes[cut:])]
    return [*_subproof(hashes[cut:], earlier - cut, whole=False), _root(hashes[:cut])]
