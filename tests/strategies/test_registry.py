"""Rules by name."""

from importlib.metadata import EntryPoint

import pytest

import strategies
from strategies import mixing, registry  # noqa: F401 -- registers the mixers
from strategies.errors import SettingsError, StrategyError, UnknownStrategyError
from strategies.mean import Mean

SHIPPED = ["credit_gated", "fedavg", "krum", "mean", "median", "multi_krum", "norm_clipping", "trimmed_mean"]
MIXERS = ["arc", "bucketing", "nnm", "static_clipping"]


def test_the_rules_that_ship():
    """Each has a summary, a source, what it withstands and settings whose defaults make a working rule or mixer."""
    assert set(SHIPPED) <= set(strategies.names())
    assert set(MIXERS) <= set(strategies.names("mixer"))
    rows = strategies.describe()
    assert [row.name for row in rows] == [*strategies.names(), *strategies.names("mixer")]
    for row in rows:
        assert row.summary
        assert row.source
        assert row.breakdown != "not stated"
        part = (strategies.create if row.kind == "rule" else create_mixer)(row.name, **row.settings)
        assert part.name == row.name
        assert part.settings == type(part).Settings()


def create_mixer(name, **settings):
    """The mixer, out of a composition with a rule that has no settings."""
    return strategies.create(name, "mean", **settings).mixers[0]


@pytest.mark.parametrize("name", ["krun", "Krum", "kurm"])
def test_unknown_names_are_answered_with_close_ones(name):
    """A typing error is told what was probably meant."""
    with pytest.raises(UnknownStrategyError, match=name) as error:
        strategies.create(name)
    assert "krum" in error.value.remedy


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((), "no strategy is named"),
        (("nnm",), "nnm is a mixer, and no rule comes after it"),
        (("arc+nnm",), "nnm is a mixer, and no rule comes after it"),
        (("median", "krum"), "median is a rule, and 2 names are given"),
        (("nnm+median", "krum"), "median is a rule, and 3 names are given"),
        (("nnm+",), "no strategy is called ''"),
    ],
)
def test_mixers_come_first_and_one_rule_last(parts, message):
    """Anything else is answered with what could be meant."""
    with pytest.raises(UnknownStrategyError, match=message) as error:
        strategies.create(*parts)
    assert error.value.remedy


@pytest.mark.parametrize(
    "parts", [("arc", "nnm", "trimmed_mean"), ("arc+nnm+trimmed_mean",), ("arc", "nnm+trimmed_mean")]
)
def test_mixers_and_a_rule_are_one_rule(parts):
    """By names or by one name with plus signs; a setting goes to every part that has it."""
    rule = strategies.create(*parts, n_byzantine=4)
    assert rule.name == "arc+nnm+trimmed_mean"
    assert [part.settings.n_byzantine for part in (*rule.mixers, rule.rule)] == [4, 4, 4]
    assert strategies.create("bucketing+median", bucket_size=2, even="lower").rule.settings.even == "lower"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("krum", {"f": 1}, "krum: unknown setting 'f'"),
        ("mean", {"n_byzantine": 1}, "mean: unknown setting"),
        ("krum", {"n_byzantine": "many"}, "n_byzantine='many' is not"),
        ("krum", {"n_byzantine": True}, "n_byzantine=True is not"),
        ("krum", {"n_byzantine": -1}, "neither a count"),
        ("krum", {"n_byzantine": 0.5}, "neither a count"),
        ("krum", {"n_byzantine": float("nan")}, "n_byzantine=nan is not"),
        ("krum", {"neighbours": "n-f"}, "neighbours='n-f' is not 'n-f-2' or 'n-f-1'"),
        ("multi_krum", {"m": 0}, r"m=0 is outside \[1"),
        ("multi_krum", {"m": 2.0}, "m=2.0 is not a whole number"),
        ("median", {"even": None}, "even=None"),
        ("norm_clipping", {"max_norm": 0.0}, "max_norm=0.0 is outside"),
        ("credit_gated", {"drop_share": 1.0}, "drop_share=1.0 is outside"),
        ("nnm+median", {"m": 3}, r"nnm\+median: unknown setting 'm'"),
        ("nnm+trimmed_mean", {"n_byzantine": 0.5}, "nnm: n_byzantine=0.5 is neither"),
        ("static_clipping+mean", {"max_norm": 0.0}, "static_clipping: max_norm=0.0 is outside"),
        ("bucketing+mean", {"bucket_size": 0}, "bucketing: bucket_size=0 is outside"),
    ],
)
def test_wrong_settings_are_named(name, settings, message):
    """The rule, the setting, its value and what is allowed."""
    with pytest.raises(SettingsError, match=message) as error:
        strategies.create(name, **settings)
    assert error.value.remedy


def test_import_paths():
    """Any Aggregator class by `package.module:Class`; what isn't one, or isn't there, is refused."""
    assert isinstance(strategies.create("strategies.mean:Mean"), Mean)
    for path in (
        "strategies.mean:Nothing",
        "strategies.nowhere:Mean",
        "strategies.mean:",
        "strategies.krum:krum_scores",
    ):
        with pytest.raises(UnknownStrategyError):
            strategies.create(path)


def test_plug_ins_are_listed_unloaded_and_loaded_by_name(monkeypatch):
    """An entry point adds a rule; one that doesn't load says so only when it is wanted."""
    points = [
        EntryPoint(name="plain", value="strategies.mean:Mean", group=registry.ENTRY_POINTS),
        EntryPoint(name="broken", value="no_such_package:Rule", group=registry.ENTRY_POINTS),
        EntryPoint(name="krum", value="no_such_package:Krum", group=registry.ENTRY_POINTS),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)
    assert {"plain", "broken"} <= set(strategies.names())
    assert isinstance(strategies.create("plain"), Mean)
    assert strategies.create("krum").name == "krum"
    with pytest.raises(UnknownStrategyError, match="'broken' doesn't load"):
        strategies.create("broken")
    summaries = {row.name: row.summary for row in strategies.describe()}
    assert "'broken' doesn't load" in summaries["broken"]
    assert summaries["plain"] == Mean.summary


def test_a_name_is_taken_once():
    """Two rules of one name would make a run depend on the order of imports."""

    class Other(Mean):
        pass

    with pytest.raises(StrategyError, match=r"'mean' is strategies\.mean:Mean already"):
        strategies.register(Other)
    assert strategies.register(Mean) is Mean
