"""Recompute a run from what its validator published, and say where that differs from what it recorded.

```
compare.py    is a recorded value the recomputed one: exactly, or within the tolerance of another machine
findings.py   the layers, what was checked in each, and the first disagreement
replay.py     one settled round, worked out again by the code that played it
layers.py     its receipts and record against the recomputed ones, layer by layer
money.py      the ledger: postings, log, and a checkpoint that somebody kept
run.py        all of it, round by round
```
"""

from subnet.audit.findings import LAYERS, Finding, Report
from subnet.audit.run import Claims, audit

__all__ = ["LAYERS", "Claims", "Finding", "Report", "audit"]
