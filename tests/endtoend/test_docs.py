"""The documents say what the code does."""

import re

import pytest

from strategies import describe
from strategies.registry import lookup
from subnet.cli.strategies import table
from subnet.receipts import REASONS, ZERO_BECAUSE
from subnet.spec import Spec
from tests.endtoend.conftest import ROOT

SPEC = (ROOT / "docs" / "spec.md").read_text()


@pytest.mark.parametrize("section", Spec.model_fields)
def test_every_key_of_the_spec_is_documented_in_its_section(section: str):
    """docs/spec.md has exactly the keys that the section takes, no more and no fewer."""
    [text] = re.findall(rf"^### `\[{section}\]`\n(.*?)(?=^### |\Z)", SPEC, re.MULTILINE | re.DOTALL)
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    documented = {key for cell in first_cells for key in re.findall(r"`(\w+)`", cell)}
    model = Spec.model_fields[section].annotation
    assert isinstance(model, type)
    stand_ins = {"preset"} if section == "token" else set()  # it stands for other keys, and is gone once read
    assert documented == set(model.model_fields) | stand_ins


def test_the_table_of_strategies_is_what_the_command_prints():
    """docs/strategies.md has every rule and mixer that ships; `subnet strategies --markdown` prints its table."""
    shipped = [one for one in describe() if lookup(one.name).__module__.startswith("strategies.")]
    assert (ROOT / "docs" / "strategies.md").read_text().endswith("\n\n" + table(shipped) + "\n"), (
        "put the output of `subnet strategies --markdown` at the end of docs/strategies.md"
    )


def test_every_decision_is_in_the_index():
    """Each record of docs/adr is listed, and each listed one is there."""
    folder = ROOT / "docs" / "adr"
    listed = set(re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", (folder / "README.md").read_text()))
    assert listed == {path.name for path in folder.glob("0*.md")}


@pytest.mark.parametrize(
    "page",
    [
        *(
            "README.md",
            "docs/adr/README.md",
            "docs/spec.md",
            "docs/strategies.md",
            "docs/settlement.md",
            "docs/audit.md",
        ),
        *("examples/digits/README.md", "examples/settlement/README.md"),
    ],
)
def test_links_lead_somewhere(page: str):
    """Every relative link of a page names a file or folder of this repository."""
    path = ROOT / page
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text()):
        assert (path.parent / link).exists(), link


def test_every_reason_that_the_code_gives_has_words():
    """No reason code can reach a receipt without words for it."""
    sources = [path.read_text() for package in ("clients", "subnet") for path in (ROOT / package).rglob("*.py")]
    raised = {reason for text in sources for reason in re.findall(r'ContributionError\(\s*"(\w+)"', text)}
    raised |= {reason for text in sources for reason in re.findall(r'reason="(\w+)"', text)}
    enrolment_only = {"duplicate"}
    assert raised - enrolment_only <= set(REASONS)
    zeros = {why for text in sources for why in re.findall(r'"zero_because"\] = "(\w+)"', text)}
    assert zeros <= set(ZERO_BECAUSE)
