"""What rules say of themselves is complete, and true."""

import dataclasses
import re

import pytest
import torch

import strategies
from strategies import Evidence
from strategies.aggregation import EvidenceKind
from strategies.base import GramRule
from strategies.catalogue import details
from strategies.errors import EvidenceError, UnknownStrategyError
from strategies.settings import RuleSettings

SHIPPED = [*strategies.names(), *strategies.names("mixer")]
KINDS = EvidenceKind.__args__


@pytest.mark.parametrize("name", SHIPPED)
def test_a_docstring_says_what_is_withstood_assumed_and_whose_it_is(name):
    """A rule without its assumptions is a promise, and mathematics without a source a claim."""
    [part] = details(name)
    for words in (r"\bWithstands\b", r"\bassum(es|ing|ption)", r"\bSource: ", r">>> "):
        assert re.search(words, part.text), words


@pytest.mark.parametrize("name", SHIPPED)
def test_every_setting_has_a_text_and_a_range(name):
    """Its type says all that is allowed, or a range does; any finite number is a range in words."""
    [part] = details(name)
    for setting in part.settings:
        assert setting.text.endswith("."), setting.name
        spelled = setting.type.startswith("'") and " or a" not in setting.type
        assert setting.range or spelled or "any finite number" in setting.text, setting.name


def evidence_for(updates):
    """Evidence of every kind."""
    n = len(updates)
    return Evidence(
        credit=torch.linspace(1, 2, n).double(),
        z=torch.linspace(1, 2, n).double(),
        n_examples=torch.arange(1, n + 1),
        root=updates[0],
        previous=updates[1],
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *((name, {}) for name in strategies.names()),
        *((f"{name}+mean", {}) for name in strategies.names("mixer")),
        ("geometric_median", {"weighting": "examples"}),
        ("multi_krum", {"weighting": "examples"}),
        ("nnm+fltrust", {}),
    ],
)
def test_a_rule_reads_the_evidence_that_it_declares_and_no_other(name, settings):
    """Without what it doesn't declare nothing changes, and without any of the rest something does."""
    updates = torch.randn(12, 30, generator=torch.Generator().manual_seed(0))
    rule, everything = strategies.create(name, **settings), evidence_for(updates)
    whole = rule.aggregate(updates, evidence=everything).update
    undeclared = dict.fromkeys(set(KINDS) - rule.evidence)
    assert torch.equal(rule.aggregate(updates, evidence=dataclasses.replace(everything, **undeclared)).update, whole)
    if name in {"geometric_median", "multi_krum"} and not settings:
        return  # these read claims only where they are told to
    for kind in rule.evidence:
        without = dataclasses.replace(everything, **{kind: None})
        try:
            assert not torch.equal(rule.aggregate(updates, evidence=without).update, whole), kind
        except EvidenceError as error:
            assert kind in str(error) or "numbers of examples" in str(error)  # noqa: PT017


def test_a_setting_is_described_by_its_type_default_range_and_text():
    """Ranges in words, and the texts of inherited settings."""
    [part] = details("multi_krum")
    assert [setting.name for setting in part.settings] == ["n_byzantine", "neighbours", "m", "weighting"]
    assert part.settings[2].type == "a whole number or 'n-f' or 'n-f-2' or 'n-2f-3'"
    assert (part.settings[2].default, part.settings[2].range) == ("n-f", "1 or more")
    assert part.settings[0].text.startswith("How many of a call's clients may be malicious")
    ranges = {setting.name: setting.range for name in ("credit_gated", "dnc") for setting in details(name)[0].settings}
    assert ranges["z_drop"] == "0 or less"
    assert ranges["columns"] == "1 to 10,000,000"
    assert details("norm_clipping")[0].settings[0].range == "above 0"


def test_a_rule_whose_source_cant_be_read_is_described_without_its_texts():
    """Made at run time, say; the types and ranges are known all the same."""
    made = dataclasses.make_dataclass(
        "Settings",
        [("least", float, dataclasses.field(default=0.5, metadata={"low": 0.1, "high": 1.0}))],
        bases=(RuleSettings,),
        frozen=True,
        kw_only=True,
    )
    rule = type("Made", (GramRule,), {"name": "made", "summary": "s", "source": "s", "Settings": made, "weights": len})
    globals()["Made"] = rule
    try:
        [part] = details(f"{__name__}:Made")
    finally:
        del globals()["Made"]
    assert [(setting.name, setting.range, setting.text) for setting in part.settings] == [("least", "0.1 to 1", "")]
    assert part.breakdown == "not stated"


def test_unknown_names_are_answered_as_in_create():
    """With what was probably meant."""
    with pytest.raises(UnknownStrategyError, match="medain") as error:
        details("nnm+medain")
    assert "median" in error.value.remedy
