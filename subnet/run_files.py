"""Names of the files in a run's folder, apart from everything that is slow to import."""

LEDGER_NAME = "ledger.sqlite"
PLAN_NAME = "run.json"
NONCES_NAME = "nonces.secret"
"""What a real validator's nonces come from; never part of a bundle."""
