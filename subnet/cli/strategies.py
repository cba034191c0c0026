"""`subnet strategies`: every aggregation rule that can be named in subnet.toml."""

import json
from typing import Annotated

import typer


def strategies(
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the aggregation rules with their settings and sources."""
    from strategies import describe

    rules = describe()
    if json_output:
        rows = [
            {"name": rule.name, "summary": rule.summary, "source": rule.source, "settings": dict(rule.settings)}
            for rule in rules
        ]
        typer.echo(json.dumps({"strategies": rows}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("strategy", "what it does", "settings", "source", box=None, header_style="bold")
    for rule in rules:
        settings = ", ".join(f"{name}={value!r}" for name, value in rule.settings.items())
        table.add_row(rule.name, rule.summary, settings, rule.source)
    Console(highlight=False).print(table)
