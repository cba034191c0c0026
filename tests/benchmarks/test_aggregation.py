"""benchmarks/aggregation.py: its judgement on made-up measurements, and one real process; no peers, no comparing."""

import json

import numpy as np
import pytest

from benchmarks import aggregation, limits, measure, peers, report
from benchmarks.measure import OURS, Job, Measurement
from benchmarks.report import Row, bars, compared

SPEEDS = limits.Speeds(copy_bytes_per_s=2e10, gemm_flops=5e10)


def row(library=OURS, *, cpu=0.01, wall=0.02, extra=1_000_000, trouble="", **changes):
    found = (
        Measurement(trouble=trouble) if trouble else Measurement(cpu_s=cpu, wall_s=wall, extra_bytes=extra, repeats=3)
    )
    place = {"n": 20, "d": 1_000_000, "threads": 1, "rule": "median", "difference": None, **changes}
    return Row(library=library, measurement=found, **place)


def verdicts(*rows):
    return [bar.passed for bar in bars(rows)]


def test_the_fastest_peer_is_the_one_that_counts_and_one_that_failed_is_none():
    [comparison] = compared(
        [row(), row("slow", cpu=0.5, extra=10), row("fast", cpu=0.1, extra=20_000_000), row("dead", trouble="crashed")]
    )
    assert (comparison.best.library, comparison.leanest.library) == ("fast", "slow")
    assert comparison.times == pytest.approx(10)
    assert comparison.leaner == pytest.approx(20)


def test_one_thread_is_compared_by_cpu_time_and_two_by_wall_time():
    rows = [row(threads=count, rule="krum") for count in (1, 2)]
    rows += [row("peer", threads=count, rule="krum", cpu=0.03, wall=0.04) for count in (1, 2)]
    assert [comparison.times for comparison in compared(rows)] == pytest.approx([3, 2])


def test_both_bars_hold_at_their_exact_limits_and_not_below():
    assert verdicts(row(), row("peer", cpu=0.08, extra=10_000_000)) == [True, True]
    assert verdicts(row(), row("peer", cpu=0.0799, extra=9_999_999)) == [False, False]


def test_beyond_20_clients_never_slower_is_enough():
    for place in ({"n": 100}, {"n": 100, "threads": 2}):
        assert verdicts(row(**place), row("peer", cpu=0.01, wall=0.02, extra=10_000_000, **place)) == [True, True]
        assert verdicts(row(**place), row("peer", cpu=0.009, wall=0.019, extra=10_000_000, **place))[0] is False


def test_a_rule_of_ours_that_fails_misses_its_bar_whatever_the_peers_do():
    [bar] = bars([row(trouble="out of memory"), row("peer")])
    assert not bar.passed
    assert "out of memory" in bar.text


def test_without_peers_only_a_cell_of_4_gb_has_a_bar_and_the_mean_has_none():
    assert verdicts(row()) == []
    assert verdicts(row(rule="mean"), row("peer", rule="mean", cpu=1e-9)) == []
    large = {"n": 100, "d": 10_000_000}
    assert verdicts(row(extra=99_000_000, **large), row(extra=100_000_000, rule="krum", **large)) == [True, False]


def test_the_table_tells_every_figure_of_ours_and_of_the_best_peer():
    rows = [row(), row("peer", cpu=0.08, wall=0.09, extra=15_000_000, difference=0.5), row(rule="krum", cpu=0.04)]
    head, names, median, krum = report.table(compared(rows), SPEEDS).splitlines()
    assert head == "20x1e6, 1 thread; the machine: copying 20.0 GB/s, sgemm 50 GF/s"
    assert names.startswith("rule    ours CPU s")
    figures = "median 0.0100 0.0200 1.0 peer (differs) 0.0800 0.0900 15.0 8.00 15.0 peer 15 MB 40%"
    assert " ".join(median.split()) == figures
    assert " ".join(krum.split()) == "krum 0.0400 0.0200 1.0 none 40%"


def test_peers_that_fail_or_differ_are_noted_and_never_dropped():
    rows = [
        row(),
        row("dead", trouble="took longer than 120 s"),
        row("other", difference=0.3),
        row("same", difference=0.0),
    ]
    assert report.notes(rows) == [
        "dead, median: took longer than 120 s",
        "other, median: differs from ours by 3.0e-01, in 0.010 s",
    ]
    assert row("broken", difference=float("nan")).differs


def test_reading_limits_a_coordinate_rule_and_products_one_in_gram_space():
    times = [limits.limit_s(rule, n=100, d=1_000_000, speeds=SPEEDS) for rule in ("median", "krum", "nnm+trimmed_mean")]
    assert times == pytest.approx([0.02, 0.4, 0.8])


def test_a_measurement_is_a_process_that_saves_the_aggregate(tmp_path):
    saved = tmp_path / "krum.npy"
    job = Job(library=OURS, rule="krum", n=5, d=1_000, n_byzantine=1, threads=1, limit_s=60, result=str(saved))
    found = aggregation.measured(job)
    assert not found.trouble
    assert found.repeats >= 2
    assert found.cpu_s > 0
    updates = measure.matrix(5, 1_000, 1)
    assert any(np.array_equal(np.load(saved), honest) for honest in updates[:4])


def test_what_goes_wrong_in_a_process_is_told():
    job = Job(library=OURS, rule="krum", n=2, d=10, n_byzantine=1, threads=1, limit_s=60)
    assert "TooFewClientsError" in aggregation.measured(job).trouble
    assert "crashed" in aggregation.measured(job, "false").trouble


def test_the_same_input_is_made_every_time_with_outliers_at_the_end():
    first, again = measure.matrix(10, 5_000, 2), measure.matrix(10, 5_000, 2)
    assert np.array_equal(first, again)
    assert (first.std(axis=1) > 2).tolist() == [False] * 8 + [True] * 2


def test_extra_memory_counts_what_a_call_holds_at_its_peak_and_returns():
    assert measure.extra_bytes(lambda: np.ones(4_000_000)) == pytest.approx(32e6, rel=0.2)


def test_every_rule_has_settings_of_ours_and_every_offer_is_a_rule():
    import strategies

    for rule in aggregation.RULES:
        strategies.create(rule, **measure.settings_of(rule, d=100, n_byzantine=4, iterations=3))
    for library, rule in peers.LIKE:
        assert rule in peers.OFFERS[library]
    assert {rule for offered in peers.OFFERS.values() for rule in offered} == set(aggregation.RULES)


def test_arguments_have_the_documented_defaults():
    options = aggregation.arguments([])
    assert options.cells == [(20, 1_000_000), (20, 10_000_000), (100, 1_000_000), (100, 10_000_000)]
    assert options.threads == [1, 2]
    assert options.rules == list(aggregation.RULES)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--cells", "20"], "isn't clients x parameters"),
        (["--cells", "0x1e6"], "1 client and 1 parameter or more"),
        (["--cells", "20x1e999"], "isn't clients x parameters"),
        (["--threads", "0"], "isn't a list of numbers of threads"),
        (["--rules", "median,medain"], "'medain' isn't one of median"),
    ],
)
def test_a_wrong_argument_ends_the_program_with_what_is_wrong(given, said, capsys):
    with pytest.raises(SystemExit) as ended:
        aggregation.arguments(given)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("n", "f"), [(1, 0), (5, 0), (7, 1), (20, 4), (100, 20)])
def test_a_fifth_of_the_clients_is_byzantine_as_far_as_bulyan_allows(n, f):
    assert aggregation.byzantine(n) == f


def test_a_missed_bar_is_the_exit_status(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["aggregation", "--cells", "20x1e6", "--rules", "median", "--json"])
    monkeypatch.setattr(aggregation, "environment", lambda folder: folder / "bin" / "python")
    monkeypatch.setattr(aggregation.Bench, "rule", lambda *_, **__: [row(), row("peer", cpu=0.01)])
    monkeypatch.setattr(aggregation, "speeds_of", lambda n, threads: SPEEDS)
    monkeypatch.setattr(aggregation, "_run", lambda command: type("Ended", (), {"stdout": "peer 1.0"}))
    with pytest.raises(SystemExit, match="a bar was missed"):
        aggregation.main()
    told = json.loads(capsys.readouterr().out)
    assert told["peers"] == "peer 1.0"
    assert [len(told["rows"]), len(told["limits"]), len(told["bars"])] == [4, 2, 4]
    assert told["rows"][0]["measurement"]["cpu_s"] == 0.01
