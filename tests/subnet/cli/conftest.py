"""The command line as a person meets it, run in the test's own process."""

import sys

import pytest

from subnet.cli import main


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs `subnet ...` on a terminal of 80 columns; gives exit code, output and error stream."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["subnet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run
