"""Every rule against a slow, obvious float64 version of itself, and the properties that its users rely on."""

import dataclasses
import math
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from strategies import Evidence

CASES = {
    "mean": ("mean", {}),
    "norm_clipping": ("norm_clipping", {}),
    "norm_clipping-fixed": ("norm_clipping", {"max_norm": 0.7}),
    "median": ("median", {}),
    "median-lower": ("median", {"even": "lower"}),
    "trimmed_mean": ("trimmed_mean", {}),
    "trimmed_mean-share": ("trimmed_mean", {"n_byzantine": 0.2}),
    "krum": ("krum", {}),
    "krum-wide": ("krum", {"neighbours": "n-f-1"}),
    "multi_krum": ("multi_krum", {}),
    "multi_krum-paper": ("multi_krum", {"m": "n-f-2", "n_byzantine": 0.25}),
    "credit_gated": ("credit_gated", {}),
    # these have their oracles in test_oracles.py
    "aksel": ("aksel", {}),
    "aksel-fixed": ("aksel", {"keep": "n-f"}),
    "bulyan": ("bulyan", {}),
    "caf": ("caf", {}),
    "centered_clipping": ("centered_clipping", {"iterations": 3}),
    "centered_clipping-fixed": ("centered_clipping", {"tau": 0.7, "start": "mean"}),
    "cge": ("cge", {}),
    "dnc": ("dnc", {"iterations": 3, "columns": 4}),
    "filter_l2": ("filter_l2", {}),
    "filter_l2-fixed": ("filter_l2", {"sigma": 0.3}),
    "flame": ("flame", {}),
    "fltrust": ("fltrust", {}),
    "fools_gold": ("fools_gold", {}),
    "geometric_median": ("geometric_median", {}),
    "geometric_median-fixed": ("geometric_median", {"nu": 0.1, "iterations": 3, "start": "zero"}),
    "geometric_median-median": ("geometric_median", {"nu": 1e-150, "start": "median"}),
    "loo_gated": ("loo_gated", {}),
    "mda": ("mda", {}),
    "meamed": ("meamed", {}),
    "medoid": ("medoid", {}),
    "monna": ("monna", {}),
    "sign_guard": ("sign_guard", {"column_share": 0.5}),
    "sign_majority": ("sign_majority", {}),
    "sign_majority-fixed": ("sign_majority", {"step": 1e-4}),
    "smea": ("smea", {}),
    "zeno": ("zeno", {}),
    "zeno-fixed": ("zeno", {"rho": 0.0, "n_byzantine": 0.4}),
}
# what changes with the unit of the updates, or isn't made of them
FIXED = {
    *("norm_clipping-fixed", "centered_clipping-fixed", "filter_l2-fixed", "geometric_median"),
    *("geometric_median-fixed", "sign_majority-fixed", "zeno"),
}
# what measures from zero or from a trusted update, so that moving all updates matters
FROM_A_POINT = {
    *("credit_gated", "norm_clipping", "norm_clipping-fixed", "centered_clipping", "centered_clipping-fixed", "cge"),
    *("flame", "fltrust", "fools_gold", "geometric_median-fixed", "monna", "sign_guard", "zeno"),
    *("sign_majority", "sign_majority-fixed"),
}
BY_COORDINATE = ("median", "trimmed", "meamed", "bulyan", "sign_majority", "sign_majority-fixed")
ALL = pytest.mark.parametrize("case", CASES)


def create(case):
    name, chosen = CASES[case]
    return strategies.create(name, **chosen)


def evidence_for(updates, seed=0):
    """Credits, z and hotkeys that don't depend on the updates."""
    n = len(updates)
    generator = torch.Generator().manual_seed(seed)
    credit = torch.randn(n, generator=generator, dtype=torch.float64)
    hotkeys = tuple(f"hk-{(7919 * (row + 1)) % 10007:05d}" for row in range(n))
    root = torch.randn(updates.shape[1], generator=generator, dtype=torch.float64).to(updates.dtype)
    return Evidence(credit=credit, z=2 * credit, hotkeys=hotkeys, root=root)


def draw(n, d, seed, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


# the oracles: plain Python on lists of floats


def norm(row):
    return math.sqrt(math.fsum(value * value for value in row))


def clipped_rows(rows, limit=None):
    sizes = [norm(row) for row in rows]
    limit = limit if limit is not None else (median([s for s in sizes if s > 0]) if any(sizes) else 0.0)
    return [[v * (min(1.0, limit / s) if s > 0 else 1.0) for v in row] for row, s in zip(rows, sizes, strict=True)]


def mean_of(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def trimmed(rows, low, high):
    return [math.fsum(sorted(c)[low : len(rows) - high]) / (len(rows) - low - high) for c in zip(*rows, strict=True)]


def krum_pick(rows, f, neighbours, m):
    n = len(rows)
    k = min(max(1, neighbours), n - 1)
    scores = []
    for i in range(n):
        distances = sorted(
            math.fsum((a - b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)) for j in range(n) if j != i
        )
        scores.append(math.fsum(distances[:k]))
    return mean_of([rows[i] for i in sorted(range(n), key=lambda i: (scores[i], i))[: max(1, m)]])


def credit_gated(rows, evidence):
    n, clipped = len(rows), clipped_rows(rows)
    kept = [i for i in range(n) if evidence.z[i] >= -2] or [int(evidence.credit.argmax())]
    while n - len(kept) < int(0.3 * n):
        kept.remove(min(kept, key=lambda i: evidence.credit[i]))
    return mean_of([clipped[i] for i in kept])


def oracle(case, rows, evidence):
    n = len(rows)
    auto, theory = int(0.3 * n), max(0, (n - 3) // 2)
    f, quarter = min(auto, theory), int(0.25 * n)
    return {
        "mean": lambda: mean_of(rows),
        "norm_clipping": lambda: mean_of(clipped_rows(rows)),
        "norm_clipping-fixed": lambda: mean_of(clipped_rows(rows, 0.7)),
        "median": lambda: [median(column) for column in zip(*rows, strict=True)],
        "median-lower": lambda: [sorted(column)[(n - 1) // 2] for column in zip(*rows, strict=True)],
        "trimmed_mean": lambda: trimmed(rows, auto, auto),
        "trimmed_mean-share": lambda: trimmed(rows, int(0.2 * n), int(0.2 * n)),
        "krum": lambda: krum_pick(rows, f, n - f - 2, 1),
        "krum-wide": lambda: krum_pick(rows, f, n - f - 1, 1),
        "multi_krum": lambda: krum_pick(rows, f, n - f - 2, n - f),
        "multi_krum-paper": lambda: krum_pick(rows, quarter, n - quarter - 2, n - quarter - 2),
        "credit_gated": lambda: credit_gated(rows, evidence),
    }[case]()


@pytest.mark.parametrize("case", list(CASES)[: list(CASES).index("credit_gated") + 1])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 20, 33, 48])
def test_agrees_with_the_oracle(case, n):
    """Any number of clients, odd or even, through the network and the sort."""
    updates = draw(n, 9, seed=n)
    evidence = Evidence(credit=evidence_for(updates).credit, z=evidence_for(updates).z)
    expected = torch.tensor(oracle(case, updates.tolist(), evidence), dtype=torch.float64)
    result = create(case).aggregate(updates, evidence=evidence)
    torch.testing.assert_close(result.update, expected, rtol=1e-10, atol=1e-12)


@ALL
@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 14), d=st.integers(1, 12), seed=st.integers(0, 999), shuffle=st.randoms(use_true_random=False))
def test_order_of_answers_is_irrelevant(case, n, d, seed, shuffle):
    """With hotkeys the same clients in another order give the same bits, ties included; influence follows."""
    updates = draw(n, d, seed).round()
    evidence = evidence_for(updates, seed)
    order = list(range(n))
    shuffle.shuffle(order)
    straight = create(case).aggregate(updates, evidence=evidence)
    shuffled = create(case).aggregate(updates[order], evidence=evidence.rows(order))
    assert torch.equal(straight.update, shuffled.update)
    assert torch.equal(straight.influence[order], shuffled.influence)


@pytest.mark.parametrize("case", [case for case in CASES if case not in FROM_A_POINT])
@settings(max_examples=15, deadline=None)
@given(n=st.sampled_from([1, *range(3, 15)]), seed=st.integers(0, 999), shift=st.floats(-100, 100))
def test_translation(case, n, seed, shift):
    """What all updates share is in the aggregate as it is (of two updates, either may be nearer to their middle)."""
    updates = draw(n, 6, seed)
    evidence = evidence_for(updates)
    near, far = (create(case).aggregate(x, evidence=evidence).update for x in (updates, updates + shift))
    torch.testing.assert_close(near + shift, far, rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", [case for case in CASES if case not in FIXED])
@settings(max_examples=15, deadline=None)
@given(n=st.integers(1, 14), seed=st.integers(0, 999), power=st.integers(-60, 60))
def test_scale(case, n, seed, power):
    """Updates of another size give an aggregate of that size."""
    updates = draw(n, 6, seed)
    evidence, rule = evidence_for(updates, seed), create(case)
    scaled = dataclasses.replace(evidence, root=evidence.root * 2.0**power)
    one = rule.aggregate(updates, evidence=evidence).update
    other = rule.aggregate(updates * 2.0**power, evidence=scaled).update
    torch.testing.assert_close(one, other / 2.0**power, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["median", "trimmed_mean", "krum", "multi_krum"])
@settings(max_examples=25, deadline=None)
@given(f=st.integers(0, 4), extra=st.integers(0, 4), power=st.integers(-3, 30), sign=st.sampled_from([-1, 1]))
def test_identical_outliers_cant_leave_the_honest_hull(name, f, extra, power, sign):
    """F clients of 2f + 3 or more that say the same keep the aggregate within the honest values.

    At any magnitude for the coordinate rules; Krum may choose a client as near as the honest, but never a far one.
    """
    honest = draw(f + 3 + extra, 5, seed=f + extra).float()
    outlier = torch.full((f, 5), sign * 10.0**power)
    rule = strategies.create(name) if name == "median" else strategies.create(name, n_byzantine=f)
    result = rule.aggregate(torch.cat([outlier, honest]))
    if "krum" not in name or power > 2:
        slack = 1e-6
        assert (result.update <= honest.amax(dim=0) + slack).all()
        assert (result.update >= honest.amin(dim=0) - slack).all()


@ALL
def test_huge_values_stay_finite(case):
    """1e30, and float32's largest number, are numbers like others."""
    for huge in (1e30, torch.finfo(torch.float32).max):
        updates = draw(10, 7, seed=1).float()
        updates[0], updates[1], updates[2, 3] = huge, -huge, huge
        assert create(case).aggregate(updates, evidence=evidence_for(updates)).update.isfinite().all()


def test_huge_values_dont_blur_the_others():
    """Krum tells honest clients apart beside one of 1e30, and the trimmed mean keeps their digits."""
    honest = draw(9, 50, seed=2).float() * 1e-3
    updates = torch.cat([torch.full((1, 50), 1e30), honest])
    clean = strategies.create("krum", n_byzantine=1, neighbours="n-f-1").aggregate(honest)
    dirty = strategies.create("krum", n_byzantine=1, neighbours="n-f-2").aggregate(updates)
    assert torch.equal(clean.update, dirty.update)
    assert strategies.create("trimmed_mean", n_byzantine=1).aggregate(updates).update.abs().max() < 0.01


@ALL
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_updates_are_set_aside(case, bad):
    """They have no influence, are named, and never reach the rule."""
    updates = draw(10, 6, seed=3)
    updates[2, 4] = updates[7, 0] = bad
    evidence = evidence_for(updates)
    result = create(case).aggregate(updates, evidence=evidence)
    assert result.update.isfinite().all()
    assert result.influence[[2, 7]].tolist() == [0, 0]
    assert result.rejected[2] == result.rejected[7] == "non-finite update"
    assert (~result.diagnostics["finite"]).nonzero().flatten().tolist() == [2, 7]
    assert all(len(values) == 10 for values in result.diagnostics.values())


def test_non_finite_updates_count_among_the_byzantine():
    """Two of three expected ones are known, so one value is trimmed at each end of the eight left."""
    updates = draw(10, 6, seed=3)
    updates[2], updates[7] = math.nan, math.inf
    left = updates[[0, 1, 3, 4, 5, 6, 8, 9]]
    whole = strategies.create("trimmed_mean", n_byzantine=3).aggregate(updates).update
    assert torch.equal(whole, strategies.create("trimmed_mean", n_byzantine=1).aggregate(left).update)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not case.startswith(("fltrust", "sign_majority", "geometric_median-fixed"))],
)
def test_a_single_client_is_the_aggregate(case):
    """One client's update comes back, clipped only by a fixed limit."""
    updates = torch.tensor([[0.3, -0.4]])
    result = create(case).aggregate(updates, evidence=evidence_for(updates))
    torch.testing.assert_close(result.update, updates[0])
    torch.testing.assert_close(result.influence, torch.ones(1, dtype=torch.float64))


@ALL
def test_zero_updates_give_zero(case):
    """All clients sending nothing is no division by zero."""
    updates = torch.zeros(5, 3)
    assert create(case).aggregate(updates, evidence=evidence_for(updates)).update.tolist() == [0, 0, 0]


@ALL
@pytest.mark.parametrize("n", [6, 40])
def test_inputs_are_unchanged_and_repeats_are_equal(case, n):
    """The same bits on every call, on one thread and on two; the updates stay as they were; the thread count too."""
    updates = draw(n, 30_011, seed=4).float()
    before, evidence, rule = updates.clone(), evidence_for(updates), create(case)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 2):
            torch.set_num_threads(count)
            results.append(rule.aggregate(updates, evidence=evidence))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(updates, before)
    for result in results[1:]:
        assert torch.equal(result.update, results[0].update)
        assert torch.equal(result.influence, results[0].influence)
        assert all(torch.equal(v, results[0].diagnostics[k]) for k, v in result.diagnostics.items())


@ALL
def test_influence_of_whole_rows_is_their_weight(case):
    """The rows times their influence are the aggregate, clipping included; coordinate rules' shares add up to one."""
    updates = draw(9, 5, seed=5)
    result = create(case).aggregate(updates, evidence=evidence_for(updates))
    if case.startswith(BY_COORDINATE):
        assert float(result.influence.sum()) == pytest.approx(1)
    else:
        torch.testing.assert_close(result.influence @ updates, result.update)


def test_influence_of_coordinates_counts_whose_value_was_used():
    """The median's influence is the share of coordinates in which a client was the middle one, equal parts on ties."""
    updates = torch.tensor([[0.0, 5.0, 1.0, 7.0], [1.0, 0.0, 1.0, 7.0], [2.0, 1.0, 9.0, 7.0]])
    influence = strategies.create("median").aggregate(updates).influence
    torch.testing.assert_close(influence, torch.tensor([0.5 + 1 / 3, 1.5 + 1 / 3, 1 + 1 / 3], dtype=torch.float64) / 4)


@pytest.mark.parametrize("name", ["trimmed_mean", "krum", "multi_krum"])
def test_too_few_clients(name):
    """Half of the clients being malicious is nobody's to sort out, and the error says how many it takes."""
    with pytest.raises(strategies.errors.TooFewClientsError, match="n_byzantine=2 of 4 clients") as error:
        strategies.create(name, n_byzantine=2).aggregate(draw(4, 3, seed=6))
    assert "5 clients" in error.value.remedy


@pytest.mark.parametrize("n", range(1, 12))
@pytest.mark.parametrize("name", ["trimmed_mean", "krum", "multi_krum"])
def test_auto_always_fits(name, n):
    """The automatic number of Byzantine clients works from one client on."""
    assert strategies.create(name).aggregate(draw(n, 3, seed=n)).update.isfinite().all()


def test_median_norm_ignores_zero_updates():
    """A majority that sends nothing can't clip the others to nothing."""
    updates = torch.tensor([[0.0], [0.0], [0.0], [2.0], [4.0]])
    assert strategies.create("norm_clipping").aggregate(updates).diagnostics["clip_factor"].tolist() == [
        1,
        1,
        1,
        1,
        0.75,
    ]


class TestCreditGated:
    def aggregate(self, credit, z=None, gated=None, updates=None):
        """The rule on rows 1, 2, 3, ... unless others are given; z is the credit unless given."""
        credit = torch.tensor(credit, dtype=torch.float64)
        z = credit if z is None else torch.tensor(z)
        updates = torch.arange(1.0, len(credit) + 1)[:, None] if updates is None else updates
        evidence = Evidence(credit=credit, z=z, gated=gated)
        return strategies.create("credit_gated").aggregate(updates, evidence=evidence)

    def test_the_lowest_credited_go_until_the_share_is_out(self):
        """Three of ten, and each is told why."""
        result = self.aggregate([0.5, 0.1, 0.2, 0.9, 0.3, 0.4, 0.6, 0.7, 0.8, 1.0])
        assert set(result.rejected) == {1, 2, 4}
        assert all(reason.startswith("precaution") for reason in result.rejected.values())

    def test_harmful_ones_go_however_many(self):
        """A z under the limit is out beyond the share, and nobody else with them."""
        result = self.aggregate([1, 2, 3, 4, 5.0], z=[-3, -2.5, -9, 1, -2.0])
        assert set(result.rejected) == {0, 1, 2}
        assert "z of -2.50" in result.rejected[1]

    def test_gated_and_non_finite_count_towards_the_share(self):
        """One gated and one NaN of ten leave one precaution."""
        updates = torch.ones(10, 2)
        updates[9] = math.nan
        gated = torch.tensor([True] + [False] * 9)
        credit = [9, 1, 2, 3, 4, 5, 6, 7, 8, math.nan]
        result = self.aggregate(credit, gated=gated, updates=updates)
        assert set(result.rejected) == {0, 1, 9}
        assert "gate" in result.rejected[0]

    def test_the_best_stays_when_all_would_go(self):
        """There is always an aggregate; the acceptance test decides on it."""
        result = self.aggregate([-5, -4, -9.0])
        assert result.influence.nonzero().flatten().tolist() == [1]
        assert set(result.rejected) == {0, 2}

    def test_ties_go_to_the_smaller_hotkey(self):
        """Of equal credits the larger hotkeys are dropped."""
        evidence = Evidence(credit=torch.zeros(4), z=torch.zeros(4), hotkeys=("d", "a", "c", "b"))
        result = strategies.create("credit_gated").aggregate(torch.ones(4, 1), evidence=evidence)
        assert list(result.rejected) == [0]

    @pytest.mark.parametrize("evidence", [None, Evidence(), Evidence(credit=torch.ones(3))])
    def test_needs_evidence(self, evidence):
        """It never falls back on something weaker in silence."""
        with pytest.raises(strategies.errors.EvidenceError, match="none was given"):
            strategies.create("credit_gated").aggregate(torch.ones(3, 2), evidence=evidence)

    def test_refuses_an_unscored_update(self):
        """A finite update without a finite credit is a fault of the caller's."""
        with pytest.raises(strategies.errors.EvidenceError, match="nan"):
            self.aggregate([1.0, math.nan, 2.0])
