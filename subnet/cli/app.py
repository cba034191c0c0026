"""The commands, each in the module of its group."""

from typing import Annotated

import typer

from subnet._version import __version__
from subnet.cli import (
    arena_group,
    audit,
    bundle,
    demo,
    earnings,
    emission,
    explain,
    ledger,
    orders,
    score,
    settlement,
    simulate,
    statement,
    strategies,
    verify,
    wallet,
)

app = typer.Typer(
    name="subnet",
    help="Train a model with strangers on Flower, and pay them for what their training is worth.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"flower-subnet {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read the options that every command shares."""
    del debug, version


app.command("demo")(demo.demo)
app.command("simulate")(simulate.simulate)
app.command("explain")(explain.explain)
app.command("earnings")(earnings.earnings)
app.command("statement")(statement.statement)
app.add_typer(arena_group.app, name="arena")
app.command("score")(score.score)
app.command("audit")(audit.audit)
app.command("bundle")(bundle.bundle)
app.command("strategies")(strategies.strategies)
app.command("emission")(emission.emission)
app.add_typer(ledger.app, name="ledger")
app.command("verify")(verify.verify)
app.add_typer(settlement.app, name="settlement")
for order in (orders.transfer, orders.stake, orders.unstake, orders.burn, orders.balance):
    wallet.app.command(order.__name__)(order)
app.add_typer(wallet.app, name="wallet")
