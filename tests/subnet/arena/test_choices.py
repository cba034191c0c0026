"""The command line's lists: what they mean, and how nonsense is refused."""

import pytest

from clients.errors import CastError
from strategies import StrategyError
from subnet.arena.attacks import attack_names
from subnet.arena.choices import listed, read, stated_counts
from subnet.arena.entrants import default_names
from subnet.errors import ArenaError
from tests.endtoend.conftest import BLOBS


def choices(**more):
    """What is read of a command line with some options."""
    plain = {
        "strategies": "mean,krum",
        "attacks": None,
        "partitions": "iid",
        "stated": None,
        "n_clients": 6,
        "n_byzantine": 1,
        "n_rounds": 2,
        "n_seeds": 2,
    }
    return read(BLOBS, **{**plain, **more})


def test_everything_is_played_unless_said_otherwise():
    """All rules, all attacks, and the truth about how many attack."""
    found = choices(strategies=None)
    assert found.strategies == default_names()
    assert found.attacks == attack_names()
    assert found.stated == [1]


def test_the_plan_is_the_product_of_everything_asked_for():
    """Each combination is there once, all with the first seed first; a rule that takes no number isn't told one."""
    cells = choices(attacks="none,nan,alie", stated="0,2,auto").cells()
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 3 * (3 + 1)
    assert [cell.seed for cell in cells] == [0] * 12 + [1] * 12
    assert {cell.stated for cell in cells if cell.strategy == "mean"} == {None}
    assert {cell.stated for cell in cells if cell.strategy == "krum"} == {0, 2, "auto"}


@pytest.mark.parametrize("text", ["mean,,krum", "", ",mean", "mean,"])
def test_an_empty_entry_is_refused(text):
    """A stray comma is a mistake, and the error shows the list."""
    with pytest.raises(ArenaError, match="has an empty entry"):
        listed("--strategies", text)


def test_a_repeated_entry_is_refused():
    """Playing a rule twice tells nothing; the error names it."""
    with pytest.raises(ArenaError, match="'krum' twice"):
        listed("--strategies", "krum, mean, krum")


@pytest.mark.parametrize("entry", ["x", "-1", "6", "1.5", "²", "9" * 5000, "Auto"])
def test_a_stated_number_that_cant_be_is_refused(entry):
    """Only whole numbers below that of the clients, or auto; the remedy says so."""
    with pytest.raises(ArenaError, match="among 6 clients") as caught:
        stated_counts(f"1,{entry}", n_clients=6)
    assert "from 0 to 5, or 'auto'" in caught.value.remedy


@pytest.mark.parametrize(
    ("option", "error", "words"),
    [
        ({"partitions": "iid,dirichlet:x"}, CastError, "'dirichlet:x' is unknown"),
        ({"attacks": "none,ghost"}, CastError, "'ghost' is unknown"),
        ({"n_byzantine": 6}, ArenaError, "--byzantine 6 of --clients 6"),
    ],
)
def test_nonsense_is_refused_before_anything_is_played(option, error, words):
    """The error names the value, and has a remedy."""
    with pytest.raises(error, match=words) as caught:
        choices(**option)
    assert caught.value.remedy


def test_what_doesnt_exist_or_cant_be_divided_is_found_by_planning():
    """An unknown rule, and clients for whom there aren't enough data, don't wait for their cell's turn."""
    with pytest.raises(StrategyError, match="'krumm'"):
        choices(strategies="mean,krumm").cells()
    with pytest.raises(CastError, match="320 training examples"):
        choices(n_clients=100).cells()
