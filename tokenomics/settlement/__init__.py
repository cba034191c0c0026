"""What participants earned, made claimable on an EVM chain: a Merkle tree of (address, cumulative amount).

```
evm.py       Keccak-256, addresses with their checksum, amounts of 18 decimals, call data
tree.py      the tree, its proofs and its file, as `@openzeppelin/merkle-tree` writes them
binding.py   a coldkey's signed word on which address is its own
book.py      which address each coldkey's earnings go to, so that nothing is paid twice
```
"""

from tokenomics.settlement.binding import EvmBinding
from tokenomics.settlement.book import Book
from tokenomics.settlement.evm import checksum_address, claim_call, keccak256, post_root_call, scale
from tokenomics.settlement.tree import Claim, ClaimTree, verify_claim

__all__ = [
    "Book",
    "Claim",
    "ClaimTree",
    "EvmBinding",
    "checksum_address",
    "claim_call",
    "keccak256",
    "post_root_call",
    "scale",
    "verify_claim",
]
