"""Rules by name."""

from importlib.metadata import EntryPoint

import pytest

import strategies
from strategies import registry
from strategies.errors import SettingsError, StrategyError, UnknownStrategyError
from strategies.mean import Mean

SHIPPED = ["credit_gated", "fedavg", "krum", "mean", "median", "multi_krum", "norm_clipping", "trimmed_mean"]


def test_the_rules_that_ship():
    """Each has a summary, a source and settings with defaults that make a working rule."""
    assert set(SHIPPED) <= set(strategies.names())
    for name, summary, source, settings in strategies.describe():
        assert summary
        assert source
        rule = strategies.create(name, **settings)
        assert rule.name == name
        assert rule.settings == type(rule).Settings()


@pytest.mark.parametrize("name", ["krun", "Krum", "kurm"])
def test_unknown_names_are_answered_with_close_ones(name):
    """A typing error is told what was probably meant."""
    with pytest.raises(UnknownStrategyError, match=name) as error:
        strategies.create(name)
    assert "krum" in error.value.remedy


@pytest.mark.parametrize("rules", [(), ("nnm", "krum")])
def test_one_rule_at_a_time(rules):
    """There are no mixers to compose with yet."""
    with pytest.raises(UnknownStrategyError, match=f"{len(rules)} names given"):
        strategies.create(*rules)


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


def test_a_name_is_taken_once():
    """Two rules of one name would make a run depend on the order of imports."""

    class Other(Mean):
        pass

    with pytest.raises(StrategyError, match=r"'mean' is strategies\.mean:Mean already"):
        strategies.register(Other)
    assert strategies.register(Mean) is Mean
