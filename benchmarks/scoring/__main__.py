"""What the default scorer costs, and how good it is: `python -m benchmarks.scoring PART [--seeds 10-14] [--json]`.

Parts, each a command with sizes of its own (`PART --help`):

- `cost`: CPU time of scoring beside one forward evaluation of every client, and where it goes
- `shapley`: correlation of the credits with exact Shapley values, of updates and of retrained coalitions
- `evenness`: how evenly honest clients are paid
- `minority`: the pay of a client that alone holds two classes
- `outliers`: AUC of the outlier checks, and honest clients beyond their thresholds

Runs are played by the engine of `subnet simulate`. Seeds 0 to 4 are for tuning; 10 to 14, the default, are held out.
What came out is in docs/scoring-benchmark.md. The exit status is 1 if a bar is missed.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from benchmarks.scoring import checks, cost, fairness, shapley
from benchmarks.scoring.report import Part, text
from clients.cast import behaviour
from clients.errors import ClientError
from clients.partition import parse as parse_partition

HELD_OUT = "10-14"


def seeds(given: str) -> list[int]:
    """Read `0,3` or `10-14`.

    >>> seeds("0,10-12")
    [0, 10, 11, 12]
    """
    found: list[int] = []
    for entry in given.split(","):
        first, dash, last = entry.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or (dash and int(last) < int(first)):
            raise argparse.ArgumentTypeError(f"{entry!r} isn't a seed or a range of them, such as 10-14")
        found += range(int(first), int(last or first) + 1)
    return found


def at_least(least: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `least` on."""

    def count(given: str) -> int:
        if not given.isdigit() or int(given) < least:
            raise argparse.ArgumentTypeError(f"{given!r} isn't a whole number from {least} on")
        return int(given)

    return count


def listed(check: Callable[[str], object]) -> Callable[[str], list[str]]:
    """Return a reader of a list with commas, each entry of which must pass `check`."""

    def names(given: str) -> list[str]:
        found = given.split(",")
        for entry in found:
            try:
                check(entry)
            except (ClientError, KeyError) as error:
                raise argparse.ArgumentTypeError(f"{entry!r}: {error}") from error
        return found

    return names


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; the program ends with what is wrong in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")

    one = _command(commands, "cost", "CPU time beside one evaluation of every client")
    one.add_argument("--clients", type=at_least(2), default=100)
    one.add_argument(
        "--evaluated", type=at_least(1), default=100, help="of how many clients, at most, the evaluations are timed"
    )
    one.add_argument("--repeats", type=at_least(1), default=5)
    one.add_argument("--models", type=listed(cost.MODELS.__getitem__), default=",".join(cost.MODELS))

    one = _played(commands, "shapley", "correlation with exact Shapley values", clients=8, rounds=6, least=3)
    one.add_argument("--partitions", type=listed(parse_partition), default=",".join(shapley.PARTITIONS))
    one.add_argument("--reconstructed-only", action="store_true", help="leave out the 2^n runs of the coalitions")

    one = _played(commands, "evenness", "how evenly honest clients are paid", clients=16, rounds=20)
    one.add_argument("--partitions", type=listed(parse_partition), default=",".join(fairness.PARTITIONS))

    _played(commands, "minority", "a client that alone holds two classes", clients=20, rounds=20)

    one = _played(commands, "outliers", "how well checks tell cheats from honest clients", clients=16, rounds=10)
    one.add_argument("--cheating", type=at_least(1), default=4, help="cheats beside the --clients honest ones")
    one.add_argument("--partitions", type=listed(parse_partition), default=",".join(checks.PARTITIONS))
    one.add_argument("--cheats", type=listed(behaviour), default=",".join(checks.CHEATS))
    return parser.parse_args(given)


def _command(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, words: str
) -> argparse.ArgumentParser:
    found = commands.add_parser(name, help=words, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    found.add_argument("--json", action="store_true", help="one object, instead of the tables")
    return found


def _played(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    words: str,
    *,
    clients: int,
    rounds: int,
    least: int = 2,
) -> argparse.ArgumentParser:
    found = _command(commands, name, words)
    found.add_argument(
        "--task", choices=("optdigits", "digits"), default="optdigits", help="the example that is played"
    )
    found.add_argument("--seeds", type=seeds, default=HELD_OUT)
    found.add_argument("--clients", type=at_least(least), default=clients)
    found.add_argument("--rounds", type=at_least(1), default=rounds)
    return found


def measured(options: argparse.Namespace) -> Part:
    """Measure what the options ask for."""
    if options.part == "cost":
        return cost.part(
            options.models, n_clients=options.clients, n_evaluated=options.evaluated, n_repeats=options.repeats
        )
    sizes = {"seeds": options.seeds, "n_rounds": options.rounds}
    if options.part == "outliers":
        sizes |= {"n_honest": options.clients, "n_cheats": options.cheating, "partitions": options.partitions}
        return checks.part(options.task, cheats=options.cheats, **sizes)
    sizes["n_clients"] = options.clients
    if options.part == "minority":
        return fairness.minority(options.task, **sizes)
    sizes["partitions"] = options.partitions
    if options.part == "evenness":
        return fairness.evenness(options.task, **sizes)
    return shapley.part(options.task, retrained=not options.reconstructed_only, **sizes)


def main(given: Sequence[str] | None = None) -> None:
    """Measure a part and print its tables and bars, or one JSON object."""
    options = arguments(given)
    found = measured(options)
    print(json.dumps(found.to_json()) if options.json else text(found))
    if not all(bar.met for bar in found.bars):
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
