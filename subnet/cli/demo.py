"""`subnet demo`: the main job on one machine, with no argument needed."""

from pathlib import Path
from typing import Annotated

import typer

from subnet.cli.simulate import Out, Rounds, Seed, play


def demo(
    rounds: Rounds = None,
    seed: Seed = None,
    out: Out = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of tables.")] = False,
) -> None:
    """Train on MNIST with 11 honest clients and 5 cheats, pay them, and show plain FedAvg beside it.

    The same as `subnet simulate examples/digits --compare fedavg`.
    """
    play(example("digits"), rounds=rounds, seed=seed, out=out, compare="fedavg", json_output=json_output)


def example(name: str) -> Path:
    """Return the folder of an example: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "examples" / name
    return inside if inside.is_dir() else package.parent / "examples" / name
