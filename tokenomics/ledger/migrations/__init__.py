"""The ledger's tables from revision to revision, run by alembic; `tokenomics.ledger.migrate` calls it."""
