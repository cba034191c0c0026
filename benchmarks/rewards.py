"""What every cheat earns under the default scorer, beside the bars, on seeds on which nothing was tuned.

`python -m benchmarks.rewards [SUBNET] [--partitions dirichlet:0.5,dirichlet:0.1,iid] [--cheats KINDS] [--seeds 5]
[--first-seed 10] [--workers N] [--out rewards] [--json]`

Plays whole subnets as `subnet arena rewards` does, 20 participants of which 6 cheat in one way, 20 rounds, and shares
its cache. Prints a table a data split and a line a bar:

- cheats of the settled kinds: together at most 1 % of what participants are paid and none above .1 of an honest one's
  mean; at Dirichlet .1 at most 2 % and .2;
- the open kinds: none above .5 of an honest mean;
- one owner's many identities: together at most 1.1 times what one identity is paid for that work, which is what the
  best paid of `sybil_clone` has: it trains on all of the owner's data, and the others of it are copies;
- poison: at most 2 points of accuracy lost against the run of the honest alone.

What does honest work under a false flag (a scaled update is clipped, a huge claim isn't looked at, leaked samples are
trained on) is in the table and has no bar. Figures are means over the seeds. The exit status is 1 if a bar is missed.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from subnet.arena.rewards.cell import NO_CHEAT
from subnet.arena.rewards.choices import read
from subnet.arena.rewards.play import play
from subnet.arena.rewards.table import rows
from subnet.cli.cells import played

SETTLED = (
    *("sign_flip", "ipm", "alie", "min_max", "min_sum", "mimic", "noise", "zero", "stale", "stale_noise"),
    *("extrapolation", "copycat", "copycat:0.05", "sybil_clone", "label_flip", "on_off_poison:5"),
)
"""Kinds that earn nearly nothing by the rules of the default."""
OPEN = (
    *("lazy", "lazy:1", "lazy:0.5", "copycat:0.5", "copycat:1", "coasting", "on_off", "on_off_poison", "slow_poison"),
    *("targeted_flip", "noisy_labels", "backdoor", "old_mixture", "jittered_alie", "jittered_mimic"),
    *("steady_alie", "steady_mimic"),
)
"""Kinds whose pay is only bounded."""
IDENTITIES = ("sybil_split", "same_data", "sybil_clone")
"""One owner with six identities."""
FALSE_FLAGS = ("scaling", "leak")
"""Honest work that pretends to be something else, or has seen what it shouldn't."""
POISON = ("sign_flip", "ipm", "alie", "min_max", "min_sum", "noise", "label_flip", "on_off_poison", "on_off_poison:5")
"""Kinds that want to harm the model."""
N_CLIENTS, N_CHEATING, N_ROUNDS = 20, 6, 20
_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One thing that is wanted, and how it came out."""

    text: str
    passed: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, and return the exit status."""
    wanted = _parser().parse_args(arguments)
    choices = read(
        wanted.subnet,
        cheats=wanted.cheats,
        scorers="path_credit",
        partitions=wanted.partitions,
        n_clients=N_CLIENTS,
        n_cheating=N_CHEATING,
        n_rounds=wanted.rounds,
        seeds=range(wanted.first_seed, wanted.first_seed + wanted.seeds),
    )
    results = played(choices.cells, play, wanted.out, n_workers=wanted.workers, quiet=wanted.json)
    table = rows(results)
    found = bars(table)
    if wanted.json:
        told = [{"text": one.text, "passed": one.passed} for one in found]
        print(json.dumps({"facts": choices.facts(), "rows": table, "bars": told}))
    else:
        print("\n\n".join(markdown(table, partition) for partition in choices.partitions))
        print("\n" + "\n".join(f"{'pass' if one.passed else 'MISS'}  {one.text}" for one in found))
    return 0 if all(one.passed for one in found) else 1


def bars(table: Sequence[dict[str, Any]]) -> list[Bar]:
    """Return every bar that the table has figures for."""
    found = []
    one_identity = {row["partition"]: row["top_profit_ratio"] for row in table if row["cheat"] == "sybil_clone"}
    for row in table:
        where = f"{row['partition']}, {row['cheat']}"
        share, profit, lost = row["cheat_share_percent"], row["profit_ratio"], row["accuracy_loss_points"]
        uneven = row["partition"] == "dirichlet:0.1"
        if row["cheat"] in SETTLED and profit is not None:
            most_share, most_profit = (2, 0.2) if uneven else (1, 0.1)
            found += [
                Bar(text=f"{where}: {share:.2f} % of the pay, {most_share} allowed", passed=share <= most_share),
                Bar(text=f"{where}: {profit:.2f} of honest pay, {most_profit} allowed", passed=profit <= most_profit),
            ]
        elif row["cheat"] in OPEN and profit is not None:
            found.append(Bar(text=f"{where}: {profit:.2f} of honest pay, .5 allowed", passed=profit <= 0.5))
        if row["cheat"] in IDENTITIES and profit is not None and one_identity.get(row["partition"]):
            times = N_CHEATING * profit / one_identity[row["partition"]]
            found.append(
                Bar(text=f"{where}: together {times:.2f} times one identity's pay, 1.1 allowed", passed=times <= 1.1)
            )
        if row["cheat"] in POISON and lost is not None:
            found.append(Bar(text=f"{where}: {lost:+.1f} points of accuracy lost, 2 allowed", passed=lost <= 2))
    return found


def markdown(table: Sequence[dict[str, Any]], partition: str) -> str:
    """Return one data split's table, the best paid cheat first."""
    mine = [row for row in table if row["partition"] == partition]
    calm = next((row for row in mine if row["cheat"] == NO_CHEAT), None)
    lines = ["| cheat | share, % | profit | top | points lost | starved, % |", "|---|---|---|---|---|---|"]
    for row in sorted(mine, key=lambda row: -(row["profit_ratio"] or 0.0)):
        if row["cheat"] == NO_CHEAT:
            continue
        names = ("cheat_share_percent", "profit_ratio", "top_profit_ratio", "accuracy_loss_points")
        cells = [_with_interval(row, name) for name in names]
        lines.append(f"| `{row['cheat']}` | {' | '.join(cells)} | {row['honest_starved_percent']:.0f} |")
    head = f"{partition}, {max(row['n_seeds'] for row in mine)} seeds"
    if calm:
        struck = sum(row["n_honest_struck"] for row in mine)
        head += (
            f"; the honest alone: accuracy {calm['accuracy_percent']:.1f} %, CV of pay {calm['honest_cv_ratio']:.2f}, "
            f"{calm['honest_starved_percent']:.0f} % starved; strikes on honest participants in all runs: {struck}"
        )
    return f"{head}\n\n" + "\n".join(lines)


def _with_interval(row: dict[str, Any], name: str) -> str:
    value, half = row[name], row.get(f"{name}_ci95")
    if value is None:
        return "-"
    digits = 2 if name.endswith("ratio") else 1
    return f"{value:.{digits}f}" + (f" ± {half:.{digits}f}" if half is not None and half >= 0.005 else "")


def _parser() -> argparse.ArgumentParser:
    kinds = list(dict.fromkeys([*SETTLED, *OPEN, *IDENTITIES, *FALSE_FLAGS]))
    parser = argparse.ArgumentParser(prog="benchmarks.rewards", description=__doc__.partition("\n")[0])
    parser.add_argument("subnet", nargs="?", type=Path, default=_ROOT / "examples" / "optdigits")
    parser.add_argument("--partitions", default="dirichlet:0.5,dirichlet:0.1,iid")
    parser.add_argument("--cheats", default=",".join(kinds))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("rewards"))
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
