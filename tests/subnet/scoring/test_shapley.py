"""The Shapley value: exact against every order of joining, by its axioms, and GTG-Shapley against the exact one."""

from dataclasses import replace
from itertools import permutations

import pytest
import torch

from subnet.scoring import shapley
from subnet.scoring.coalitions import Game
from subnet.scoring.geometry import measure
from subnet.scoring.history import History
from subnet.scoring.shapley import Shapley
from subnet.spec import ScoringSection

SCORER = Shapley(ScoringSection())


def clip(field):
    return measure(field.updates, field.deltas).clip


def worth(field, group):
    """What a group of rows is worth on each batch, by the definition."""
    if not group:
        return torch.zeros(len(field.batches), dtype=torch.float64)
    rows = clip(field)[list(group), None] * field.updates[list(group)].double()
    point = field.base + rows.mean(0).float()
    return torch.tensor(
        [field.objective.loss(field.base, batch) - field.objective.loss(point, batch) for batch in field.batches],
        dtype=torch.float64,
    )


@pytest.fixture(scope="module")
def eight(trained):
    """Eight updates: five honest ones of different size, a mixture, a sign flip and noise."""
    noise = torch.randn(trained.shape[1], generator=torch.Generator().manual_seed(4))
    mixed = (trained[0] + trained[1]) / 2
    flipped = -trained[2]
    return torch.cat([trained, torch.stack([mixed, flipped, noise / noise.norm() * trained[0].norm()])])


def test_exact_values_are_the_mean_over_every_order_of_joining(make_field, trained):
    """Brute force over all 24 permutations of four, batch by batch."""
    field = make_field(trained[:4] * torch.tensor([1.0, 2.0, 0.5, 1.0])[:, None])
    expected = torch.zeros(len(field.batches), 4, dtype=torch.float64)
    for order in permutations(range(4)):
        for place, player in enumerate(order):
            expected[:, player] += (worth(field, order[: place + 1]) - worth(field, order[:place])) / 24
    found = SCORER.values(field, clip(field))
    torch.testing.assert_close(found.values, expected, rtol=1e-4, atol=1e-6)
    assert (found.n_evaluations, found.n_permutations) == (15, 0)
    appraisal = SCORER.appraise(field, History())
    torch.testing.assert_close(appraisal.credit, expected.mean(0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(appraisal.standard_error, expected.std(0) / len(expected) ** 0.5, rtol=1e-3, atol=1e-6)


def test_efficiency_the_values_add_up_to_what_all_are_worth(make_field, eight):
    """On every batch, the sum of the values is the improvement of the clipped mean of all."""
    field = make_field(eight)
    found = SCORER.values(field, clip(field))
    torch.testing.assert_close(found.values.sum(1), worth(field, range(8)), rtol=1e-6, atol=1e-6)
    assert found.n_evaluations == 2**8 - 1


def test_symmetry_the_same_update_has_the_same_value(make_field, trained):
    """Two that send the same are worth the same, whatever their place."""
    field = make_field(torch.stack([trained[0], trained[1], trained[2], trained[0]]))
    found = SCORER.values(field, clip(field)).values
    torch.testing.assert_close(found[:, 0], found[:, 3], rtol=1e-6, atol=1e-7)


class Additive(Game):
    """A game in which each player brings its own number, so that one who brings 0 is a null player."""

    def value(self, total, size):
        """Return what the members bring: their updates are the unit vectors."""
        if not size:
            return super().value(total, 0)
        self.n_evaluations += 1
        brought = torch.tensor([3.0, 0.0, -1.0, 0.5, 2.0, 0.0, 1.0, 4.0], dtype=torch.float64)
        members = total[:8] > 0.5
        return brought[members].sum().expand(len(self._base_losses)).clone()


@pytest.fixture
def additive(make_field, base):
    units = torch.zeros(8, len(base))
    units[:, :8] = torch.eye(8)
    field = make_field(units)
    return Additive(field, torch.ones(8, dtype=torch.float64))


@pytest.mark.parametrize("how", ["exact", "estimate"])
def test_null_player_and_additivity(additive, how):
    """Who changes no group is worth 0, and where contributions add up everyone's value is its own."""
    make = {"exact": shapley.exact, "estimate": lambda game: shapley.estimate(game, torch.Generator().manual_seed(1))}
    found = make[how](additive)
    # the rest of a permutation is cut where what is missing is under a thousandth; here only when all is there
    tolerance = 1e-9 if how == "exact" else 0.6
    assert found.values.mean(0).tolist() == pytest.approx([3.0, 0.0, -1.0, 0.5, 2.0, 0.0, 1.0, 4.0], abs=tolerance)
    if how == "exact":
        assert found.values[:, 1].tolist() == pytest.approx([0.0] * 8, abs=1e-12)


@pytest.mark.parametrize(("spread", "mean_error"), [(0.05, 0.4), (0.005, 0.12)])
def test_the_estimate_is_near_the_exact_values(make_field, eight, monkeypatch, spread, mean_error):
    """GTG-Shapley at n = 8: its error is a share of a value's mean size that falls as it is asked to settle more."""
    field = make_field(eight)
    exact = SCORER.values(field, clip(field))
    monkeypatch.setattr(shapley, "EXACT_CLIENTS", 7)
    monkeypatch.setattr(shapley, "SPREAD", spread)
    monkeypatch.setattr(shapley, "MOST_PERMUTATIONS", 5000)
    found = SCORER.values(field, clip(field))
    one, other = exact.values.mean(0), found.values.mean(0)
    assert float((one - other).abs().mean()) < mean_error * float(one.abs().mean())
    assert float(torch.corrcoef(torch.stack([one, other]))[0, 1]) > 0.9
    assert float(other.sum()) == pytest.approx(float(one.sum()), rel=2 * shapley.WITHIN_ROUND)
    assert found.settled
    assert found.n_permutations >= shapley.LEAST_PERMUTATIONS
    assert found.n_evaluations <= exact.n_evaluations


def test_the_estimate_is_fixed_by_the_field(make_field, eight, monkeypatch):
    """The same field gives the same values bit for bit; other hotkeys or batches draw other permutations."""
    monkeypatch.setattr(shapley, "EXACT_CLIENTS", 0)
    field = make_field(eight)
    first, again = (SCORER.values(field, clip(field)).values for _ in range(2))
    assert torch.equal(first, again)
    draws = [
        torch.randperm(50, generator=shapley.draw_of(one)).tolist()
        for one in (field, replace(field, hotkeys=tuple("ABCDEFGH")), replace(field, batches=field.batches[::-1]))
    ]
    assert draws[0] == torch.randperm(50, generator=shapley.draw_of(field)).tolist()
    assert draws[0] != draws[1]
    assert draws[0] != draws[2]


def test_every_client_leads_as_many_permutations_as_every_other():
    """Guided sampling: leaders take turns, and each permutation has everyone once."""
    draw = torch.Generator().manual_seed(0)
    orders = [shapley._permutation(6, number, draw) for number in range(1, 13)]
    assert [order[0] for order in orders] == [0, 1, 2, 3, 4, 5] * 2
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert orders[0] != orders[6]


def test_a_round_that_moves_nothing_isnt_looked_into(make_field, trained, monkeypatch):
    """Between-round truncation: where all together change the loss by under a thousandth, all get 0 for one look."""
    monkeypatch.setattr(shapley, "EXACT_CLIENTS", 0)
    field = make_field(1e-6 * trained)
    found = SCORER.values(field, clip(field))
    assert (found.n_evaluations, found.n_permutations) == (1, 0)
    assert not found.values.any()


def test_a_walk_stops_when_everything_is_there(additive):
    """Within-round truncation: once a prefix is worth what all are, the rest adds nothing and costs nothing."""
    everyone = additive.value(additive.everyone(), 8)
    known, total = {255: everyone}, torch.zeros(8, 8, dtype=torch.float64)
    before = additive.n_evaluations
    shapley._walk(additive, [0, 2, 3, 4, 6, 7, 1, 5], known, total)
    assert additive.n_evaluations - before == 6
    assert total[0].tolist() == [3.0, 0.0, -1.0, 0.5, 2.0, 0.0, 1.0, 4.0]
    shapley._walk(additive, [2, 0, 3, 4, 6, 7, 1, 5], known, total)
    assert additive.n_evaluations - before == 7  # only {2} is new


def test_an_estimate_that_never_settles_ends(additive, monkeypatch):
    """After the most permutations it is taken as it is, and says so."""
    monkeypatch.setattr(shapley, "SPREAD", -1.0)
    monkeypatch.setattr(shapley, "MOST_PERMUTATIONS", 40)
    found = shapley.estimate(additive, torch.Generator().manual_seed(1))
    assert (found.n_permutations, found.settled) == (40, False)


def test_a_group_that_explodes_the_model_has_a_finite_worth(make_field, trained):
    """Overflowing losses are numbers, and so are all values."""
    field = make_field(torch.stack([trained[0], trained[1], trained[2] * 1e38]))
    found = SCORER.values(field, torch.ones(3, dtype=torch.float64))
    assert torch.isfinite(found.values).all()


def test_groups_are_visited_once_each_by_single_changes(make_field, trained):
    """The table's rows are the worth of every group, the empty one included."""
    field = make_field(trained[:3])
    table = Game(field, clip(field)).table()
    for group in range(8):
        members = [player for player in range(3) if group >> player & 1]
        torch.testing.assert_close(table[group], worth(field, members), rtol=1e-4, atol=1e-6)
