"""`subnet verify`: check a proof offline, with nothing but the validator's public key."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subnet.errors import RunError

if TYPE_CHECKING:
    from tokenomics.ledger import AccountFacts, OrderFacts, PaymentFacts

_MAX_BYTES = 16 * 2**20
"""No proof is longer; checked before it is read."""


def verify(
    file: Annotated[
        Path,
        typer.Argument(metavar="PROOF", help="What `subnet ledger prove`, `prove-order` or `consistency` printed."),
    ],
    key: Annotated[str, typer.Option("--key", help="The validator's key for its log: NAME+ID+KEY, as published.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check a proof of payment, of an order, or that one checkpoint extends another; exit 1 where it doesn't hold."""
    from tokenomics.errors import ProofError
    from tokenomics.ledger import AccountFacts, GrowthFacts, OrderFacts, verify_proof
    from tokenomics.note import VerifierKey

    verifier = VerifierKey.parse(key)
    document = _read(file)
    try:
        facts = verify_proof(document, verifier)
    except ProofError as error:
        typer.echo(json.dumps({"ok": False, "error": error.message}) if json_output else f"doesn't hold: {error}")
        raise typer.Exit(1) from error
    if json_output:
        typer.echo(json.dumps({"ok": True, **asdict(facts)}))
    elif isinstance(facts, GrowthFacts):
        typer.echo(
            f"{facts.subnet}: round {facts.later} extends round {facts.earlier}: nothing up to that was rewritten"
        )
    elif isinstance(facts, OrderFacts):
        _tell_order(facts)
    elif isinstance(facts, AccountFacts):
        _tell_account(facts)
    else:
        _tell(facts)


def _tell(facts: "PaymentFacts") -> None:
    _tell_round(facts)
    typer.echo(f"hotkey   {facts.hotkey}")
    if facts.status:
        typer.echo(f"receipt  {facts.status}, score {facts.score}, {facts.receipt_hash}")
    for account, kind, amount in facts.movements:
        typer.echo(f"posting  {amount:+d} base units to {account.partition(':')[0]} ({kind})")


def _tell_account(facts: "AccountFacts") -> None:
    _tell_round(facts)
    typer.echo(f"account  {facts.account}")
    for _, kind, amount in facts.movements:
        typer.echo(f"posting  {amount:+d} base units ({kind})")


def _tell_order(facts: "OrderFacts") -> None:
    _tell_round(facts)
    order = facts.order
    typer.echo(f"coldkey  {order.coldkey}, nonce {order.nonce}")
    typer.echo(f"{order.kind:<8} {order.amount} base units")
    typer.echo(f"from     {order.source}")
    typer.echo(f"to       {order.destination}")


def _tell_round(facts: "PaymentFacts | AccountFacts | OrderFacts") -> None:
    settled = datetime.fromtimestamp(facts.settled_at, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    typer.echo(f"{facts.subnet}: in the log of {facts.size - 1} rounds, signed by the validator")
    typer.echo(f"round    {facts.round}, settled {settled}")


def _read(file: Path) -> object:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise RunError(f"{file} can't be read: {error.strerror}", remedy="check the path") from error
    try:
        return json.loads(data[:_MAX_BYTES])
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file} isn't JSON", remedy="give the proof as it was written") from error
