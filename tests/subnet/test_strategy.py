"""A subnet's rule is found in its folder, and told what it asks for."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from clients.task import load_task
from strategies.errors import UnknownStrategyError
from strategies.mean import Mean
from subnet import draw, strategy
from subnet.engine.simulate import Scenario, simulate
from subnet.report import report
from subnet.spec import load_spec
from subnet.strategy import ROOT_SAMPLES, create_strategy, root_examples

BLOBS = Path(__file__).parents[1] / "apps" / "blobs"
EXAMPLE = Path(__file__).parents[2] / "examples" / "custom_strategy" / "my_strategy.py"


def scenario(folder, name, *, cast="honest=5,sign_flip=1", n_rounds=3, **settings):
    """A blobs subnet in a folder, with another rule."""
    spec = load_spec(folder)
    section = spec.strategy.model_copy(update={"name": name, "settings": settings})
    return Scenario(
        spec=spec.model_copy(update={"strategy": section}),
        app_dir=folder,
        cast=cast,
        partition="iid",
        seed=0,
        n_rounds=n_rounds,
    )


class Listener(Mean):
    """A plain mean that keeps the evidence that it gets."""

    def __init__(self):
        super().__init__()
        self.heard = []

    def aggregate(self, updates, *, evidence=None):
        """Keep and pass on."""
        self.heard.append(evidence)
        return super().aggregate(updates, evidence=evidence)


class Trusting(Listener):
    """One that asks for a trusted update."""

    evidence = frozenset({"root"})


@pytest.mark.parametrize("name", ["fltrust", "monna", "bucketing+fltrust"])
def test_rules_with_a_trusted_update_train_and_repeat(tmp_path, name):
    """The validator trains the trusted update itself, the model learns, and the same seed gives the same ledger."""
    heads = []
    for run in ("one", "two"):
        played = scenario(BLOBS, name)
        played.check()
        simulate(played, tmp_path / run, engine="inprocess", observer=Mock(), n_workers=2)
        result = report(tmp_path / run, kinds=played.kinds(), n_rounds=3, seconds=0.0)
        losses = [entry["val_loss_after"] for entry in result["rounds"]]
        assert losses == sorted(losses, reverse=True)
        assert all(entry["minted"] > 0 for entry in result["rounds"])
        heads.append(result["ledger"]["head"])
    assert heads[0] == heads[1]


def test_only_rules_that_ask_have_an_update_trained(game, monkeypatch):
    """Others don't wait for it."""
    trained = []
    monkeypatch.setattr(strategy, "train", lambda *_args, **_more: trained.append(1) or torch.ones(3))
    played = game("honest=3")
    listener = Listener()
    played.change(strategy=listener)
    played.play()
    assert [evidence.root for evidence in listener.heard] == [None]
    assert trained == []


def test_a_rule_is_given_the_last_aggregate_and_the_claims(game):
    """None in the first round, then what the last accepted round added to the model."""
    played = game("honest=3")
    listener = Listener()
    played.change(strategy=listener)
    played.play(n_rounds=3)
    first, second, third = listener.heard
    _, after_two, after_one, start = played.state.points
    assert first.previous is None
    assert torch.equal(second.previous, after_one - start)
    assert torch.equal(third.previous, after_two - after_one)
    assert second.n_examples.tolist() == [played.report(2).receipts[hotkey]["n_examples"] for hotkey in second.hotkeys]


def test_the_trusted_update_is_recomputed_by_anyone(game):
    """From the base model, the round's seed and the held-out pool; a round played again has the same."""
    played = game("honest=3")
    trusting = Trusting()
    played.change(strategy=trusting)
    base = played.state.base
    record = played.play().record
    [evidence] = trusting.heard
    drawn = draw.sample(seed=record["seed"], pool_size=400, n_samples=8 * 32)
    pool = played.fixture.validation
    examples = root_examples(pool, seed=record["seed"], n_drawn=len(drawn))
    again = strategy._train_root(played.fixture, base, examples, record["seed"])
    assert torch.equal(evidence.root, again)
    assert float(played.fixture.objective.evaluate(base + again, pool)[0]) < record["val_loss_before"]


@pytest.mark.parametrize(("n_drawn", "n_root"), [(16, 184), (199, 1), (200, 200)])
def test_the_trusted_update_has_samples_of_its_own(n_drawn, n_root):
    """None of those that the round is scored on, as long as there are others."""
    pool = load_task(BLOBS, "blobs.task:Blobs").validation_data()
    pool = replace(pool, targets=torch.arange(len(pool)))
    drawn = set(draw.sample(seed="ab" * 32, pool_size=200, n_samples=n_drawn))
    taken = root_examples(pool, seed="ab" * 32, n_drawn=n_drawn).targets.tolist()
    assert len(taken) == len(set(taken)) == min(n_root, ROOT_SAMPLES)
    assert not drawn & set(taken) or n_drawn == 200


def test_a_trusted_update_that_explodes_costs_the_round_alone(game, monkeypatch):
    """The round is refused with the reason, and the next one is played."""
    played = game("honest=3")
    played.change(strategy=Trusting())
    with monkeypatch.context() as patched:
        patched.setattr(strategy, "train", lambda *_args, **_more: torch.full_like(played.state.base, torch.nan))
        refused = played.play()
    assert "root" in refused.record["proposed"]["why"]
    assert refused.row.minted == 0
    assert played.play().record["proposed"]["accepted"]


@pytest.fixture
def folder(tmp_path):
    """A subnet's folder with a rule of its own, of a name that no other test has."""
    where = tmp_path / "subnet"
    shutil.copytree(BLOBS, where)
    shutil.copy(EXAMPLE, where / "rule_of_this_subnet.py")
    yield where
    sys.modules.pop("rule_of_this_subnet", None)


@pytest.mark.parametrize("name", ["rule_of_this_subnet:TypicalNorm", "nnm+rule_of_this_subnet:TypicalNorm"])
def test_a_rule_in_the_subnets_folder_is_found(folder, tmp_path, name):
    """Without PYTHONPATH, mixers in front of it, and it plays a simulation."""
    played = scenario(folder, name, cast="honest=4", keep_share=0.5, n_rounds=1)
    played.check()
    simulate(played, tmp_path / "run", engine="inprocess", observer=Mock(), n_workers=2)
    result = report(tmp_path / "run", kinds=played.kinds(), n_rounds=1, seconds=0.0)
    assert result["rounds"][0]["val_loss_after"] < result["rounds"][0]["val_loss_before"]
    assert str(folder) not in sys.path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:", "doesn't load"),
        (
            "from strategies.base import GramRule\nclass Rule(GramRule): pass",
            "doesn't say its name, source, summary, w",
        ),
        ("class Rule: pass", "not a subclass"),
    ],
)
def test_a_rule_that_cant_be_used_says_why(folder, text, message):
    """A typing error, an unfinished class, another class: none is a traceback."""
    name = f"broken_rule_{abs(hash(text))}"
    (folder / f"{name}.py").write_text(text)
    with pytest.raises(UnknownStrategyError, match=message) as error:
        create_strategy(folder, f"{name}:Rule")
    assert error.value.remedy
    sys.modules.pop(name, None)
