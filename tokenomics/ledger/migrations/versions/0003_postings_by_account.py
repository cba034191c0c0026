"""The third revision: postings by account within a round, and on SQLite a rule in the place of their unique index."""

from alembic import op

from tokenomics.ledger.migrations.rewriting import drop_rules, make_postings_anew, make_rules

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Change the primary key of postings, and put the rules of today in the place of the old ones.

    The triggers are those of `rules`, and the revisions before make none: one that changes them takes this part over.
    """
    connection = op.get_bind()
    drop_rules(connection)
    key = ("round", "account", "kind", "position")
    if connection.dialect.name == "sqlite":
        make_postings_anew(*key)
    else:
        op.drop_constraint("postings_pkey", "postings")
        op.create_primary_key("postings_pkey", "postings", list(key))
    make_rules(connection)
