"""The rules that the tables keep whoever writes to them, as triggers on SQLite and on PostgreSQL.

They guard against accidents and honest tools; `verify_ledger` against the rest.
"""
# ruff: noqa: S608 - the statements are put together from this file's own constants

from itertools import groupby
from typing import Final, NamedTuple

# in halves, as in `sums`: those of what orders move to and fro could overflow
_UNBALANCED: Final = (
    "(SELECT coalesce(sum(amount >> 31) * 2147483648 + sum(amount & 2147483647), 0)"
    " FROM postings WHERE round = NEW.round) <> 0 OR "
    "(SELECT coalesce(sum(amount), 0) FROM postings WHERE round = NEW.round AND kind = 'emission' AND amount > 0)"
    " <> NEW.minted"
)
_HOTKEY: Final = "substr(NEW.account, instr(NEW.account, ':') + 1)"
_IS_PENDING: Final = "substr(NEW.account, 1, 8) = 'pending:'"
_IS_PARTICIPANT: Final = "substr(NEW.account, 1, 12) = 'participant:'"
_UNEARNED: Final = (
    f"({_IS_PENDING} OR {_IS_PARTICIPANT}) AND NOT EXISTS (SELECT 1 FROM receipts"
    f" WHERE round = NEW.round AND hotkey = {_HOTKEY} AND status = 'accepted' AND score > 0)"
)
_NOT_PENDING: Final = (
    f"NOT ({_IS_PENDING} AND NEW.amount < 0 OR {_IS_PARTICIPANT} AND EXISTS (SELECT 1"
    f" FROM postings WHERE round = NEW.round AND account = 'pending:' || {_HOTKEY} AND kind = 'release'"
    " AND amount = -NEW.amount))"
)
_NOT_STRUCK: Final = (
    f"NOT (NEW.account = 'burn' AND NEW.amount > 0 OR {_IS_PENDING} AND NEW.amount < 0"
    f" AND EXISTS (SELECT 1 FROM receipts WHERE round = NEW.round AND hotkey = {_HOTKEY} AND struck = 1))"
)
_UNORDERED: Final = (
    "NOT EXISTS (SELECT 1 FROM orders WHERE round = NEW.round AND kind = NEW.kind AND"
    " (source = NEW.account AND amount = -NEW.amount OR destination = NEW.account AND amount = NEW.amount))"
)
_PAID_TWICE: Final = (
    "EXISTS (SELECT 1 FROM postings WHERE round = NEW.round AND account = NEW.account AND kind = NEW.kind"
    " AND position <> NEW.position)"
)
_OUT_OF_TURN: Final = "NEW.nonce <> (SELECT coalesce(max(nonce), 0) + 1 FROM orders WHERE coldkey = NEW.coldkey)"
_SEALED: Final = "EXISTS (SELECT 1 FROM rounds WHERE round = NEW.round)"
_OUT_OF_ORDER: Final = "NEW.round <> (SELECT coalesce(max(round), 0) + 1 FROM rounds)"


class _Rule(NamedTuple):
    table: str
    name: str
    broken: str
    """Condition on which a row, `NEW`, is refused; SQLite's SQL, of which PostgreSQL's differs by one function."""
    message: str
    kinds: tuple[str, ...] = ()
    """The kinds of postings that it is about; all rows where empty."""

    @property
    def is_about(self) -> str:
        """The condition that a row is of one of these kinds."""
        return " OR ".join(f"NEW.kind = '{kind}'" for kind in self.kinds)


_TABLES: Final = ("genesis", "rounds", "receipts", "orders", "postings")
_ORDERED: Final = ("transfer", "stake", "unstake", "burn")
_INSERT_RULES: Final = (
    _Rule("genesis", "genesis_once", "EXISTS (SELECT 1 FROM genesis)", "a ledger has one genesis"),
    _Rule("rounds", "rounds_in_order", _OUT_OF_ORDER, "rounds are settled in order"),
    _Rule("rounds", "rounds_balanced", _UNBALANCED, "postings sum to zero and to what is minted"),
    _Rule("receipts", "receipts_sealed", _SEALED, "a settled round is sealed"),
    _Rule("orders", "orders_sealed", _SEALED, "a settled round is sealed"),
    _Rule("orders", "orders_in_turn", _OUT_OF_TURN, "orders of a coldkey follow its nonces"),
    _Rule("postings", "postings_sealed", _SEALED, "a settled round is sealed"),
    _Rule("postings", "postings_earned", _UNEARNED, "nobody is paid without an accepted receipt", ("emission",)),
    _Rule("postings", "postings_released", _NOT_PENDING, "what is released was pending", ("release",)),
    _Rule("postings", "postings_voided", _NOT_STRUCK, "pay is voided by a strike", ("void",)),
    _Rule("postings", "postings_ordered", _UNORDERED, "money moves by an order of its owner", _ORDERED),
)
_SQLITE_RULES: Final = (
    *_INSERT_RULES,
    _Rule("postings", "postings_once", _PAID_TWICE, "an account is paid once", ("emission", "release", "void")),
)
"""PostgreSQL has a unique index in the last one's place."""
_OF_MANY_ROWS: Final = ("receipts", "postings")
"""Checked after each insert: SQLite needs less time for that than for a check before it."""


def _sqlite(name: str, when: str, message: str) -> str:
    return f"CREATE TRIGGER {name} {when} BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _sqlite_insert(rule: _Rule) -> str:
    when = "AFTER" if rule.table in _OF_MANY_ROWS else "BEFORE"
    broken = f"({rule.is_about}) AND {rule.broken}" if rule.kinds else rule.broken
    return _sqlite(rule.name, f"{when} INSERT ON {rule.table} WHEN {broken}", rule.message)


SQLITE_TRIGGERS: Final = {rule.name: _sqlite_insert(rule) for rule in _SQLITE_RULES} | {
    f"{table}_no_{verb.lower()}": _sqlite(
        f"{table}_no_{verb.lower()}", f"BEFORE {verb} ON {table}", f"{table} is append-only"
    )
    for table in _TABLES
    for verb in ("UPDATE", "DELETE")
}
"""By name, the statement that makes it."""


def _body(rules: list[_Rule]) -> str:
    """Return the body of a PL/pgSQL function that refuses a row by the first rule that it breaks."""
    return f"\nBEGIN\n{''.join(_check(rule) for rule in rules)}  RETURN NEW;\nEND\n"


def _check(rule: _Rule) -> str:
    check = (
        f"  IF {rule.broken.replace('instr(', 'strpos(')} THEN\n"
        f"    RAISE EXCEPTION '{rule.message}' USING ERRCODE = 'integrity_constraint_violation';\n  END IF;\n"
    )
    # apart, since a condition without a query is decided without one: a third of the time of a round
    return f"  IF {rule.is_about} THEN\n{check}  END IF;\n" if rule.kinds else check


POSTGRES_FUNCTIONS: Final = {
    f"{table}_rules": _body(list(rules)) for table, rules in groupby(_INSERT_RULES, key=lambda rule: rule.table)
} | {
    "append_only": "\nBEGIN\n  RAISE EXCEPTION USING MESSAGE = TG_TABLE_NAME || ' is append-only',"
    " ERRCODE = 'integrity_constraint_violation';\nEND\n"
}
"""By name, the body of a trigger function."""

POSTGRES_TRIGGERS: Final = {
    f"{table}_rules": f"CREATE TRIGGER {table}_rules BEFORE INSERT ON {table}"
    f" FOR EACH ROW EXECUTE FUNCTION {table}_rules()"
    for table in _TABLES
} | {
    f"{table}_append_only": f"CREATE TRIGGER {table}_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON {table}"
    " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    for table in _TABLES
}
"""By name, the statement that makes it, spelt as PostgreSQL spells it when it is asked."""


def postgres_statements(schema: str) -> list[str]:
    """Return what makes functions and triggers, in order.

    Args:
        schema: where the tables are. The functions look nowhere else, whatever the search path of whoever writes.
    """
    functions = [
        f'CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SET search_path = "{schema}", pg_temp AS $${body}$$'
        for name, body in POSTGRES_FUNCTIONS.items()
    ]
    return [*functions, *POSTGRES_TRIGGERS.values()]
