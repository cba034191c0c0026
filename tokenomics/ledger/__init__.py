"""The ledger: double entry, append-only, a hash chain and signed Merkle log of rounds, on SQLite or PostgreSQL.

```
records.py      what goes in and comes out          planning.py     from scores to a sealed round, pure
schema.py       tables     rules.py   triggers      rows.py         reading and writing rows
vesting.py      pay that is pending, pure           checkpoint.py   the signed end, in a file of its own
log.py          the log of all rounds, pure         proofs.py       proofs of it for those without the ledger
accounts.py     whose each account is               title.py        a hotkey's word on its coldkey
order.py        a coldkey's signed order            spending.py     which orders apply, pure
place.py        a file, or a server's schema        connection.py, postgres.py   both, and their errors in words
migrate.py, migrations/   tables by revision        creation.py     a new ledger, whole or not at all
order_rows.py   reading and writing orders
reader.py       what can be asked of a ledger       store.py        Ledger: make, open, settle
verify.py, integrity.py, postgres_integrity.py      recompute everything
```
"""

from tokenomics.ledger.checkpoint import Checkpoint, checkpoint_path
from tokenomics.ledger.order import Order, SignedOrder
from tokenomics.ledger.planning import RoundPlan, plan_round
from tokenomics.ledger.proofs import (
    AccountFacts,
    GrowthFacts,
    OrderFacts,
    PaymentFacts,
    prove_account,
    prove_growth,
    prove_order,
    prove_payment,
    verify_proof,
)
from tokenomics.ledger.records import Genesis, Posting, ReceiptEntry, RoundRow, Settlement, Status
from tokenomics.ledger.spending import Book, Refusal, refusal
from tokenomics.ledger.store import Ledger, copy_ledger, rewrite_checkpoint
from tokenomics.ledger.title import Title
from tokenomics.ledger.verify import Verification, verify_ledger
from tokenomics.ledger.vesting import Earnings, Payout, Pending

__all__ = [
    "AccountFacts",
    "Book",
    "Checkpoint",
    "Earnings",
    "Genesis",
    "GrowthFacts",
    "Ledger",
    "Order",
    "OrderFacts",
    "PaymentFacts",
    "Payout",
    "Pending",
    "Posting",
    "ReceiptEntry",
    "Refusal",
    "RoundPlan",
    "RoundRow",
    "Settlement",
    "SignedOrder",
    "Status",
    "Title",
    "Verification",
    "checkpoint_path",
    "copy_ledger",
    "plan_round",
    "prove_account",
    "prove_growth",
    "prove_order",
    "prove_payment",
    "refusal",
    "rewrite_checkpoint",
    "verify_ledger",
    "verify_proof",
]
