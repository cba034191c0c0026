"""The conformance suite passes every rule that ships, and names what is wrong with wrong ones."""

# ruff: noqa: D102, D106 -- the wrong rules' names say what they do

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch

import strategies
from strategies import mixing  # noqa: F401 -- registers the mixers
from strategies.base import Weights
from strategies.errors import EvidenceError
from strategies.mean import Mean
from strategies.settings import RuleSettings
from strategies.testing import check_aggregator


def needs_evidence(name):
    """Whether the rule can't do without."""
    try:
        strategies.create(name).aggregate(torch.ones(12, 8))
    except EvidenceError:
        return True
    return False


@pytest.mark.parametrize(
    "name", [*strategies.names(), "nnm+trimmed_mean", "arc+nnm+krum", "bucketing+median", "static_clipping+mean"]
)
def test_every_rule_passes(name):
    """With evidence of every kind, and without any where it isn't needed."""
    for given in {True, needs_evidence(name)}:
        check_aggregator(name, needs_evidence=given)


class Wrong(Mean):
    """Right, so that each wrong one differs in one thing."""

    name: ClassVar[str] = "wrong"


class BelievesNaN(Wrong):
    def aggregate(self, updates, *, evidence=None):
        rows = strategies.Updates.of(updates)
        return super().aggregate([rows.row(i).nan_to_num(0, 0, 0) for i in range(rows.n)], evidence=evidence)


class LetsNaNThrough(Wrong):
    def aggregate(self, updates, *, evidence=None):
        result = super().aggregate(updates, evidence=evidence)
        bad = not strategies.Updates.of(updates).finite().all()
        return dataclasses.replace(result, update=result.update * torch.nan if bad else result.update)


class WritesToTheUpdates(Wrong):
    def combine(self, updates, call):
        for _, block in updates.blocks():
            block.mul_(0.5)
        return super().combine(updates, call)


class WritesToTheEvidence(Wrong):
    def aggregate(self, updates, *, evidence=None):
        evidence.credit.zero_()
        return super().aggregate(updates, evidence=evidence)


class Random(Wrong):
    def weights(self, gram):
        return Weights(values=torch.rand(gram.n, dtype=torch.float64))


class Remembers(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        last, self.last = getattr(self, "last", combined.update), combined.update
        return dataclasses.replace(combined, update=(combined.update + last) / 2)


class CountsThreads(Wrong):
    def aggregate(self, updates, *, evidence=None):
        result = super().aggregate(updates, evidence=evidence)
        return dataclasses.replace(result, update=result.update * (1 + 1e-6 * torch.get_num_threads()))


class LooksAtTheForm(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        return dataclasses.replace(combined, update=combined.update * (2 if updates._dense is None else 1))


class FirstToAnswer(Wrong):
    def aggregate(self, updates, *, evidence=None):
        return super().aggregate(updates, evidence=evidence and dataclasses.replace(evidence, hotkeys=()))

    def weights(self, gram):
        return Weights(values=torch.eye(gram.n, dtype=torch.float64)[0])


class IgnoresTheGate(Wrong):
    def aggregate(self, updates, *, evidence=None):
        return super().aggregate(updates, evidence=evidence and dataclasses.replace(evidence, gated=None))


class ShortInfluence(Wrong):
    def aggregate(self, updates, *, evidence=None):
        result = super().aggregate(updates, evidence=evidence)
        return dataclasses.replace(result, influence=result.influence[1:])


class InfluenceNaN(Wrong):
    def aggregate(self, updates, *, evidence=None):
        result = super().aggregate(updates, evidence=evidence)
        return dataclasses.replace(result, influence=result.influence * torch.nan)


class RejectsAndUses(Wrong):
    def weights(self, gram):
        return dataclasses.replace(super().weights(gram), rejected={0: "no"})


class RejectsWithoutAReason(Wrong):
    def weights(self, gram):
        return Weights(values=torch.eye(gram.n, dtype=torch.float64)[0], rejected={gram.n - 1: ""})


class DividesByOthers(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        return dataclasses.replace(combined, update=combined.update / (updates.n - 1))


class DividesBySpread(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        spread = max(float(block.std(dim=0).sum()) for _, block in updates.blocks()) if updates.n > 1 else 1.0
        return dataclasses.replace(combined, update=combined.update / spread)


class AgainstAll(Wrong):
    def weights(self, gram):
        return Weights(values=-super().weights(gram).values)


class SomethingOutOfNothing(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        return dataclasses.replace(combined, update=combined.update.where(combined.update != 0, 1.0))


class SquaresInFloat32(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        size = float(combined.update.square().sum().sqrt())
        return dataclasses.replace(combined, update=combined.update * size)


class Doubles(Wrong):
    def aggregate(self, updates, *, evidence=None):
        result = super().aggregate(updates, evidence=evidence)
        return dataclasses.replace(result, update=result.update.double())


class ForgetsAColumn(Wrong):
    def combine(self, updates, call):
        combined = super().combine(updates, call)
        return dataclasses.replace(combined, update=combined.update[1:])


class Raises(Wrong):
    def weights(self, gram):
        raise KeyError("credit")


MUTANTS = {
    BelievesNaN: "client 1 sent values that aren't finite and isn't rejected",
    LetsNaNThrough: r"clients \[1, 4\] sent values that aren't finite: \d+ of 50003 values of the aggregate",
    WritesToTheUpdates: "600036 values of the updates were changed",
    WritesToTheEvidence: "the evidence's credit was changed",
    Random: r"a second call with the same updates: \d+ of 50003 values differ, by up to",
    Remembers: "a call after one with other updates .* values differ",
    CountsThreads: "on two threads instead of one: .* values differ",
    LooksAtTheForm: "the updates as a list of tensors instead of a dense tensor: .* values differ",
    FirstToAnswer: r"the same clients in the order \[11, 10,.* values differ",
    IgnoresTheGate: "client 0 was gated and isn't rejected",
    ShortInfluence: r"influence has the shape \(11,\), not \(12,\), for 12 clients",
    InfluenceNaN: "the influence of client 0 is nan",
    RejectsAndUses: r"client \d is rejected \(no\) and has an influence of 0.0833333, not 0",
    RejectsWithoutAReason: r"client \d+ is rejected without a reason",
    DividesByOthers: "one client: raised ZeroDivisionError|one client: 50003 of 50003 values",
    DividesBySpread: "the same update from all: (raised ZeroDivisionError|50003 of 50003 values)",
    AgainstAll: "all clients send the same, and 50003 values of the aggregate have the other sign",
    SomethingOutOfNothing: "all clients send 0, and 50003 values of the aggregate aren't 0",
    SquaresInFloat32: r"values of 1e\+30: \d+ of 50003 values of the aggregate aren't finite",
    Doubles: "the aggregate is torch.float64, not torch.float32",
    ForgetsAColumn: r"shape \(50002,\), not \(50003,\)|raised",
    Raises: "ordinary updates: raised KeyError: 'credit'",
}


def test_the_right_one_passes():
    """What the wrong ones differ from."""
    check_aggregator(Wrong, needs_evidence=True)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda cls: cls.__name__)
def test_a_wrong_rule_is_told_what_is_wrong(mutant):
    """One property broken: that property named, with its numbers."""
    with pytest.raises(AssertionError, match=MUTANTS[mutant]) as error:
        check_aggregator(mutant, needs_evidence=True)
    assert str(error.value).startswith("wrong: ")


class WithSettings(Wrong):
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Settings(RuleSettings):
        factor: float = field(default=-1.0)

    def weights(self, gram):
        return Weights(values=torch.full((gram.n,), self.settings.factor / gram.n, dtype=torch.float64))


def test_settings_in_every_way():
    """By name, as an instance, to a function and to a name; the default is the wrong one here."""
    with pytest.raises(AssertionError, match="the other sign"):
        check_aggregator(WithSettings)
    check_aggregator(WithSettings, settings={"factor": 0.5})
    check_aggregator(WithSettings, settings=WithSettings.Settings(factor=0.5))
    check_aggregator(lambda factor: WithSettings(WithSettings.Settings(factor=factor)), settings={"factor": 0.5})
    check_aggregator("median", settings={"even": "lower"})
    with pytest.raises(TypeError, match="by name"):
        check_aggregator("median", settings=WithSettings.Settings())


def test_a_rule_may_need_more_clients_than_one():
    """It says so with TooFewClientsError, and is checked at the sizes that it works at."""
    check_aggregator("trimmed_mean", settings={"n_byzantine": 5})


def test_sizes_that_check_nothing_are_refused():
    """Too few clients to set two aside, too few parameters to tell."""
    with pytest.raises(ValueError, match="6 clients"):
        check_aggregator("mean", n_clients=5)
