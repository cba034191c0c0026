"""`subnet emission`: a schedule's eras from a spec, and from where a run is."""

import json
from functools import partial

import pytest

BITCOIN = '[subnet]\nname = "b"\ntask = "a.b:C"\n[token]\nsymbol = "BTC"\npreset = "bitcoin"\n'


@pytest.fixture
def command(command):
    """Runs `subnet emission ...` in this process; gives exit code, output and error stream."""
    return partial(command, "emission")


@pytest.fixture
def spec_file(tmp_path):
    file = tmp_path / "subnet.toml"
    file.write_text(BITCOIN)
    return file


def test_json_has_every_era_and_the_last_payout(command, spec_file):
    """Bitcoin's published eras, in base units, and rounds of ten minutes that end in the 2150s."""
    code, out, err = command(spec_file, "--json", "--round-seconds", 600)
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert len(found["eras"]) == 33
    assert found["eras"][1] | {"begins": ""} == {
        "era": 1,
        "first_round": 210_001,
        "last_round": 420_000,
        "begins": "",
        "emission": 2_500_000_000,
        "minted": 525_000_000_000_000,
        "supply": 1_575_000_000_000_000,
    }
    assert (found["cap"], found["final_supply"]) == (2_099_999_997_690_000, 2_099_999_997_690_000)
    assert found["last_payout"]["round"] == 6_930_000
    assert 2150 < int(found["last_payout"]["date"][:4]) < 2165


def test_the_table_fits_a_terminal_of_80(command, spec_file):
    """Every era on a line of its own, nothing cut."""
    _, out, _ = command(spec_file)
    assert "…" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "20999999.9769" in out


def test_a_run_goes_on_from_where_it_is(command, season):
    """Rounds and supply of the ledger lie behind; the schedule is the ledger's."""
    ledger = season.fixture.ledger
    rounds = list(ledger.rounds())
    code, out, _ = command(season.fixture.store.root, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["settled"], found["minted"]) == (len(rounds), rounds[-1].supply)
    assert found["eras"][0]["first_round"] == len(rounds) + 1


@pytest.mark.parametrize("seconds", [1e9, 0.001])
def test_far_dates_are_named(command, spec_file, seconds):
    """Rounds of thirty years end in a year that no calendar has; those of a millisecond soon."""
    code, out, _ = command(spec_file, "--round-seconds", seconds)
    assert code == 0
    assert ("year 219," in out) == (seconds > 1)


def test_no_subnet_is_an_error_with_a_remedy(command, tmp_path):
    """A folder without subnet.toml or ledger."""
    code, _, err = command(tmp_path)
    assert code
    assert "subnet.toml" in err
