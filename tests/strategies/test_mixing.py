"""Mixers in front of a rule: published cases, slow float64 versions, and what a composition keeps of a rule."""

import json
import math
import os
from pathlib import Path
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from strategies import Evidence, Updates, mixing
from strategies.aggregation import Call
from strategies.base import Aggregator, Gram, GramRule, Mixer, Mixing
from strategies.composition import Composition, MixedUpdates
from strategies.errors import EvidenceError, SettingsError, TooFewClientsError

OTHER_FILE = os.environ.get("SUBNET_AGGREGATION_VECTORS")
PATH = Path(OTHER_FILE or Path(__file__).parents[1] / "vectors" / "aggregation.json")
VECTORS = json.loads(PATH.read_text())
MIXERS = {
    "nnm": mixing.NearestNeighbourMixing,
    "arc": mixing.AdaptiveClipping,
    "static_clipping": mixing.StaticClipping,
    "bucketing": mixing.Bucketing,
}
ROWS = [case for case in VECTORS["cases"] if case["kind"] == "preaggregator" and case["rule"] in MIXERS]
PIPELINES = [
    case
    for case in VECTORS["cases"]
    if case["kind"] == "pipeline" and case["rule"].rpartition("+")[2] in strategies.names()
]
COMPOSED = [
    "nnm+trimmed_mean",
    "nnm+krum",
    "nnm+mean",
    "bucketing+median",
    "bucketing+multi_krum",
    "arc+nnm+median",
    "arc+norm_clipping",
    "static_clipping+mean",
    "static_clipping+krum",
    "nnm+credit_gated",
    "bucketing+credit_gated",
]
ALL = pytest.mark.parametrize("name", COMPOSED)


def draw(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def evidence_for(n, seed=0):
    credit = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    hotkeys = tuple(f"hk-{(7919 * (row + 1)) % 10007:05d}" for row in range(n))
    return Evidence(credit=credit, z=2 * credit, hotkeys=hotkeys)


def gram_of(updates, f):
    rows = Updates.of(updates)
    return Gram.of(rows, Call(n_clients=rows.n, n_byzantine=f, evidence=Evidence()))


def mixed(mixer, updates, f):
    """The rows that a rule would see."""
    return next(MixedUpdates(Updates(updates), mixer.matrix(gram_of(updates, f)).matrix).blocks(10_000))[1]


# published cases


@pytest.mark.parametrize("case", ROWS, ids=[f"{case['rule']}-{case['id']}" for case in ROWS])
def test_published_mixer(case):
    """The mixed rows are within the case's tolerance."""
    updates = torch.tensor(VECTORS["inputs"][case["input"]], dtype=getattr(torch, case["dtype"]))
    cls = MIXERS[case["rule"]]
    mixer = cls(cls.Settings(max_norm=case["params"]["c"])) if "c" in case["params"] else cls()
    expected = torch.tensor(case["expected"], dtype=torch.float64)
    found = mixed(mixer, updates, case["params"].get("f", 0)).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=case["tol"])


@pytest.mark.parametrize("case", PIPELINES, ids=[f"{case['rule']}-{case['id']}" for case in PIPELINES])
def test_published_pipeline(case):
    """Mixers and rule together are within the case's tolerance."""
    updates = torch.tensor(VECTORS["inputs"][case["input"]], dtype=getattr(torch, case["dtype"]))
    params = case["params"]
    chosen = {"nu": params["nu"], "iterations": params["T"], "start": "zero"} if "nu" in params else {}
    result = strategies.create(case["rule"], n_byzantine=params["f"], **chosen).aggregate(updates)
    expected = torch.tensor(case["expected"], dtype=torch.float64)
    torch.testing.assert_close(result.update.double(), expected, rtol=0, atol=case["tol"])


def test_every_mixer_and_pipeline_has_a_case():
    """No test passes for want of cases, of those that are published with the project."""
    assert OTHER_FILE or {case["rule"] for case in ROWS} == MIXERS.keys() - {"bucketing"}
    assert OTHER_FILE or {"nnm+trimmed_mean", "arc+nnm+median"} <= {case["rule"] for case in PIPELINES}


# the oracles: plain Python on lists of floats


def mean_of(rows):
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def slow_nnm(rows, f):
    nearest = [sorted(range(len(rows)), key=lambda j: (j != i, math.dist(rows[i], rows[j]))) for i in range(len(rows))]
    return [mean_of([rows[j] for j in order[: len(rows) - f]]) for order in nearest]


def slow_clip(rows, limit):
    sizes = [math.hypot(*row) for row in rows]
    return [[v * (limit / s if s > limit else 1.0) for v in row] for row, s in zip(rows, sizes, strict=True)]


def slow_arc(rows, f):
    sizes = sorted((math.hypot(*row) for row in rows), reverse=True)
    return slow_clip(rows, sizes[int(2 * f / len(rows) * (len(rows) - f))])


def slow_trimmed(rows, f):
    return [math.fsum(sorted(c)[f : len(rows) - f]) / (len(rows) - 2 * f) for c in zip(*rows, strict=True)]


def slow_krum(rows, f):
    n = len(rows)
    k = min(max(1, n - f - 2), n - 1)
    scores = [math.fsum(sorted(math.dist(a, b) ** 2 for b in rows)[1 : k + 1]) for a in rows]
    return rows[min(range(n), key=scores.__getitem__)]


def slow_norm_clipping(rows):
    sizes = [math.hypot(*row) for row in rows]
    return mean_of(slow_clip(rows, median([size for size in sizes if size > 0])))


SLOW = {
    "nnm+trimmed_mean": lambda rows, f: slow_trimmed(slow_nnm(rows, f), f),
    "nnm+mean": lambda rows, f: mean_of(slow_nnm(rows, f)),
    "nnm+median": lambda rows, f: [median(column) for column in zip(*slow_nnm(rows, f), strict=True)],
    "nnm+norm_clipping": lambda rows, f: slow_norm_clipping(slow_nnm(rows, f)),
    "arc+nnm+mean": lambda rows, f: mean_of(slow_nnm(slow_arc(rows, f), f)),
    "arc+krum": lambda rows, f: slow_krum(slow_arc(rows, f), f),
    "arc+nnm+norm_clipping": lambda rows, f: slow_norm_clipping(slow_nnm(slow_arc(rows, f), f)),
    "nnm+arc+nnm+trimmed_mean": lambda rows, f: slow_trimmed(slow_nnm(slow_arc(slow_nnm(rows, f), f), f), f),
    "static_clipping+krum": lambda rows, f: slow_krum(slow_clip(rows, 1.0), f),
    "static_clipping+norm_clipping": lambda rows, f: slow_norm_clipping(slow_clip(rows, 1.0)),
}


@pytest.mark.parametrize("name", SLOW)
@pytest.mark.parametrize(("n", "f"), [(3, 1), (6, 1), (9, 3), (20, 6), (35, 9)])
def test_agrees_with_the_oracle(name, n, f):
    """Gram rules, which never see a mixed row, and coordinate rules, which see blocks of them."""
    updates = draw(n, 11, seed=n) * torch.linspace(0.5, 3, n, dtype=torch.float64)[:, None] + 0.3
    robust = any(part in name for part in ("nnm", "arc", "krum", "trimmed"))
    rule = strategies.create(name, **({"n_byzantine": f} if robust else {}))
    if name.startswith("static_clipping"):
        assert rule.mixers[0].settings.max_norm == 1.0
    expected = torch.tensor(SLOW[name](updates.tolist(), f), dtype=torch.float64)
    torch.testing.assert_close(rule.aggregate(updates).update, expected, rtol=1e-9, atol=1e-11)


@ALL
def test_a_rule_in_gram_space_is_the_rule_on_the_mixed_rows(name):
    """W G W^T and the rows themselves give the same aggregate, at a common shift that would drown differences."""
    updates = draw(13, 40, seed=3) * 1e-3 + 0.05
    evidence = evidence_for(13)
    composed = strategies.create(name)

    class Rows(type(composed.rule)):
        """The same rule, as one that isn't known to be a Gram rule."""

        def combine(self, updates, call):
            return super().combine(updates, call)

    rows = Composition(composed.mixers, Rows(composed.rule.settings))
    one, other = (rule.aggregate(updates, evidence=evidence) for rule in (composed, rows))
    torch.testing.assert_close(one.update, other.update, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(one.influence, other.influence, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e6, 1e20, 1e30])
def test_a_clipped_giant_is_measured_like_any_other(scale):
    """Distances between a giant clipped to the common norm and the others have the digits of small rows."""
    updates = draw(9, 30, seed=4).float()
    updates[2] *= scale
    gram = gram_of(updates, 2)
    weights = mixing.StaticClipping().matrix(gram).matrix
    wide = updates.double()
    clipped = wide / wide.norm(dim=1, keepdim=True).clamp_min(1)
    exact = torch.stack([(clipped - row).square().sum(dim=1) for row in clipped])
    found = gram.mixed(weights, gram.call)
    torch.testing.assert_close(found.distances, exact, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(found.norms, torch.ones(9, dtype=torch.float64))


# what a composition keeps of a rule


@ALL
@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 14), d=st.integers(1, 12), seed=st.integers(0, 999), shuffle=st.randoms(use_true_random=False))
def test_order_of_answers_is_irrelevant(name, n, d, seed, shuffle):
    """With hotkeys the same clients in another order give the same bits, ties included."""
    updates, evidence = draw(n, d, seed).round(), evidence_for(n, seed)
    order = list(range(n))
    shuffle.shuffle(order)
    straight = strategies.create(name).aggregate(updates, evidence=evidence)
    shuffled = strategies.create(name).aggregate(updates[order], evidence=evidence.rows(order))
    assert torch.equal(straight.update, shuffled.update)
    assert torch.equal(straight.influence[order], shuffled.influence)


@ALL
@pytest.mark.parametrize("n", [6, 40])
def test_threads_and_forms_dont_change_a_bit(name, n):
    """On one thread and two, dense, listed, strided or in layers; the updates stay as they were."""
    updates = draw(n, 30_011, seed=4).float()
    before, evidence, rule = updates.clone(), evidence_for(n), strategies.create(name)
    layers = [{"w": row[:30_000].view(100, 300), "b": row[30_000:]} for row in updates]
    threads, results = torch.get_num_threads(), []
    try:
        for count, form in ((1, updates), (2, updates), (2, list(updates)), (1, updates.T.contiguous().T), (2, layers)):
            torch.set_num_threads(count)
            results.append(rule.aggregate(form, evidence=evidence))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(updates, before)
    for result in results[1:]:
        assert torch.equal(result.update, results[0].update)
        assert torch.equal(result.influence, results[0].influence)
        assert all(torch.equal(v, results[0].diagnostics[k]) for k, v in result.diagnostics.items())


@ALL
@pytest.mark.parametrize("huge", [1e30, torch.finfo(torch.float32).max])
def test_huge_rows_stay_finite(name, huge):
    """And move a robust rule no further than the others allow."""
    updates = draw(12, 7, seed=1).float()
    updates[0], updates[1] = huge, -huge
    result = strategies.create(name).aggregate(updates, evidence=evidence_for(12))
    assert result.update.isfinite().all()
    assert result.influence.isfinite().all()
    if any(part in name for part in ("trimmed", "median", "arc", "static", "nnm+krum")):
        assert result.update.abs().max() < 10


@ALL
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 9])
def test_identical_updates_are_the_aggregate(name, n):
    """However many; all zeros too. Influence adds up to what is left after a clip."""
    row = torch.tensor([0.3, -0.4])
    result = strategies.create(name).aggregate(row.expand(n, 2), evidence=evidence_for(n))
    torch.testing.assert_close(result.update, row)
    assert float(result.influence.sum()) == pytest.approx(1)
    assert strategies.create(name).aggregate(torch.zeros(n, 2), evidence=evidence_for(n)).update.tolist() == [0, 0]


@ALL
def test_influence_is_on_the_clients_own_updates(name):
    """For rules that weight whole rows, the clients' updates times their influence are the aggregate."""
    updates = draw(13, 5, seed=5)
    composed = strategies.create(name)
    result = composed.aggregate(updates, evidence=evidence_for(13))
    if isinstance(composed.rule, GramRule):
        torch.testing.assert_close(result.influence @ updates, result.update)
    assert all(len(values) == 13 for values in result.diagnostics.values())
    assert all(float(result.influence[row]) == 0 for row in result.rejected)


def test_diagnostics_are_the_clients_own():
    """A bucket's are its members'; non-finite rows have none, and rejections name the caller's rows."""
    updates = draw(9, 5, seed=6)
    updates[3] = math.nan
    evidence = Evidence(credit=torch.ones(9), z=torch.tensor([1.0] * 8 + [-9.0]))
    result = strategies.create("bucketing+norm_clipping", bucket_size=3).aggregate(updates, evidence=evidence)
    buckets = result.diagnostics["bucketing_bucket"]
    assert buckets.isnan().tolist() == [row == 3 for row in range(9)]
    for bucket in (0, 1, 2):
        assert len(set(result.diagnostics["clip_factor"][buckets == bucket].tolist())) == 1
    clipped = strategies.create("static_clipping+credit_gated", drop_share=0.0).aggregate(updates, evidence=evidence)
    assert set(clipped.rejected) == {3, 8}
    expected = (1 / updates.norm(dim=1)).clamp_max(1)
    expected[3] = math.nan
    torch.testing.assert_close(clipped.diagnostics["static_clipping_clip_factor"], expected, equal_nan=True)


def test_a_client_whose_update_is_in_others_mixes_isnt_rejected():
    """NNM carries a dropped client's update on in its neighbours' means, and the result says so."""
    evidence = Evidence(credit=torch.ones(5), z=torch.tensor([-9.0, 1, 1, 1, 1]))
    result = strategies.create("nnm+credit_gated", n_byzantine=0).aggregate(draw(5, 3, seed=1), evidence=evidence)
    assert float(result.influence[0]) > 0
    assert 0 not in result.rejected


def test_n_byzantine_is_resolved_once():
    """The non-finite count among the f of NNM and of the trimmed mean alike."""
    updates = draw(10, 6, seed=3)
    updates[2], updates[7] = math.nan, math.inf
    left = updates[[0, 1, 3, 4, 5, 6, 8, 9]]
    whole = strategies.create("nnm", "trimmed_mean", n_byzantine=3).aggregate(updates).update
    assert torch.equal(whole, strategies.create("nnm", "trimmed_mean", n_byzantine=1).aggregate(left).update)
    with pytest.raises(SettingsError, match="n_byzantine=1 for nnm, 2 for trimmed_mean"):
        Composition(
            [mixing.NearestNeighbourMixing(mixing.NearestNeighbourMixing.Settings(n_byzantine=1))],
            strategies.create("trimmed_mean", n_byzantine=2),
        )
    with pytest.raises(SettingsError, match="no mixer"):
        Composition([], strategies.create("mean"))


@pytest.mark.parametrize("name", ["nnm+median", "arc+mean", "bucketing+median", "nnm+trimmed_mean", "arc+nnm+krum"])
def test_too_few_clients(name):
    """Half of the clients being malicious is an error that says how many it takes."""
    with pytest.raises(TooFewClientsError, match="n_byzantine=2 of 4 clients") as error:
        strategies.create(name, n_byzantine=2).aggregate(draw(4, 3, seed=6))
    assert "5 clients" in error.value.remedy


def test_too_few_buckets():
    """Five clients of twenty may spoil five of the five buckets; automatic numbers stay within what is possible."""
    with pytest.raises(TooFewClientsError, match="bucket_size=4 makes 5 buckets of 20 updates, and n_byzantine=5"):
        strategies.create("bucketing+median", n_byzantine=5, bucket_size=4).aggregate(draw(20, 3, seed=0))
    for n in range(1, 25):
        for rule in ("median", "krum", "trimmed_mean"):
            result = strategies.create("bucketing", rule, bucket_size=4).aggregate(draw(n, 3, seed=n))
            assert result.update.isfinite().all()


def test_a_mixer_that_leaves_too_few_rows():
    """The composition itself refuses what its mixer doesn't."""

    class First(Mixer):
        name, summary, source = "first", "the first row", "here"

        def matrix(self, gram):
            return Mixing(matrix=torch.eye(gram.n, dtype=torch.float64)[:1], home=(0,) * gram.n)

    with pytest.raises(TooFewClientsError, match="n_byzantine=1, and first makes 1 rows of 3 updates"):
        Composition([First()], strategies.create("trimmed_mean", n_byzantine=1)).aggregate(draw(3, 2, seed=0))


@pytest.mark.parametrize(("n", "f", "size"), [(25, 5, 2), (20, 2, 4), (10, 0, 4), (10, 4, 1), (3, 0, 1), (1, 0, 1)])
def test_default_bucket_size(n, f, size):
    """The largest that leaves 2f + 1 buckets; as in the paper's experiments (25 clients, 5 malicious: 2)."""
    matrix = mixing.Bucketing().matrix(gram_of(draw(n, 3, seed=0), f)).matrix
    assert int((matrix != 0).sum(dim=1).max()) == size
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(len(matrix), dtype=torch.float64))
    assert (matrix != 0).sum(dim=0).tolist() == [1] * n


def test_buckets_by_seed():
    """One seed, one partition; another seed, another."""
    updates = draw(12, 4, seed=0)
    by_seed = [
        strategies.create("bucketing+median", bucket_size=3, seed=seed).aggregate(updates).update for seed in (0, 0, 1)
    ]
    assert torch.equal(by_seed[0], by_seed[1])
    assert not torch.equal(by_seed[0], by_seed[2])


def test_a_bucket_s_evidence_is_its_members_mean():
    """What credit_gated sees of a bucket; claims that nobody may make are still refused."""
    seen = {}

    class Look(Aggregator):
        name, summary, source = "look", "remembers", "here"

        def combine(self, updates, call):
            seen["call"] = call
            return strategies.create("mean").combine(updates, call)

    bucketing = mixing.Bucketing(mixing.Bucketing.Settings(bucket_size=2, n_byzantine=0))
    evidence = Evidence(credit=torch.tensor([1.0, 2, 3, 4]), hotkeys=("a", "b", "c", "d"), gated=torch.zeros(4).bool())
    result = Composition([bucketing], Look()).aggregate(draw(4, 2, seed=0), evidence=evidence)
    call, bucket = seen["call"], result.diagnostics["bucketing_bucket"]
    assert (call.n_clients, call.evidence.hotkeys) == (2, ())
    assert call.evidence.credit.tolist() == [float(evidence.credit[bucket == b].mean()) for b in (0, 1)]
    claims = Evidence(n_examples=torch.tensor([-9.0, 1, 1, 1]))
    with pytest.raises(EvidenceError, match="numbers of examples"):
        strategies.create("bucketing+fedavg", bucket_size=2).aggregate(draw(4, 2, seed=0), evidence=claims)


def test_mixed_rows_are_updates():
    """Blocks, single rows, subsets and norms are those of the mixed matrix."""
    updates, weights = draw(5, 700, seed=2), draw(3, 5, seed=3)
    rows = MixedUpdates(Updates(updates), weights)
    expected = weights @ updates
    assert (rows.n, rows.d, rows.dtype, rows.device.type) == (3, 700, torch.float64, "cpu")
    torch.testing.assert_close(torch.cat([block for _, block in rows.blocks(99)], dim=1), expected)
    torch.testing.assert_close(rows.row(1), expected[1])
    torch.testing.assert_close(next(rows.rows([2, 0]).blocks(700))[1], expected[[2, 0]])
    torch.testing.assert_close(rows.norms(), expected.norm(dim=1))
    assert rows.finite().all()
