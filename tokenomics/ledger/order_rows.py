"""Reading and writing the ledger's orders, and what they are judged by, within a transaction that the caller opened."""

from typing import Any, Final

from sqlalchemy import Connection, func, or_, select

from tokenomics.ledger import schema
from tokenomics.ledger.accounts import hotkey_of
from tokenomics.ledger.log import genesis_head
from tokenomics.ledger.order import Order, SignedOrder
from tokenomics.ledger.records import Genesis
from tokenomics.ledger.spending import Book
from tokenomics.ledger.sums import halves, whole
from tokenomics.ledger.title import Title

_FIELDS: Final = ("kind", "coldkey", "source", "destination", "amount", "nonce", "expires")


def order_values(number: int, position: int, signed: SignedOrder) -> tuple[Any, ...]:
    """Return an order as a row of its table, columns in order; the subnet is the ledger's own, so it isn't there."""
    title = ("", "") if signed.title is None else (signed.title.document, signed.title.signature)
    fields = (getattr(signed.order, name) for name in _FIELDS)
    return (number, position, *fields, signed.signature, *title)


def read_orders(connection: Connection, genesis: Genesis, number: int) -> list[SignedOrder]:
    """Return a round's orders by position; their signatures aren't checked.

    Raises:
        LedgerError: a column isn't what the schema says.
    """
    table = schema.orders
    query = select(table).where(table.c.round == number).order_by(table.c.position)
    head = genesis_head(genesis)
    return [_order(row, head) for row in connection.execute(query).mappings()]


def read_ordered(connection: Connection, genesis: Genesis, account: str, height: int) -> dict[int, list[SignedOrder]]:
    """Return the orders up to round `height` that an account paid or received by, by round and in their order."""
    table = schema.orders
    touched = or_(table.c.source == account, table.c.destination == account)
    query = select(table).where(table.c.round <= height, touched).order_by(table.c.round, table.c.position)
    head = genesis_head(genesis)
    found: dict[int, list[SignedOrder]] = {}
    for row in connection.execute(query).mappings():
        found.setdefault(row["round"], []).append(_order(row, head))
    return found


def find_order(connection: Connection, genesis: Genesis, coldkey: str, nonce: int) -> tuple[int, SignedOrder] | None:
    """Return a coldkey's order of a nonce and the round that settled it; None where none has."""
    table = schema.orders
    query = select(table).where(table.c.coldkey == coldkey, table.c.nonce == nonce)
    row = connection.execute(query).mappings().first()
    return None if row is None else (row["round"], _order(row, genesis_head(genesis)))


def read_book(connection: Connection, *, since: int = 0, until: int) -> Book:
    """Return what the rounds after `since` up to `until` make of the book that orders are judged by.

    Args:
        connection: within a transaction.
        since: a settled round; 0 for the genesis, before which nobody has anything.
        until: another that isn't before it.
    """
    postings, orders = schema.postings, schema.orders
    ordered = orders.c.round.between(since + 1, until)
    sums = select(postings.c.account, *halves(postings.c.amount)).where(postings.c.round.between(since + 1, until))
    nonces = select(orders.c.coldkey, func.max(orders.c.nonce)).where(ordered)
    spent = select(orders.c.source, orders.c.coldkey).distinct().where(ordered)
    return Book(
        balances={account: whole(*parts) for account, *parts in connection.execute(sums.group_by(postings.c.account))},
        nonces={row[0]: row[1] for row in connection.execute(nonces.group_by(orders.c.coldkey))},
        holders={
            hotkey: coldkey
            for source, coldkey in connection.execute(spent)
            if (hotkey := hotkey_of(source)) is not None
        },
    )


def _order(row: Any, head: str) -> SignedOrder:
    titled = row["title"] or row["title_signature"]
    title = Title(document=row["title"], signature=row["title_signature"]) if titled else None
    order = Order(subnet=head, **{name: row[name] for name in _FIELDS})
    return SignedOrder(order=order, signature=row["signature"], title=title)
