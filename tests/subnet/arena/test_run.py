"""Results that are kept and played once, and processes that don't stay."""

from dataclasses import replace

import psutil
import pytest

from subnet.arena.play import play
from subnet.arena.run import play_all
from subnet.errors import ArenaError
from tests.subnet.arena.conftest import CELL, measured


def test_results_are_kept_and_played_once(tmp_path):
    """A second call reads what the first has played; a result on the disk is taken as it is."""
    cells = [CELL, replace(CELL, seed=1)]
    seen = []
    first = play_all(cells, tmp_path, how=play, n_workers=1, on_result=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert measured(first[0][1]) == measured(play(CELL))
    (tmp_path / f"{CELL.key}.json").write_text('{"accuracy": 0.125}')
    again = play_all(cells, tmp_path, how=play, n_workers=1)
    assert again[0][1] == {"accuracy": 0.125}
    assert again[1] == first[1]


def test_a_damaged_result_is_played_again(tmp_path):
    """A file that was cut short, emptied or filled with something else isn't taken for a result, and is replaced."""
    cells = [replace(CELL, seed=seed) for seed in range(3)]
    first = play_all(cells, tmp_path, how=play, n_workers=1)
    files = [tmp_path / f"{cell.key}.json" for cell in cells]
    files[0].write_bytes(files[0].read_bytes()[:-5])
    files[1].write_bytes(b"")
    files[2].write_bytes(b"\xff[]")
    again = play_all(cells, tmp_path, how=play, n_workers=1)
    assert [measured(result) for _, result in again] == [measured(result) for _, result in first]
    assert play_all(cells, tmp_path, how=play, n_workers=1) == again


def test_a_cell_that_cant_be_played_is_named_and_no_process_stays(tmp_path):
    """The error says which rule, attack and data, and what to do; the cells that were being played are given up."""
    before = set(psutil.Process().children(recursive=True))
    cells = [replace(CELL, attack="ghost"), *(replace(CELL, seed=seed, n_rounds=5000) for seed in range(3))]
    with pytest.raises(ArenaError, match="mean against ghost") as caught:
        play_all(cells, tmp_path, how=play, n_workers=2)
    assert "use one of none, sign_flip" in caught.value.remedy
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [process for process in left if "spawn_main" in " ".join(process.cmdline())]


@pytest.mark.parametrize("name", ["file", "file/cells", "/proc/arena/cells"])
def test_a_folder_that_cant_be_is_named(tmp_path, name):
    """A file in the way, or a place where nothing can be written, is said before anything is played."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArenaError, match="can't write to") as caught:
        play_all([CELL], tmp_path / name, how=play, n_workers=1)
    assert "--out" in caught.value.remedy
    assert (tmp_path / "file").read_text() == "mine"
