"""What several revisions do: take the rules away, and make today's."""

from sqlalchemy import Connection

from tokenomics.ledger.rules import POSTGRES_FUNCTIONS, SQLITE_TRIGGERS, postgres_statements


def drop_rules(connection: Connection) -> None:
    """Take all of the ledger's triggers away, of whatever revision they are."""
    if connection.dialect.name == "sqlite":
        names = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'trigger'").scalars().all()
        for name in names:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        return
    for name in POSTGRES_FUNCTIONS:
        connection.exec_driver_sql(f"DROP FUNCTION IF EXISTS {name}() CASCADE")  # with its triggers


def make_rules(connection: Connection) -> None:
    """Make the triggers of today."""
    if connection.dialect.name == "sqlite":
        statements = list(SQLITE_TRIGGERS.values())
    else:
        statements = postgres_statements(connection.exec_driver_sql("SELECT current_schema()").scalar_one())
    for statement in statements:
        connection.exec_driver_sql(statement)
