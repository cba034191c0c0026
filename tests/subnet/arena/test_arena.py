"""The arena: cells that repeat, results that are kept, and a table that says what was measured."""

import json
from dataclasses import replace

import pytest
import torch

from clients.adversaries import Backdoor, mark
from clients.errors import CastError
from clients.task import Examples
from strategies import StrategyError
from subnet.arena.cell import Cell
from subnet.arena.page import colour, page
from subnet.arena.play import attack_names, create_rule, play
from subnet.arena.run import ArenaError, plan, play_all
from subnet.arena.table import ranking, rows
from subnet.spec import load_spec
from tests.endtoend.conftest import BLOBS

CELL = Cell(
    subnet=str(BLOBS),
    spec=load_spec(BLOBS).hash,
    strategy="mean",
    attack="none",
    partition="iid",
    n_clients=6,
    n_byzantine=2,
    stated=2,
    n_rounds=4,
    seed=0,
)


def measured(result):
    """A result without its times."""
    return {name: value for name, value in result.items() if not name.endswith("_s")}


@pytest.mark.parametrize("attack", attack_names())
def test_every_attack_is_played_and_repeats(attack):
    """A cell gives the same measurements twice, whatever the attack, and a distance of 0 without one under the mean."""
    result = play(replace(CELL, attack=attack))
    assert measured(result) == measured(play(replace(CELL, attack=attack)))
    assert (result["distance"] < 1e-6) == (attack in {"none", "nan"})  # NaN is set aside by every rule
    assert (result["attack_success"] is not None) == (attack == "backdoor")
    json.dumps(result, allow_nan=False)


def test_attacks_harm_the_mean_and_the_default_withstands_them():
    """A magnified sign flip wrecks the mean's model and not the default rule's."""
    calm = play(CELL)["accuracy"]
    assert play(replace(CELL, attack="sign_flip"))["accuracy"] < calm - 0.2
    assert play(replace(CELL, attack="sign_flip", strategy="credit_gated"))["accuracy"] > calm - 0.1


def test_a_rule_that_cant_work_keeps_the_model_and_is_counted():
    """A field too small for the rule's number of attackers refuses every round, and the model stays where it was."""
    cell = replace(CELL, strategy="krum", stated=3)
    result = play(cell)
    assert result["n_refused"] == cell.n_rounds
    assert result["distance"] == pytest.approx(1.0)


def test_a_rule_is_told_how_many_attack_where_it_asks():
    """Rules with that setting get it, others are made without."""
    assert create_rule("trimmed_mean", 3).settings.n_byzantine == 3
    assert create_rule("mean", 3).name == "mean"
    with pytest.raises(StrategyError):
        create_rule("meen", 3)


def test_an_unknown_attack_is_refused_in_words():
    """The error lists what there is."""
    with pytest.raises(CastError, match="'ghost' is unknown"):
        play(replace(CELL, attack="ghost"))


def test_the_key_is_of_all_that_matters_and_not_of_the_folder():
    """Every field but the subnet's place changes the key under which a result is kept."""
    assert replace(CELL, subnet="/elsewhere").key == CELL.key
    changes = {"spec": "x", "strategy": "krum", "attack": "nan", "partition": "dirichlet:1", "seed": 1}
    changes |= {"n_clients": 7, "n_byzantine": 1, "stated": 1, "n_rounds": 5}
    keys = {replace(CELL, **{name: value}).key for name, value in changes.items()}
    assert len(keys | {CELL.key}) == len(changes) + 1


def test_results_are_kept_and_played_once(tmp_path):
    """A second call reads what the first has played; a result on the disk is taken as it is."""
    cells = [CELL, replace(CELL, seed=1)]
    seen = []
    first = play_all(cells, tmp_path, n_workers=1, on_result=lambda done, total: seen.append((done, total)))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert measured(first[0][1]) == measured(play(CELL))
    (tmp_path / f"{CELL.key}.json").write_text('{"accuracy": 0.125}')
    again = play_all(cells, tmp_path, n_workers=1)
    assert again[0][1] == {"accuracy": 0.125}
    assert again[1] == first[1]


def test_a_cell_that_cant_be_played_is_named(tmp_path):
    """The error says which rule, attack and data, and what to do."""
    with pytest.raises(ArenaError, match="mean against ghost"):
        play_all([replace(CELL, attack="ghost")], tmp_path, n_workers=1)


def result(accuracy, **more):
    """A cell's result."""
    plain = {"loss": 1.0, "attack_success": None, "distance": 0.5, "n_refused": 0, "aggregation_s": 0.1, "wall_s": 1.0}
    return {"accuracy": accuracy, **plain, **more}


def test_rows_are_means_over_seeds_with_student_intervals():
    """Three seeds at 70, 80 and 90 %: mean 80, half width 4.303 x 10 / sqrt(3)."""
    found = [(replace(CELL, seed=seed), result(accuracy)) for seed, accuracy in enumerate([0.7, 0.8, 0.9])]
    [row] = rows(found)
    assert row["accuracy_percent"] == pytest.approx(80)
    assert row["accuracy_percent_ci95"] == pytest.approx(4.303 * 10 / 3**0.5)
    assert row["n_seeds"] == 3
    [single] = rows(found[:1])
    assert single["accuracy_percent_ci95"] is None


def test_rules_are_ranked_by_their_worst_attack_not_by_their_mean():
    """A rule that is good on average and fails once ranks below a steady one; the calm field isn't an attack."""
    accuracies = {
        ("brilliant", "none"): 0.99,
        ("brilliant", "nan"): 0.98,
        ("brilliant", "alie"): 0.3,
        ("steady", "none"): 0.2,
        ("steady", "nan"): 0.6,
        ("steady", "alie"): 0.5,
    }
    table = rows(
        (replace(CELL, strategy=rule, attack=attack), result(value)) for (rule, attack), value in accuracies.items()
    )
    first, second = ranking(table)
    assert (first["strategy"], first["worst_accuracy_percent"], first["worst_attack"]) == ("steady", 50, "alie")
    assert (second["strategy"], second["worst_accuracy_percent"]) == ("brilliant", 30)
    assert second["calm_accuracy_percent"] == pytest.approx(99)


def test_the_plan_is_the_product_of_everything_asked_for():
    """Each combination is there once."""
    cells = plan(
        subnet=BLOBS,
        spec="s",
        strategies=["mean", "krum"],
        attacks=["none", "nan", "alie"],
        partitions=["iid"],
        n_clients=6,
        n_byzantine=1,
        stated=[1, 2],
        n_rounds=2,
        seeds=range(2),
    )
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 3 * 2 * 2


def test_the_page_needs_nothing_else_and_shows_every_cell():
    """One file without scripts or links to anywhere; names are escaped; every figure is on it."""
    found = [
        (replace(CELL, strategy="<b>"), result(0.4321)),
        (replace(CELL, attack="backdoor"), result(0.9, attack_success=0.77)),
    ]
    table = rows(found)
    text = page(title="A & B", facts=["fact"], table=table, ranked=ranking(table))
    assert "http" not in text
    assert "<script" not in text
    assert "A &amp; B" in text
    assert "&lt;b&gt;" in text
    assert "43.2" in text
    assert "attack 77" in text


@pytest.mark.parametrize(("percent", "hue"), [(-5, 5), (0, 5), (50, 70), (100, 135), (120, 135)])
def test_colours_go_from_red_to_green(percent, hue):
    """The hue follows the accuracy and stays within its ends."""
    assert colour(percent).startswith(f"hsl({hue} ")


def test_the_backdoor_marks_half_and_only_half():
    """Every other example carries the mark and the target label, the others are untouched."""
    inputs = torch.rand(6, 1, 8, 8) * 0.5
    examples = Examples(inputs=inputs, targets=torch.arange(6) + 3)
    poisoned = Backdoor().data(examples)
    assert torch.equal(poisoned.inputs[1::2], inputs[1::2])
    assert torch.equal(poisoned.inputs[::2], mark(inputs)[::2])
    assert poisoned.targets.tolist() == [0, 4, 0, 6, 0, 8]
    assert bool((mark(inputs)[..., :3, :3] == inputs.max()).all())
    assert torch.equal(mark(inputs)[..., 3:, :], inputs[..., 3:, :])
