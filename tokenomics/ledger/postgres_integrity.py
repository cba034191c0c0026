"""Does a PostgreSQL schema have the ledger's tables, types and triggers, and nothing that could show others in them?"""
# ruff: noqa: S608 - the statements are put together from this file's own constants

from sqlalchemy import Connection

from tokenomics.errors import LedgerCorruptError
from tokenomics.ledger import rules, schema
from tokenomics.ledger.migrate import VERSION_TABLE

_HERE = "relnamespace = current_schema()::regnamespace"
_RELATIONS = f"""
SELECT relname, relkind::text, relrowsecurity OR relhassubclass OR relispartition
FROM pg_class WHERE {_HERE} AND relkind NOT IN ('i', 'I', 't') ORDER BY relname"""
_COLUMNS = f"""
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), coalesce(l.collname, ''), a.attnotnull
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE {_HERE} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum"""
_TRIGGERS = f"""
SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled::text, p.prosrc, p.proconfig
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE {_HERE} AND NOT t.tgisinternal ORDER BY t.tgname"""
_REWRITES = f"""
SELECT r.rulename FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE {_HERE} AND c.relkind = 'r'"""


def server_problems(connection: Connection) -> list[str]:
    """Say what is wrong with a ledger's schema. A server checks its own files: see `pg_amcheck` for these.

    Raises:
        LedgerCorruptError: a table is missing or no table, so that nothing can be read.
    """
    return _table_problems(connection) + _trigger_problems(connection)


def _table_problems(connection: Connection) -> list[str]:
    relations = {name: (kind, odd) for name, kind, odd in connection.exec_driver_sql(_RELATIONS)}
    found: dict[str, list[tuple[str, str, str, bool]]] = {}
    for table, *column in connection.exec_driver_sql(_COLUMNS):
        found.setdefault(table, []).append((column[0], column[1], column[2], column[3]))
    problems = []
    for name, table in schema.metadata.tables.items():
        kind, odd = relations.pop(name, ("", False))
        if kind != "r":
            raise LedgerCorruptError(f"schema: table {name} is missing", remedy="give a ledger, or a backup")
        expected = [
            (column.name, *(("bigint", "") if column.type is schema.INTEGER else ("text", "C")), True)
            for column in table.columns
        ]
        if found[name] != expected:
            raise LedgerCorruptError(f"schema: table {name} has other columns", remedy="give a ledger")
        if odd:
            problems.append(f"schema: table {name} hides rows, or shows another table's")
    relations.pop(VERSION_TABLE, None)
    problems += [f"schema: {name!r:.80} doesn't belong here" for name in relations]
    rewrites = connection.exec_driver_sql(_REWRITES).scalars()
    return problems + [f"schema: rule {name!r:.80} doesn't belong here" for name in rewrites]


def _trigger_problems(connection: Connection) -> list[str]:
    path = f"search_path={connection.exec_driver_sql('SELECT quote_ident(current_schema())').scalar_one()}, pg_temp"
    found = {name: tuple(rest) for name, *rest in connection.exec_driver_sql(_TRIGGERS)}
    problems = []
    for name, definition in rules.POSTGRES_TRIGGERS.items():
        function = definition.rpartition(" ")[2].removesuffix("()")
        expected = (definition, "O", rules.POSTGRES_FUNCTIONS[function], [path])
        if name not in found:
            problems.append(f"schema: trigger {name} is missing")
        elif found[name] != expected:
            problems.append(f"schema: trigger {name} was changed or switched off")
    extra = found.keys() - rules.POSTGRES_TRIGGERS.keys()
    return problems + [f"schema: {name!r:.80} doesn't belong here" for name in sorted(extra)]
