"""`subnet bundle`: what a validator publishes of its run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def bundle(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder or .tar file to write.")],
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write what anyone needs to audit a run, and no secret: no nonce to come, no wallet, nothing of an open round.

    The run may go on meanwhile; what is settled by now is in the bundle.
    """
    from subnet.bundle import bundle as write

    done = write(run, out)
    if json_output:
        typer.echo(json.dumps(asdict(done) | {"path": str(done.path)}))
        return
    typer.echo(f"{done.path}: {done.rounds} rounds of {done.log}, {done.n_files:,} files, {done.size_bytes:,} bytes")
    typer.echo(f"head {done.head}")
    if done.n_left_out:
        typer.echo(f"left out: {done.n_left_out} contributions to no settled round")
