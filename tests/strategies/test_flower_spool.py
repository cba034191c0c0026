"""A round's rows on disk: the same bits, no file that outlives the round, and a disk that fails."""

import os
import resource
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import strategies
from strategies import Evidence
from strategies.errors import EvidenceError, SettingsError
from strategies.flower import RobustStrategy
from strategies.flower.errors import SpoolError
from strategies.flower.rows import Rows, SpooledRows
from tests.strategies.test_flower import Asked, contents

N_PARAMS = 200_003
"""More than two blocks of ten rows."""


def both(folder, values, *, unusable=(3,)):
    """The same rows in memory and on disk; some can't be used."""
    kept = Rows(n_params=values.shape[1], dtype=values.dtype)
    spooled = SpooledRows(folder, n_params=values.shape[1], dtype=values.dtype)
    for index, row in enumerate(values):
        for rows in (kept, spooled):
            rows.add(None if index in unusable else row.clone())
    return kept, spooled


def ours(folder):
    """This process's open files in a folder, by their entries in /proc."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the entry of the listing itself
            if str(entry.readlink()).startswith(str(folder)):
                found.append(entry)
    return found


@contextmanager
def files_of_at_most(n_bytes):
    """A limit of this process's, which a write beyond fails at as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_on_disk_are_the_rows_in_memory(dtype, tmp_path):
    """Whole, in blocks of any width, some of them, and their norms."""
    values = torch.randn(10, N_PARAMS, dtype=dtype, generator=torch.Generator().manual_seed(1))
    kept, spooled = both(tmp_path, values)
    with kept, spooled:
        one, other = kept.updates(), spooled.updates()
        assert (other.n, other.d, other.dtype) == (10, N_PARAMS, dtype)
        assert torch.equal(one.norms().nan_to_num(-1), other.norms().nan_to_num(-1))
        for picked in (range(10), [7, 2, 3], [3]):
            pairs = zip(one.rows(picked).blocks(), other.rows(picked).blocks(), strict=True)
            assert all(a == b and torch.equal(x.nan_to_num(-1), y.nan_to_num(-1)) for (a, x), (b, y) in pairs)
        assert all(torch.equal(one.row(i).nan_to_num(-1), other.row(i).nan_to_num(-1)) for i in range(10))
        assert [start for start, _ in other.blocks(150_000)] == [0, 150_000]
        wide = torch.empty(10, 5, dtype=torch.float64)
        assert torch.equal(other.copied(7, 12, wide).nan_to_num(-1), one.block(7, 12).double().nan_to_num(-1))


@pytest.mark.parametrize("name", [*strategies.names(), "nnm+trimmed_mean", "bucketing+median", "arc+mean"])
def test_every_rule_gives_the_same_bits(name, tmp_path):
    """Update, influence and rejections, of rows on disk as of rows in memory."""
    rule = strategies.create(name)
    values = torch.randn(10, N_PARAMS, generator=torch.Generator().manual_seed(2))
    scores = torch.linspace(0.5, 2.0, 10)
    evidence = Evidence(credit=scores, z=scores, n_examples=scores, root=values[0], previous=values[1])
    kept, spooled = both(tmp_path, values)
    with kept, spooled:
        one = rule.aggregate(kept.updates(), evidence=evidence)
        other = rule.aggregate(spooled.updates(), evidence=evidence)
    assert torch.equal(one.update, other.update)
    assert torch.equal(one.influence, other.influence)
    assert one.rejected == other.rejected
    assert 3 in one.rejected


def test_the_file_has_no_name_and_goes_with_the_round(tmp_path):
    """Nothing to be seen while rows come, and nothing open afterwards."""
    asked = Asked(RobustStrategy(strategies.create("mean"), min_train_nodes=5, spool=str(tmp_path)))
    seen = []

    def replies():
        for index in range(5):
            yield asked.honest(index)
            seen.append((list(tmp_path.iterdir()), len(ours(tmp_path))))

    arrays, _ = asked.strategy.aggregate_train(1, replies())
    assert arrays is not None
    assert seen == [([], 1)] * 5
    assert ours(tmp_path) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_nothing_is_left_when_a_round_ends_early(error, tmp_path):
    """Ctrl-C, or an app that raises."""
    asked = Asked(RobustStrategy(strategies.create("mean"), min_train_nodes=5, spool=tmp_path))

    def replies():
        yield asked.honest(0)
        assert len(ours(tmp_path)) == 1
        raise error

    with pytest.raises(error):
        asked.strategy.aggregate_train(1, replies())
    assert ours(tmp_path) == list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_the_rule_can_t_work(tmp_path):
    """It needs evidence that there isn't."""
    asked = Asked(RobustStrategy(strategies.create("credit_gated"), min_train_nodes=5, spool=tmp_path))
    with pytest.raises(EvidenceError):
        asked.strategy.aggregate_train(1, [asked.honest(0)])
    assert ours(tmp_path) == []


def test_what_can_t_be_used_takes_no_disk(tmp_path):
    """Only usable rows are in the file; the others still count."""
    kept, spooled = both(tmp_path, torch.ones(10, 1000), unusable=range(1, 10))
    with kept, spooled:
        (file,) = ours(tmp_path)
        assert file.stat().st_size == 4000
        assert (len(spooled), spooled.updates().n) == (10, 10)


def test_a_full_disk_costs_the_round_and_not_the_run(tmp_path, caplog):
    """The reason, the folder and a remedy are told; replies are dealt with; the next round has its model."""
    asked = Asked(RobustStrategy(strategies.create("mean"), min_train_nodes=5, spool=tmp_path))
    n_open = []

    def replies():
        for index in range(5):
            yield asked.reply(3, contents({})) if index == 3 else asked.honest(index)
            n_open.append(len(ours(tmp_path)))

    with files_of_at_most(2 * 5 * 4 + 3):  # two rows of five float32
        arrays, metrics = asked.strategy.aggregate_train(1, replies())
    assert n_open == [1, 1, 0, 0, 0], "what others need is given back at once"
    report = asked.strategy.reports[1]
    assert arrays is None
    assert metrics is not None
    assert (report.n_replies, report.influence) == (5, {})
    assert [(one.node_id, one.reason) for one in report.rejected] == [(4, "malformed")]
    assert report.unchanged == (
        f"the replies can't be kept in {tmp_path}: File too large (make room there, or start again with another folder "
        "as spool, or with none and more memory)"
    )
    assert f"round 1: no new model: {report.unchanged}" in caplog.text
    assert ours(tmp_path) == []
    arrays, _ = asked.strategy.aggregate_train(2, [asked.honest(index) for index in range(5)])
    assert arrays is not None
    assert asked.strategy.reports[2].unchanged == ""


def test_a_folder_that_goes_away_costs_the_round(tmp_path):
    """It was there when the strategy was made."""
    folder = tmp_path / "rows"
    folder.mkdir()
    asked = Asked(RobustStrategy(strategies.create("mean"), min_train_nodes=5, spool=folder))
    folder.rmdir()
    assert asked.strategy.aggregate_train(1, [asked.honest(0)])[0] is None
    assert "No such file or directory" in asked.strategy.reports[1].unchanged


def test_a_disk_that_can_t_be_read_costs_the_round(tmp_path):
    """A file that has become shorter is told as such, and isn't read as zeros."""
    _, spooled = both(tmp_path, torch.ones(3, N_PARAMS), unusable=())
    with spooled:
        (file,) = ours(tmp_path)
        os.truncate(file, 2 * 4 * N_PARAMS + 4)
        with pytest.raises(SpoolError, match=r"can't be kept in .*: the file ends 800,008 bytes too early"):
            spooled.updates().row(2)


@pytest.mark.parametrize("kind", ["missing", "file", "read-only"])
def test_a_folder_that_can_t_be_written_to_is_told_at_once(kind, tmp_path):
    """Before any node trains."""
    folder = tmp_path / kind
    if kind == "file":
        folder.touch()
    if kind == "read-only":
        folder.mkdir(mode=0o500)
        if os.access(folder, os.W_OK):
            pytest.skip("root may write anywhere")
    with pytest.raises(SettingsError, match=f"spool='{folder}': no file can be written there: ") as caught:
        RobustStrategy(strategies.create("mean"), spool=folder)
    assert "name a folder that exists" in caught.value.remedy


def test_a_wide_model_keeps_its_precision_on_disk(tmp_path):
    """Rows of a float64 model are float64."""
    start = {"w": np.full(3, 1.0)}
    asked = Asked(RobustStrategy(strategies.create("mean"), min_train_nodes=2, spool=tmp_path), n_nodes=2, start=start)
    replies = [asked.reply(index, contents({"w": start["w"] + 1e-12})) for index in range(2)]
    arrays, _ = asked.strategy.aggregate_train(1, replies)
    assert arrays["w"].numpy().tolist() == [1.0 + 1e-12] * 3
