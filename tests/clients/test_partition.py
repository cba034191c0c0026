"""How training data is divided: nothing lost, nothing twice, and skewed as much as was asked."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.errors import CastError
from clients.partition import MIN_EXAMPLES, parse, split
from clients.task import Examples


def labelled(n, n_labels=10):
    return Examples(inputs=torch.zeros(n, 1), targets=torch.arange(n) % n_labels)


def skew(examples, shards):
    """Mean total variation distance between a shard's label mix and the whole's."""
    whole = torch.bincount(examples.targets, minlength=10).double() / len(examples)
    mixes = [torch.bincount(examples.targets[shard], minlength=10).double() / len(shard) for shard in shards]
    return float(torch.stack([(mix - whole).abs().sum() / 2 for mix in mixes]).mean())


@settings(max_examples=60)
@given(
    n=st.integers(100, 600),
    n_shards=st.integers(1, 6),
    partition=st.sampled_from(["iid", "dirichlet:0.5", "dirichlet:3", "dirichlet:100"]),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_example_is_in_exactly_one_shard(n, n_shards, partition, seed):
    """Shards are disjoint, sorted, cover everything, and none is below the minimum."""
    shards = split(labelled(n), n_shards, partition=partition, seed=seed)
    assert len(shards) == n_shards
    assert torch.equal(torch.cat(shards).sort().values, torch.arange(n))
    assert all(len(shard) >= MIN_EXAMPLES and torch.equal(shard, shard.sort().values) for shard in shards)


def test_iid_shards_are_equal_in_size_and_nearly_in_labels():
    """Sizes differ by one at most, and the label mix is near the whole's."""
    examples = labelled(1003)
    shards = split(examples, 4, partition="iid", seed=1)
    assert sorted(len(shard) for shard in shards) == [250, 251, 251, 251]
    assert skew(examples, shards) < 0.12


def test_label_skew_grows_as_alpha_falls():
    """The smaller alpha, the further a shard's labels are from the whole's, on the mean over seeds."""
    examples = labelled(4000)
    skews = [
        sum(skew(examples, split(examples, 8, partition=partition, seed=seed)) for seed in range(5)) / 5
        for partition in ("dirichlet:100", "dirichlet:1", "dirichlet:0.1")
    ]
    assert skews[0] < 0.1
    assert 0.2 < skews[1] < skews[2] - 0.2


def test_alpha_is_the_concentration_of_the_proportions():
    """A label's shares vary as a symmetric Dirichlet's do: variance (1/K)(1 - 1/K) / (K alpha + 1)."""
    examples, n_shards, alpha = labelled(20_000, n_labels=10), 4, 0.5
    shares = [
        torch.bincount(examples.targets[shard], minlength=10).double() / 2000
        for seed in range(40)
        for shard in split(examples, n_shards, partition=f"dirichlet:{alpha}", seed=seed)
    ]
    expected = (1 / n_shards) * (1 - 1 / n_shards) / (n_shards * alpha + 1)
    assert float(torch.cat(shares).var()) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("partition", ["iid", "dirichlet:0.5"])
def test_a_partition_repeats_with_its_seed_alone(partition):
    """The same seed gives the same shards, another seed others, and the global generator plays no part."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = split(labelled(500), 5, partition=partition, seed=3)
        torch.manual_seed(2)
        again = split(labelled(500), 5, partition=partition, seed=3)
    other = split(labelled(500), 5, partition=partition, seed=4)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not all(torch.equal(one, two) for one, two in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "partition",
    [
        "",
        "IID",
        "iid:3",
        "dirichlet",
        "dirichlet:",
        "dirichlet:0",
        "dirichlet:-1",
        "dirichlet:nan",
        "dirichlet:inf",
        "dirichlet:x",
        "shards:2",
    ],
)
def test_an_unknown_partition_is_refused_by_name(partition):
    """Whatever isn't `iid` or `dirichlet:ALPHA` with a positive, finite alpha is named in the error."""
    with pytest.raises(CastError, match="partition") as caught:
        parse(partition)
    assert repr(partition) in caught.value.message
    assert "dirichlet:ALPHA" in caught.value.remedy


def test_a_partition_is_read_as_it_is_written():
    """Kind and alpha come out as they were put in."""
    assert parse("iid") == ("iid", 0.0)
    assert parse("dirichlet:0.3") == ("dirichlet", 0.3)


def test_too_many_clients_for_the_data_are_refused_with_the_most_that_fit():
    """The remedy's number of clients works, one more doesn't."""
    with pytest.raises(CastError, match="99 training examples don't give 10 clients") as caught:
        split(labelled(99), 10, partition="iid", seed=0)
    assert "at most 9 clients" in caught.value.remedy
    assert min(len(shard) for shard in split(labelled(99), 9, partition="iid", seed=0)) >= MIN_EXAMPLES


@pytest.mark.parametrize("targets", [torch.rand(200), torch.zeros(200, 2, dtype=torch.int64)])
def test_dirichlet_needs_one_integer_label_an_example(targets):
    """Regression targets and several labels an example can't be divided by; iid still can."""
    examples = Examples(inputs=torch.zeros(200, 1), targets=targets)
    with pytest.raises(CastError, match="integer label"):
        split(examples, 2, partition="dirichlet:1", seed=0)
    assert len(split(examples, 2, partition="iid", seed=0)) == 2


def test_a_draw_that_never_fits_is_given_up():
    """An alpha so small that some client is always left with too little is an error, not an endless loop."""
    with pytest.raises(CastError, match=r"no draw of dirichlet:0\.0001"):
        split(labelled(100), 10, partition="dirichlet:0.0001", seed=0)
