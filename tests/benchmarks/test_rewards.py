"""The rewards benchmark: its bars are those that it names, and it runs at a tiny size."""

import json

import pytest

from benchmarks import rewards


def row(cheat, partition="dirichlet:0.5", share=0.0, profit=0.0, lost=0.0):
    return {
        "partition": partition,
        "cheat": cheat,
        "cheat_share_percent": share,
        "profit_ratio": profit,
        "accuracy_loss_points": lost,
    }


@pytest.mark.parametrize(
    ("found", "passed"),
    [
        (row("stale", share=1.0, profit=0.1), [True, True]),
        (row("stale", share=1.1, profit=0.11), [False, False]),
        (row("stale", "dirichlet:0.1", share=1.9, profit=0.19), [True, True]),
        (row("coasting", profit=0.5), [True]),
        (row("coasting", profit=0.51), [False]),
        (row("sybil_split", profit=0.18), []),
        (row("sign_flip", lost=2.1), [True, True, False]),
        (row("leak", profit=9.0), []),
        (row("none", profit=None), []),
    ],
)
def test_a_row_is_held_against_its_own_bars(found, passed):
    """Settled kinds by share and profit, open ones by profit, identities together, poison by accuracy too."""
    assert [bar.passed for bar in rewards.bars([found])] == passed


@pytest.mark.parametrize(("profit", "passed"), [(0.27, True), (0.28, False)])
def test_identities_are_held_against_one_that_does_their_work(profit, passed):
    """Six of .27 have 1.62, which is 1.08 times the 1.5 of the one clone that is paid; of .28 it is 1.12."""
    clones = row("sybil_clone", share=0.5, profit=0.05) | {"top_profit_ratio": 1.5}
    elsewhere = row("sybil_clone", "iid", share=0.5, profit=0.05) | {"top_profit_ratio": 0.1}
    found = [
        bar for bar in rewards.bars([clones, row("same_data", profit=profit), elsewhere]) if "same_data" in bar.text
    ]
    assert [bar.passed for bar in found] == [passed]


def test_it_runs_and_says_what_is_missed(tmp_path, capsys):
    """One cheat, one seed, two rounds, on the example: tables as Markdown, and the same as JSON from the cache."""
    arguments = ["--cheats", "zero", "--partitions", "iid", "--seeds", "1", "--rounds", "2", "--workers", "1"]
    arguments += ["--out", str(tmp_path)]
    status = rewards.main(arguments)
    out = capsys.readouterr().out
    assert "| `zero` | 0.0 | 0.00 | 0.00 |" in out
    assert status == ("MISS" in out)
    assert rewards.main([*arguments, "--json"]) == status
    told = json.loads(capsys.readouterr().out)
    assert {one["cheat"] for one in told["rows"]} == {"none", "zero"}
    assert all(bar["passed"] for bar in told["bars"]) == (status == 0)
