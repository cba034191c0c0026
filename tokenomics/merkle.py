"""The Merkle tree of certificate transparency: one hash that stands for an ordered list."""

import hashlib
from collections.abc import Sequence


def merkle_root(leaves: Sequence[bytes]) -> str:
    """Return the Merkle tree hash of a list, as 64 hexadecimal digits.

    A leaf is hashed behind a 0 byte and a node behind a 1 byte, so that neither passes for the other; the list is cut
    at the largest power of two below its length. No list but an equal one has the same root.

    Args:
        leaves: any number of byte strings, in order; none gives the SHA-256 of nothing.

    Source: RFC 6962, section 2.1.
    """
    if not leaves:
        return hashlib.sha256(b"").hexdigest()
    level = [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves]
    while len(level) > 1:
        # hashing neighbours level by level and carrying an odd one up cuts at the same powers of two, without recursion
        paired = [hashlib.sha256(b"\x01" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0].hex()
