"""Which validation samples a round is scored on: drawn only after all contributions are in, by nobody's choice.

At the opening of a round the validator publishes `commitment(nonce)`. When the round is closed, the seed is a hash of
the nonce and of every contribution received: the participants committed before they could know the nonce, and the
validator before it could know the contributions. Nonce and contributions are in the round's record and receipts, so
anyone recomputes the draw.

Source: the commit-reveal scheme of DESIGN section 5; for two honest-or-not parties it is Blum 1981, "Coin flipping by
telephone".
"""

import hashlib
from collections.abc import Mapping

from tokenomics.canonical import canonical_json


def commitment(nonce: str) -> str:
    """Return the hash that binds the validator to `nonce` (64 hex digits) without showing it.

    >>> commitment("00" * 32)[:16]
    'f4768289e3e4d875'
    """
    return hashlib.sha256(b"flower-subnet/nonce/v1\x00" + nonce.encode()).hexdigest()


def seed(*, round_number: int, nonce: str, contributions: Mapping[str, str]) -> str:
    """Return the round's seed, 64 hex digits.

    Args:
        round_number: from 1.
        nonce: what the validator had committed to.
        contributions: hash of the signed contribution by hotkey, of all that were received, good or bad.
    """
    document = canonical_json([round_number, nonce, sorted(contributions.items())])
    return hashlib.sha256(b"flower-subnet/draw/v1\x00" + document).hexdigest()


def sample(*, seed: str, pool_size: int, n_samples: int) -> list[int]:
    """Return `n_samples` different indices below `pool_size`, in the drawn order.

    The indices are those with the smallest SHA-256 of seed and index: a few lines in any language, with no library's
    random numbers in between.

    Args:
        seed: as `seed()` returns it.
        pool_size: number of samples to draw from.
        n_samples: at most `pool_size`.

    >>> sample(seed="00" * 32, pool_size=10, n_samples=3)
    [2, 0, 1]
    """
    prefix = b"flower-subnet/sample/v1\x00" + bytes.fromhex(seed)
    ranked = sorted(range(pool_size), key=lambda index: hashlib.sha256(prefix + index.to_bytes(8, "big")).digest())
    return ranked[:n_samples]
