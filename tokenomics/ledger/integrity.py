"""Is the database a sound one, with the ledger's tables, types and triggers?"""

from sqlalchemy import Connection

from tokenomics.errors import LedgerCorruptError
from tokenomics.ledger import rules, schema
from tokenomics.ledger.migrate import revision_of
from tokenomics.ledger.postgres_integrity import server_problems


def schema_problems(connection: Connection) -> list[str]:
    """Say what is wrong with the database as such; the ledger's content is the business of `verify_ledger`.

    Raises:
        LedgerCorruptError: a table is missing or no table, so that nothing can be read.
    """
    found = revision_of(connection)
    look = _file_problems if connection.dialect.name == "sqlite" else server_problems
    if found == schema.REVISION:
        return look(connection)
    problem = f"schema: revision {found:.40}, not {schema.REVISION}"
    try:
        return [problem, *look(connection)]
    except LedgerCorruptError as error:  # the tables of another revision may well be others
        raise LedgerCorruptError(f"{problem}; {error}", remedy="bring it up with `subnet ledger upgrade`") from error


def _file_problems(connection: Connection) -> list[str]:
    found = connection.exec_driver_sql("PRAGMA integrity_check(10)")
    problems = [f"file: {message}" for (message,) in found if message != "ok"]
    return problems + _table_problems(connection) + _trigger_problems(connection)


def _table_problems(connection: Connection) -> list[str]:
    problems = []
    listed = {row["name"]: row for row in connection.exec_driver_sql("PRAGMA main.table_list").mappings()}
    for name, table in schema.metadata.tables.items():
        if name not in listed or listed[name]["type"] != "table":
            raise LedgerCorruptError(f"schema: table {name} is missing", remedy="give a ledger's file, or a backup")
        if not listed[name]["strict"]:
            problems.append(f"schema: table {name} isn't STRICT")
        columns = connection.exec_driver_sql(f"PRAGMA main.table_xinfo({name})").mappings().all()
        found = [(row["name"], row["type"], bool(row["pk"]), row["hidden"]) for row in columns]
        expected = [
            (column.name, column.type.compile(connection.dialect), column.primary_key, 0) for column in table.columns
        ]
        if found != expected:
            raise LedgerCorruptError(f"schema: table {name} has other columns", remedy="give a ledger's file")
    return problems


def _trigger_problems(connection: Connection) -> list[str]:
    query = "SELECT name, sql FROM sqlite_schema WHERE type IN ('trigger', 'view')"
    found = {str(name): str(sql) for name, sql in connection.exec_driver_sql(query)}
    expected = rules.SQLITE_TRIGGERS
    problems = [f"schema: trigger {name} is missing" for name in expected if name not in found]
    problems += [f"schema: {name!r:.80} doesn't belong here" for name in found if name not in expected]
    problems += [f"schema: trigger {n} was changed" for n, sql in expected.items() if n in found and found[n] != sql]
    return problems
