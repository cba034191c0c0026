"""The demo over several seeds: what honest clients and cheats earn, and accuracy beside plain FedAvg.

`python -m benchmarks.demo [--seeds 0,1,2,3,4] [--json]`. The bars: honest clients earn at least 95 % of what
participants earn, cheats at most 2 %, held-out accuracy is above 85 %.
"""

import argparse
import json
import subprocess
import sys
import tempfile


def play(seed: int, folder: str) -> dict[str, float | int]:
    """Play the demo with a seed in a process of its own and return its row."""
    command = ["subnet", "demo", "--seed", str(seed), "--out", f"{folder}/{seed}", "--json"]
    result = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    total = sum(one["reward"] for one in result["participants"])
    cheats = [one["reward"] for one in result["participants"] if one["kind"] != "honest"]
    return {
        "seed": seed,
        "val_accuracy_percent": round(100 * result["final"]["val_accuracy"], 2),
        "fedavg_accuracy_percent": round(100 * result["compare"]["final"]["val_accuracy"], 2),
        "honest_share_percent": round(100 * (total - sum(cheats)) / total, 3),
        "cheats_share_percent": round(100 * sum(cheats) / total, 3),
        "worst_cheat_share_percent": round(100 * max(cheats) / total, 3),
        "wall_s": result["seconds"],
    }


def main() -> None:
    """Play all seeds and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = [play(int(seed), folder) for seed in options.seeds.split(",")]
    if options.json:
        print(json.dumps({"rows": rows}))
        return
    print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value:>{len(name)}}" for name, value in row.items()))
    if min(row["honest_share_percent"] for row in rows) < 95 or max(row["cheats_share_percent"] for row in rows) > 2:
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
