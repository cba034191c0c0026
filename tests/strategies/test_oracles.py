"""Rules against slow float64 versions that work on the rows themselves, and what each of them is there to withstand."""

import itertools
import math

import numpy as np
import pytest
import torch

import strategies
from strategies import Evidence, Updates, clusters, registry, spectral, subsets
from strategies.errors import EvidenceError, SettingsError, TooFewClientsError, UpdatesError
from strategies.kernels import mean_around_median
from strategies.points import WithPoints, origin
from strategies.subsets import minimum_diameter_subset

AUTO = 0.3


def draw(n, d, seed, scale=1.0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def evidence_for(updates, seed=0):
    generator = torch.Generator().manual_seed(seed)
    credit = torch.randn(len(updates), generator=generator, dtype=torch.float64)
    root = torch.randn(updates.shape[1], generator=generator, dtype=torch.float64).to(updates.dtype)
    return Evidence(credit=credit, z=credit, root=root, n_examples=torch.arange(1, len(updates) + 1))


# the oracles: (n, d) arrays in, (d,) out


def gap(a, b):
    return float(np.sqrt(((a - b) ** 2).sum()))


def nearest_mean(x, point, count):
    order = sorted(range(len(x)), key=lambda i: (gap(x[i], point), i))
    return x[order[:count]].mean(axis=0)


def around_median(x, keep):
    out = []
    for column in x.T:
        middle = np.median(column)
        out.append(np.mean(sorted(column, key=lambda v: abs(v - middle))[:keep]))
    return np.array(out)


def bulyan(x, f):
    left, picked = list(range(len(x))), []
    while len(picked) < len(x) - 2 * f:
        k = max(1, len(left) - f - 2)
        scores = {i: sum(sorted(gap(x[i], x[j]) ** 2 for j in left if j != i)[:k]) for i in left}
        best = min(left, key=lambda i: (scores[i], i))
        picked.append(best)
        left.remove(best)
    return around_median(x[picked], len(picked) - 2 * f)


def weiszfeld(x, nu, iterations, z, weights):
    for _ in range(iterations):
        pull = np.array([w / max(nu, gap(row, z)) for w, row in zip(weights, x, strict=True)])
        z = (pull[:, None] * x).sum(axis=0) / pull.sum()
    return z


def centered(x, tau, iterations, v):
    for _ in range(iterations):
        sizes = [gap(row, v) for row in x]
        limit = tau or np.median([s for s in sizes if s > 0] or [0.0])
        v = v + np.mean(
            [(row - v) * min(1, limit / s if s > 0 else 1) for row, s in zip(x, sizes, strict=True)], axis=0
        )
    return v


def best_subset(x, f, badness):
    every = itertools.combinations(range(len(x)), len(x) - f)
    return x[list(min(every, key=lambda rows: badness(x[list(rows)])))].mean(axis=0)


def diameter(x):
    return max((gap(a, b) for a in x for b in x), default=0.0)


def top_variance(x):
    return float(np.linalg.svd(x - x.mean(axis=0), compute_uv=False)[0] ** 2 / len(x))


def weighted_top(x, c):
    mean = c @ x / c.sum()
    values, vectors = np.linalg.eigh(((x - mean).T * c) @ (x - mean) / c.sum())
    return mean, values[-1], (x - mean) @ vectors[:, -1]


def caf(x, f):
    c, best, smallest = np.ones(len(x)), x.mean(axis=0), math.inf
    while c.sum() > len(x) - 2 * f:
        mean, variance, along = weighted_top(x, c)
        if variance < smallest:
            best, smallest = mean, variance
        tau = along**2 * (c > 0)
        c = c * (1 - tau / tau.max())
    return best


def filter_l2(x, f, bound):
    c = np.ones(len(x))
    while True:
        mean, variance, along = weighted_top(x, c)
        if variance <= bound:
            return mean
        tau = along**2 * (c > 0)
        left = c * (1 - tau / tau.max())
        if left.sum() <= len(x) - 2 * f:
            return mean
        c = left


def dnc(x, f):
    _, _, along = weighted_top(x, np.ones(len(x)))
    return x[np.sort(np.argsort(-np.abs(along), kind="stable")[f:])].mean(axis=0)


def fltrust(x, root):
    size = np.linalg.norm(root)
    trust = [max(0.0, row @ root / np.linalg.norm(row) / size) for row in x]
    scaled = [t * row / np.linalg.norm(row) * size for t, row in zip(trust, x, strict=True)]
    return np.sum(scaled, axis=0) / sum(trust) if sum(trust) > 0 else 0 * root


def multi_krum(x, f, m, weights):
    k = min(max(1, len(x) - f - 2), len(x) - 1)
    scores = [sum(sorted(gap(a, b) ** 2 for j, b in enumerate(x) if j != i)[:k]) for i, a in enumerate(x)]
    best = sorted(range(len(x)), key=lambda i: (scores[i], i))[:m]
    return np.average(x[best], axis=0, weights=[weights[i] for i in best])


def fools_gold(x):
    n = len(x)
    if n == 1:
        return x[0]
    cs = [[x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in range(n)] for i in range(n)]
    for i in range(n):  # with itself a client counts as at right angles, in the authors' code and so here
        cs[i][i] = 0.0
    most = [max(row) for row in cs]
    rates = []
    for i in range(n):
        pardoned = [cs[i][j] * most[i] / most[j] if most[i] < most[j] else cs[i][j] for j in range(n)]
        rates.append(min(1.0, max(0.0, 1 - max(pardoned))))
    rates = [min(0.99, rate / max(rates)) for rate in rates]
    rates = [min(1.0, max(0.0, math.log(r / (1 - r)) + 0.5)) if r > 0 else 0.0 for r in rates]
    return np.average(x, axis=0, weights=rates)


def clipped_to_median(x, rows):
    sizes = np.linalg.norm(x, axis=1)
    limit = np.median(sizes)
    return np.mean([x[i] * min(1, limit / sizes[i]) for i in rows], axis=0)


def flame(x):
    n = len(x)
    distance = [[1 - x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j]) for j in range(n)] for i in range(n)]
    for limit in sorted({0.0, *itertools.chain(*distance)}):
        for start in range(n):  # everything reachable by links within the limit
            reached = {start}
            while more := {j for i in reached for j in range(n) if distance[i][j] <= limit} - reached:
                reached |= more
            if 2 * len(reached) > n:
                return clipped_to_median(x, sorted(reached))
    raise AssertionError


def mean_shift(points, quantile, orphans):
    """Rows of the largest cluster: every point climbs by itself, close modes merge into the more crowded one."""
    n = len(points)
    bandwidth = np.mean([sorted(gap(p, q) for q in points)[max(1, int(quantile * n)) - 1] for p in points])
    modes, crowds = [], []
    for point in points:
        here = point
        while True:
            near = [q for q in points if gap(q, here) <= bandwidth]
            there = np.mean(near, axis=0) if near else here
            if gap(there, here) < 1e-14:
                break
            here = there
        modes.append(here)
        crowds.append(sum(gap(q, here) <= bandwidth for q in points))
    centres = []
    for i in sorted(range(n), key=lambda i: (-crowds[i], i)):
        if all(gap(modes[i], centre) > bandwidth for centre in centres):
            centres.append(modes[i])
    members = [[] for _ in centres]
    for i, point in enumerate(points):
        away = [gap(point, centre) for centre in centres]
        if not orphans or min(away) <= bandwidth:
            members[away.index(min(away))].append(i)
    return max(members, key=len)


def sign_features(x, scaled):
    shares = np.array([[np.mean(row > 0), np.mean(row < 0), np.mean(row == 0)] for row in x])
    return shares / [max(kind) or 1 for kind in shares.T] if scaled else shares


def sign_guard(x, group):
    sizes = np.linalg.norm(x, axis=1)
    middle = np.median(sizes)
    ordinary = [i for i in range(len(x)) if 0.1 * middle <= sizes[i] <= 3 * middle]
    return clipped_to_median(x, [i for i in ordinary if i in group] or ordinary)


def typical_step(x):
    sizes = np.linalg.norm(x, axis=1)
    return np.median(sizes[sizes > 0]) / len(x[0]) ** 0.5


def sign_majority(x, step):
    return np.array([step * np.sign(sum(v > 0 for v in column) - sum(v < 0 for v in column)) for column in x.T])


def zeno(x, credit, rho, f):
    scores = [c - rho * float(row @ row) for c, row in zip(credit, x, strict=True)]
    return x[sorted(range(len(x)), key=lambda i: (-scores[i], i))[: len(x) - f]].mean(axis=0)


ORACLES = {
    "fedavg": ("fedavg", {}, lambda x, e, f: np.average(x, axis=0, weights=e.n_examples)),
    "multi_krum-claims": (
        *("multi_krum", {"n_byzantine": 0.2, "m": "n-f-2", "weighting": "examples"}),
        lambda x, e, f: multi_krum(x, int(0.2 * len(x)), max(1, len(x) - int(0.2 * len(x)) - 2), e.n_examples.tolist()),
    ),
    "geometric_median-claims": (
        *("geometric_median", {"nu": 0.1, "iterations": 4, "weighting": "examples"}),
        lambda x, e, f: weiszfeld(x, 0.1, 4, np.average(x, axis=0, weights=e.n_examples), e.n_examples.tolist()),
    ),
    "meamed": ("meamed", {}, lambda x, e, f: around_median(x, len(x) - f)),
    "bulyan": ("bulyan", {}, lambda x, e, f: bulyan(x, min(f, max(0, (len(x) - 3) // 4)))),
    "geometric_median-few": (
        *("geometric_median", {"nu": 0.1, "iterations": 4}),
        lambda x, e, f: weiszfeld(x, 0.1, 4, x.mean(axis=0), np.ones(len(x))),
    ),
    "geometric_median-zero": (
        *("geometric_median", {"nu": 0.1, "iterations": 4, "start": "zero"}),
        lambda x, e, f: weiszfeld(x, 0.1, 4, 0 * x[0], np.ones(len(x))),
    ),
    "geometric_median-median": (
        *("geometric_median", {"nu": 0.1, "iterations": 4, "start": "median"}),
        lambda x, e, f: weiszfeld(x, 0.1, 4, np.median(x, axis=0), np.ones(len(x))),
    ),
    "centered_clipping": ("centered_clipping", {}, lambda x, e, f: centered(x, None, 1, 0 * x[0])),
    "centered_clipping-fixed": (
        "centered_clipping",
        {"tau": 0.6, "iterations": 4},
        lambda x, e, f: centered(x, 0.6, 4, 0 * x[0]),
    ),
    "centered_clipping-mean": (
        *("centered_clipping", {"iterations": 3, "start": "mean"}),
        lambda x, e, f: centered(x, None, 3, x.mean(axis=0)),
    ),
    "mda": ("mda", {}, lambda x, e, f: best_subset(x, f, diameter)),
    "smea": ("smea", {"n_byzantine": 0.15}, lambda x, e, f: best_subset(x, int(0.15 * len(x)), top_variance)),
    "monna": ("monna", {}, lambda x, e, f: nearest_mean(x, e.root.numpy(), len(x) - f)),
    "cge": ("cge", {}, lambda x, e, f: nearest_mean(x, 0 * x[0], len(x) - f)),
    "aksel": ("aksel", {}, lambda x, e, f: nearest_mean(x, np.median(x, axis=0), (len(x) + 1) // 2)),
    "aksel-n-f": ("aksel", {"keep": "n-f"}, lambda x, e, f: nearest_mean(x, np.median(x, axis=0), len(x) - f)),
    "medoid": ("medoid", {}, lambda x, e, f: min(x, key=lambda row: sum(gap(row, other) for other in x))),
    "caf": ("caf", {}, lambda x, e, f: caf(x, f) if f else x.mean(axis=0)),
    "filter_l2": ("filter_l2", {"sigma": 0.2}, lambda x, e, f: filter_l2(x, f, 20 * 0.2**2)),
    "dnc": ("dnc", {}, lambda x, e, f: dnc(x, f)),
    "fltrust": ("fltrust", {}, lambda x, e, f: fltrust(x, e.root.numpy())),
    "fools_gold": ("fools_gold", {}, lambda x, e, f: fools_gold(x)),
    "flame": ("flame", {}, lambda x, e, f: flame(x)),
    "sign_majority": ("sign_majority", {}, lambda x, e, f: sign_majority(x, typical_step(x))),
    "sign_majority-step": ("sign_majority", {"step": 0.01}, lambda x, e, f: sign_majority(x, 0.01)),
    "zeno": ("zeno", {"rho": 0.02}, lambda x, e, f: zeno(x, e.credit.tolist(), 0.02, f)),
    "loo_gated": (
        "loo_gated",
        {"min_credit": -0.2},
        lambda x, e, f: x[[i for i, c in enumerate(e.credit) if c >= -0.2] or [int(e.credit.argmax())]].mean(axis=0),
    ),
}


@pytest.mark.parametrize("case", ORACLES)
@pytest.mark.parametrize("n", [1, 3, 4, 5, 8, 11, 14])
def test_agrees_with_the_oracle(case, n):
    """Any number of clients, in float64; some lie far out."""
    name, settings, oracle = ORACLES[case]
    updates = draw(n, 6, seed=n) + 0.4
    updates[: n // 5] += 5.0
    evidence = evidence_for(updates, n)
    expected = torch.from_numpy(np.asarray(oracle(updates.numpy(), evidence, int(AUTO * n))))
    found = strategies.create(name, **settings).aggregate(updates, evidence=evidence).update
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10)


def test_every_rule_has_an_oracle():
    """Here, or in test_rules.py where the plainest are, or (the signs, which need longer updates) below."""
    plain = {"mean", "norm_clipping", "median", "trimmed_mean", "krum", "multi_krum", "credit_gated"}
    here = {name for name, _, _ in ORACLES.values()} | {"sign_guard"}
    shipped = {name for name, cls in registry._PARTS.items() if cls.__module__.startswith("strategies.")}
    assert here | plain == shipped - set(strategies.names("mixer"))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 20])
def test_sign_guard_agrees_with_the_oracle(n, scaled):
    """Some are turned round, some are large or small, and some hold zeros."""
    updates = draw(n, 301, seed=n) + 0.3
    updates[: n // 4] *= -1
    updates[n // 2 : n // 2 + n // 5] *= 50.0
    updates[:, ::7] = 0.0
    x = updates.numpy()
    group = mean_shift(sign_features(x, scaled), 0.5, orphans=scaled)
    rule = strategies.create("sign_guard", features="scaled" if scaled else "shares")
    torch.testing.assert_close(rule.aggregate(updates).update, torch.from_numpy(sign_guard(x, group)))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("orphans", [False, True])
def test_the_largest_cluster_is_that_of_scikit_learn(seed, orphans):
    """Its MeanShift with its bandwidth, on groups that are apart; without its seeds on a grid, which save time."""
    cluster = pytest.importorskip("sklearn.cluster", reason="comes with the examples' data sets")
    groups = torch.repeat_interleave(torch.arange(3.0), torch.tensor([9, 6, 4]))[:, None]
    points = (groups + 0.1 * draw(19, 3, seed=seed).float()).double()
    theirs = cluster.MeanShift(
        bandwidth=cluster.estimate_bandwidth(points.numpy(), quantile=0.3), cluster_all=not orphans
    ).fit(points.numpy())
    largest = np.bincount(theirs.labels_[theirs.labels_ >= 0]).argmax()
    assert (
        clusters.mean_shift(points, quantile=0.3, orphans=orphans) == np.flatnonzero(theirs.labels_ == largest).tolist()
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 11, 14, 20, 31])
@pytest.mark.parametrize("ties", [False, True])
def test_flame_keeps_what_hdbscan_labels(n, ties):
    """With min_samples 1 and a smallest cluster of more than half, it is the first majority of single linkage."""
    cluster = pytest.importorskip("sklearn.cluster", reason="comes with the examples' data sets")
    for seed in range(25):
        updates = draw(n, 4, seed=seed)
        updates[: n // 3] += draw(1, 4, seed=99 + seed) * 2
        distances = 1 - torch.corrcoef(updates)
        if ties:
            distances = ((distances * 3).round() + 1) / 3
        distances = ((distances + distances.T) / 2).fill_diagonal_(0.0).clamp_min(0.0)
        theirs = cluster.HDBSCAN(
            min_cluster_size=n // 2 + 1, min_samples=1, metric="precomputed", allow_single_cluster=True, copy=True
        ).fit(distances.numpy())
        assert clusters.majority_cluster(distances) == np.flatnonzero(theirs.labels_ >= 0).tolist(), seed


@pytest.mark.parametrize("n", [35, 50])
def test_meamed_of_many_clients(n):
    """Beyond the sorting network too, the kept values are the closest ones and the shares say whose they were."""
    block = draw(n, 7, seed=n).round(decimals=1)
    values, shares = mean_around_median(block, keep=n // 2 + 1)
    torch.testing.assert_close(values, torch.from_numpy(around_median(block.numpy(), n // 2 + 1)))
    assert float(shares.sum()) == pytest.approx(7)


@pytest.mark.parametrize("seed", range(12))
def test_minimum_diameter_is_the_first_of_all_subsets(seed):
    """The bounded search finds what trying every subset does, the first in lexicographic order among equal ones."""
    generator = torch.Generator().manual_seed(seed)
    n, f = 4 + seed % 6, 1 + seed % 3
    distances = torch.randint(1, 6, (n, n), generator=generator).double().triu(1)
    distances = distances + distances.T
    every = itertools.combinations(range(n), n - f)
    expected = min(every, key=lambda rows: float(distances[list(rows)][:, list(rows)].max()))
    assert tuple(minimum_diameter_subset(distances, n_removed=f)) == expected


def test_geometric_median_has_no_pull_left():
    """Iterated to the end, unit vectors to the updates cancel, and the weighted one obeys its weights."""
    updates, counts = draw(9, 4, seed=3), torch.arange(1.0, 10.0)
    for weighting, weights in (("equal", torch.ones(9)), ("examples", counts)):
        rule = strategies.create("geometric_median", weighting=weighting)
        z = rule.aggregate(updates, evidence=Evidence(n_examples=counts)).update
        units = torch.nn.functional.normalize(updates - z, dim=1)
        assert float((weights.double() @ units).norm() / weights.sum()) < 1e-6


def test_geometric_median_stops_early_when_told_to():
    """By how little it moves, or by how little the sum of distances changes."""
    updates = draw(9, 4, seed=3)
    done, *early = (
        strategies.create("geometric_median", **limits).aggregate(updates).update
        for limits in ({}, {"tol": 1e-2}, {"ftol": 1e-3})
    )
    for update in early:
        assert 1e-6 < float((update - done).norm()) < 0.1


@pytest.mark.parametrize(
    ("name", "settings", "limit"),
    [
        ("meamed", {"n_byzantine": 2}, 0),
        ("bulyan", {"n_byzantine": 2}, 0),
        ("geometric_median", {}, 3),
        ("medoid", {}, 0),
        ("mda", {"n_byzantine": 2}, 0),
        ("smea", {"n_byzantine": 2}, 0),
        ("aksel", {}, 0),
        ("cge", {"n_byzantine": 2}, 0),
        ("caf", {"n_byzantine": 2}, 1e-5),
        ("filter_l2", {"n_byzantine": 2}, 1e-5),
        ("dnc", {"n_byzantine": 2}, 0),
        ("sign_guard", {}, 3),
        ("centered_clipping", {"tau": 1.0}, 3),
        ("monna", {"n_byzantine": 2}, 0),
        ("zeno", {"n_byzantine": 2}, 0),
        ("loo_gated", {}, 0),
    ],
)
@pytest.mark.parametrize("power", [3, 9, 14, 20, 30])
@pytest.mark.parametrize("opposed", [False, True])
def test_far_outliers_change_little(name, settings, limit, power, opposed):
    """Two of eleven at any distance, together or opposed, leave the aggregate at the honest ones."""
    honest = draw(9, 40, seed=power).float() + 0.5
    outliers = torch.full((2, 40), 10.0**power)
    outliers[1] *= -1 if opposed else 1
    credit = torch.tensor([-1.0] * 2 + [1.0] * 9)
    evidence = Evidence(credit=credit, root=honest.mean(dim=0))
    found = strategies.create(name, **settings).aggregate(torch.cat([outliers, honest]), evidence=evidence).update
    low, high = honest.amin(dim=0) - limit - 1e-6, honest.amax(dim=0) + limit + 1e-6
    assert (found >= low).all()
    assert (found <= high).all()


def test_fltrust_is_never_longer_than_the_trusted_update():
    """Whoever sends what, most of them against it."""
    updates = torch.cat([torch.full((7, 5), -1e30), draw(3, 5, seed=0).float() + 1])
    root = torch.ones(5)
    result = strategies.create("fltrust").aggregate(updates, evidence=Evidence(root=root))
    assert float(result.update.norm()) <= float(root.norm()) + 1e-6
    assert float(result.update @ root) > 0
    assert result.influence[:7].tolist() == [0.0] * 7
    against = strategies.create("fltrust").aggregate(updates[:7], evidence=Evidence(root=root))
    assert against.update.tolist() == [0.0] * 5


def test_fools_gold_takes_the_weight_of_sybils():
    """Five who say the same count nothing beside five who differ, and if all say the same nothing is left."""
    honest = draw(5, 400, seed=1).float()
    sybils = draw(1, 400, seed=2).float().expand(5, -1) * torch.tensor([[1.0], [2.0], [1e6], [1e-3], [1.0]])
    result = strategies.create("fools_gold").aggregate(torch.cat([honest, sybils]))
    assert (result.influence[:5] > 0.1).all()
    assert result.influence[5:].tolist() == [0.0] * 5
    assert strategies.create("fools_gold").aggregate(sybils).update.tolist() == [0.0] * 400


def test_flame_keeps_the_majority_that_points_one_way():
    """Four of ten the other way are out, and the others aren't longer than the median."""
    honest = (torch.ones(6, 50) + 0.1 * draw(6, 50, seed=1).float()) * torch.linspace(0.5, 3, 6)[:, None]
    result = strategies.create("flame").aggregate(torch.cat([-honest[:4], honest]))
    assert result.influence[:4].tolist() == [0.0] * 4
    assert (result.influence[4:] > 0).all()


def test_sign_guard_drops_by_norm_and_by_sign():
    """A huge update and three of turned signs are out."""
    honest = draw(6, 3_000, seed=1).float() + 0.3
    updates = torch.cat([honest[:1] * 50, -honest[1:4], honest])
    result = strategies.create("sign_guard").aggregate(updates)
    assert result.influence[:4].tolist() == [0.0] * 4
    assert (result.influence[4:] > 0).all()
    assert result.diagnostics["ordinary_norm"].tolist() == [0.0] + [1.0] * 9
    assert result.diagnostics["sign_group"].tolist() == [1.0] + [0.0] * 3 + [1.0] * 6


@pytest.mark.parametrize("iterations", [1, 5])
def test_dnc_samples_by_its_seed(iterations):
    """The same seed marks the same rows; another one, other columns and so others."""
    updates = draw(12, 500, seed=1)
    rules = [strategies.create("dnc", n_byzantine=3, columns=5, iterations=iterations, seed=s) for s in (1, 1, 2)]
    marks = [rule.aggregate(updates).diagnostics["marks"] for rule in rules]
    assert torch.equal(marks[0], marks[1])
    assert not torch.equal(marks[0], marks[2])
    assert float(marks[0].sum()) == 3 * iterations


def test_dnc_samples_different_columns():
    """Any number of them, each as often as any other."""
    generator = torch.Generator().manual_seed(0)
    for count in (1, 4, 9, 10):
        counted = torch.zeros(10)
        for _ in range(400):
            columns = spectral._different(count, below=10, generator=generator)
            assert len(set(columns.tolist())) == count
            assert columns.tolist() == sorted(columns.tolist())
            counted[columns] += 1
        expected = 40.0 * count
        assert float(((counted - expected) ** 2 / expected).sum()) < 28  # chi-squared, 9 degrees: one in a thousand


def test_fools_gold_doesnt_punish_being_against_everybody():
    """A client at obtuse angles to all others is alike to nobody; the negative cosines are no reason to be pardoned."""
    updates = torch.tensor([[1.0, 0.2], [1.0, -0.2], [-1.0, 0.0]], dtype=torch.float64)
    assert float(strategies.create("fools_gold").aggregate(updates).influence[2]) == pytest.approx(1.0)


class TestCenteredClipping:
    def test_starts_from_the_last_aggregate(self):
        """Each update moves the given centre by tau / n at most; without one it starts at zero."""
        updates = torch.tensor([[10.0, 0.0], [10.0, 0.5], [-1e30, 0.0]])
        previous = torch.tensor([10.0, 0.0], dtype=torch.float64)
        rule = strategies.create("centered_clipping", tau=1.0)
        near = rule.aggregate(updates, evidence=Evidence(previous=previous)).update
        torch.testing.assert_close(near, torch.tensor([10 - 1 / 3, 0.5 / 3]))
        assert float(rule.aggregate(updates).update.norm()) < 0.5

    def test_the_setting_decides_whether_it_is_used(self):
        """With start="zero" a previous aggregate doesn't matter."""
        updates, rule = draw(4, 3, seed=0), strategies.create("centered_clipping", tau=1.0, start="zero")
        given = rule.aggregate(updates, evidence=Evidence(previous=torch.full((3,), 9.0)))
        assert torch.equal(given.update, rule.aggregate(updates).update)


@pytest.mark.parametrize("name", ["fltrust", "monna", "zeno", "loo_gated"])
def test_missing_evidence_is_said(name):
    """No rule falls back on something weaker in silence."""
    with pytest.raises(EvidenceError, match=f"{name} needs .* none was given"):
        strategies.create(name).aggregate(draw(3, 2, seed=0))


@pytest.mark.parametrize(
    ("row", "message"),
    [(torch.ones(3), "has 3 parameters"), (torch.full((2,), 1e200, dtype=torch.float64), "too large")],
)
def test_a_point_has_to_fit_the_updates(row, message):
    """Another length, or values beyond the updates' type, are errors of the caller's."""
    with pytest.raises(EvidenceError, match=message):
        strategies.create("fltrust").aggregate(torch.ones(3, 2), evidence=Evidence(root=row))


@pytest.mark.parametrize("row", [torch.tensor([1.0, math.nan]), torch.ones(1, 2)])
@pytest.mark.parametrize("name", ["root", "previous"])
def test_a_point_has_to_be_a_finite_row(name, row):
    """Nobody can centre or trust a NaN."""
    with pytest.raises(EvidenceError, match=f"the {name} update has the shape"):
        Evidence(**{name: row})


def test_an_unscored_update_is_refused():
    """A finite update without a finite credit is a fault of the caller's, and its hotkey is named."""
    evidence = Evidence(credit=torch.tensor([1.0, math.nan]), hotkeys=("a", "b"))
    with pytest.raises(EvidenceError, match="the credit of b is nan"):
        strategies.create("zeno").aggregate(torch.ones(2, 2), evidence=evidence)


@pytest.mark.parametrize("claims", [None, [0.0, 0.0, 0.0], [-1.0, 2.0, 2.0]])
def test_weighted_geometric_median_refuses_impossible_claims(claims):
    """No claims, or claims that can't be weights."""
    evidence = Evidence(n_examples=None if claims is None else torch.tensor(claims))
    with pytest.raises(EvidenceError, match="numbers of examples"):
        strategies.create("geometric_median", weighting="examples").aggregate(draw(3, 2, seed=0), evidence=evidence)


def test_bulyan_says_how_many_clients_it_takes():
    """Below 4f + 3 nothing is promised, so it refuses."""
    with pytest.raises(TooFewClientsError, match="10 usable updates against n_byzantine=2") as error:
        strategies.create("bulyan", n_byzantine=2).aggregate(draw(10, 3, seed=0))
    assert "11 clients" in error.value.remedy


def test_too_many_subsets_are_refused(monkeypatch):
    """SMEA counts before it starts, MDA gives up after a bounded search; both name other rules."""
    updates = draw(30, 3, seed=0)
    with pytest.raises(UpdatesError, match="smea has 86493225 subsets") as error:
        strategies.create("smea", n_byzantine=12).aggregate(updates)
    assert "caf" in error.value.remedy
    monkeypatch.setattr(subsets, "_MOST_LOOKS", 600)
    with pytest.raises(UpdatesError, match="mda gave up on 30 updates after looking at 600 rows") as error:
        strategies.create("mda", n_byzantine=12).aggregate(updates)
    assert "bulyan" in error.value.remedy


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("geometric_median", {"nu": 0.0}),
        ("geometric_median", {"iterations": 0}),
        ("geometric_median", {"start": "previous"}),
        ("centered_clipping", {"tau": 0.0}),
        ("aksel", {"keep": "n"}),
        ("filter_l2", {"expansion": 0.5}),
        ("dnc", {"columns": 0}),
        ("dnc", {"seed": -1}),
        ("sign_guard", {"lower": 2.0}),
        ("sign_majority", {"step": 0.0}),
        ("zeno", {"rho": -1.0}),
        ("fools_gold", {"confidence": math.nan}),
    ],
)
def test_wrong_settings_are_refused(name, settings):
    """The error names the rule and the setting."""
    with pytest.raises(SettingsError, match=f"{name}: {next(iter(settings))}="):
        strategies.create(name, **settings)


def test_points_below_the_updates_are_rows_like_others():
    """Blocks, rows and norms of updates with points are those of the matrix with more rows."""
    updates = draw(3, 5_003, seed=0).float()
    point = torch.linspace(-1, 1, 5_003, dtype=torch.float64)
    both = WithPoints(Updates(updates), [point, origin(Updates(updates))])
    dense = torch.cat([updates, point.float()[None], torch.zeros(1, 5_003)])
    assert torch.equal(torch.cat([block for _, block in both.blocks(999)], dim=1), dense)
    for rows in ([0, 2, 3], [3], [1, 2]):
        assert torch.equal(torch.cat([block for _, block in both.rows(rows).blocks()], dim=1), dense[rows])
    torch.testing.assert_close(both.norms(), dense.double().norm(dim=1))
    assert torch.equal(both.row(3).float(), dense[3])
