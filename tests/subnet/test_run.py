"""A run's folder: whose it is, and what a crash may leave in it."""

import pytest

from subnet.errors import RunError
from subnet.run import agree

PLAN = {"seed": 3, "spec": "ab" * 32}


def test_a_folder_left_between_the_plan_and_the_spec_goes_on(tmp_path):
    agree(tmp_path, PLAN, "[subnet]\n")
    (tmp_path / "subnet.toml").unlink()  # what a crash in between leaves
    agree(tmp_path, PLAN, "[subnet]\n")
    assert (tmp_path / "subnet.toml").read_text() == "[subnet]\n"


def test_another_plan_is_refused_and_changes_nothing(tmp_path):
    agree(tmp_path, PLAN, "[subnet]\n")
    with pytest.raises(RunError, match="its seed is 3, this one's 4"):
        agree(tmp_path, {**PLAN, "seed": 4}, "other")
    assert (tmp_path / "subnet.toml").read_text() == "[subnet]\n"


def test_somebody_elses_files_are_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"holds other files \(thesis\.tex\)"):
        agree(tmp_path, PLAN, "[subnet]\n")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
