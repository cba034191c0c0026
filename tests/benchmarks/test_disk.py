"""benchmarks/disk.py on a small file."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import disk

ROOT = Path(__file__).resolve().parents[2]


def test_a_file_that_does_not_fit_is_refused_with_what_is_needed(tmp_path):
    with pytest.raises(SystemExit, match=r"are 4000000001.1 GB; .* GB free: give another --folder, or --params"):
        disk.room(tmp_path, n=1_000_000, d=10**12)


def test_the_file_has_every_row_with_outliers_at_the_end(tmp_path):
    path = tmp_path / "updates.bin"
    disk.write(path, n=10, d=5_000)
    rows = np.fromfile(path, dtype=np.float32).reshape(10, 5_000)
    assert (rows.std(axis=1) > 2).tolist() == [False] * 9 + [True]
    assert len({values.tobytes() for values in rows}) == 10


def test_peaks_are_those_of_the_block():
    with disk.Peaks(cap_bytes=1e12) as peaks:
        held = np.ones(8_000_000)  # more than malloc ever takes out of memory that was freed before
        held.sum()
    assert peaks.extra[0] > 50e6


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--params", "0"], "1 parameter and 1 thread"), (["--rules", "medain"], "no strategy is called")],
)
def test_a_wrong_argument_ends_the_program_with_what_is_wrong(given, said, capsys):
    with pytest.raises(SystemExit):
        disk.arguments(given)
    assert said in capsys.readouterr().err


def test_a_run_aggregates_from_the_file_and_deletes_it(tmp_path):
    command = [sys.executable, "-m", "benchmarks.disk", "--clients", "9", "--params", "1000", "--rules", "median"]
    command += ["--folder", str(tmp_path), "--threads", "1", "--json"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    [found] = json.loads(ended.stdout)["rows"].values()
    disk.write(tmp_path / "again.bin", n=9, d=1000)
    rows = np.fromfile(tmp_path / "again.bin", dtype=np.float32).reshape(9, 1000)
    assert found["checksum"] == pytest.approx(np.abs(np.median(rows, axis=0)).sum(), rel=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["again.bin"]
