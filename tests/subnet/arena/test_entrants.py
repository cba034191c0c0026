"""Which rules take part, what they can be told, and whether their code has changed."""

import sys

import pytest

import strategies
from strategies import StrategyError
from strategies.errors import SettingsError
from subnet.arena.entrants import create_rule, default_names, entrant
from tests.endtoend.conftest import BLOBS

RULE = '''
from dataclasses import dataclass
import torch
from strategies.base import GramRule, Weights


class First(GramRule):
    """The first row."""

    name = "first"
    summary = "the first row"
    source = "nobody"

    def weights(self, gram):
        return Weights(values=torch.eye(gram.n, dtype=torch.float64)[0])
'''


@pytest.fixture
def own_rule(tmp_path):
    """A rule in a file that isn't on the import path."""
    path = tmp_path / "arena_own_rule.py"
    path.write_text(RULE)
    yield path
    sys.modules.pop(path.stem, None)


def test_every_rule_and_every_mixer_takes_part_by_default():
    """Each registered name is in it once, mixers with a rule after them, and all can be created."""
    names = default_names()
    assert set(strategies.names()) <= set(names)
    assert [name.partition("+")[0] for name in names if "+" in name] == strategies.names("mixer")
    assert "nnm+trimmed_mean" in names
    assert "static_clipping+mean" in names
    assert [entrant(BLOBS, name).name for name in names] == names


def test_a_rule_is_told_how_many_attack_where_it_can_be():
    """A rule or mixer with that setting gets it; telling another is an error, as is an unknown name."""
    assert create_rule(BLOBS, "trimmed_mean", 3).settings.n_byzantine == 3
    assert create_rule(BLOBS, "trimmed_mean", "auto").settings.n_byzantine == "auto"
    takes = {name: entrant(BLOBS, name).takes_number for name in ("krum", "mean", "nnm+mean", "static_clipping+mean")}
    assert takes == {"krum": True, "mean": False, "nnm+mean": True, "static_clipping+mean": False}
    with pytest.raises(SettingsError):
        create_rule(BLOBS, "mean", 3)
    with pytest.raises(StrategyError, match="'meen'"):
        entrant(BLOBS, "meen")


def test_a_rule_by_import_path_is_known_by_what_its_file_says(own_rule, monkeypatch):
    """Rules that ship have no code of their own; another's is the hash of its file, also behind a mixer."""
    monkeypatch.chdir(own_rule.parent)
    name = f"{own_rule.stem}:First"
    before = entrant(BLOBS, name)
    assert entrant(BLOBS, "krum").code == ""
    assert before.code
    assert entrant(BLOBS, f"nnm+{name}").code == before.code
    own_rule.write_text(RULE + "# edited\n")
    assert entrant(BLOBS, name).code != before.code


def test_a_rule_is_found_in_the_subnets_folder(own_rule):
    """Also when that isn't the current one; the import path is left as it was."""
    before = list(sys.path)
    assert entrant(own_rule.parent, f"{own_rule.stem}:First").code
    assert sys.path == before
