"""The compiled loops against numpy in float64, torch's operations for a GPU against both, and threads."""

import threading

import numpy as np
import pytest
import torch

from strategies import kernels
from strategies.threads import in_order, one_thread, scratch
from strategies.updates import Updates


@pytest.fixture(params=["compiled", "torch"])
def path(request, monkeypatch):
    """Both ways of working on a block; a GPU's is run on the CPU."""
    if request.param == "torch":
        monkeypatch.setattr(kernels, "_on_cpu", lambda _: False)
    return request.param


def block(n, columns, *, dtype=torch.float32, ties=False, seed=0):
    values = torch.randn(n, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values.mul(2).round() if ties else values).to(dtype)


def trimmed(values, low, high):
    return np.sort(values.double().numpy(), axis=0)[low : len(values) - high].mean(axis=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("n", "low", "high"),
    [(1, 0, 0), (2, 0, 1), (3, 1, 1), (7, 0, 0), (20, 9, 9), (20, 4, 4), (45, 9, 2), (100, 49, 49)],
)
def test_middle_means_are_numpys(path, n, low, high, dtype):
    """Also over widths that are no multiple of a tile, ties or not, and shares add up."""
    for columns, ties in ((1, False), (127, True), (1_030, False)):
        values = block(n, columns, dtype=dtype, ties=ties)
        before = values.clone()
        means, shares = kernels.middle_mean(values, low=low, high=high)
        np.testing.assert_allclose(means.numpy(), trimmed(values, low, high), rtol=2e-6, atol=2e-7)
        assert float(shares.sum()) == pytest.approx(columns)
        assert torch.equal(values, before)


def test_shares_are_of_those_within_the_kept_range(path):
    values = torch.tensor([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0], [1e30, 5.0]])
    _, shares = kernels.middle_mean(values, low=1, high=1)
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.75, 0.75, 0.25], dtype=torch.float64))


@pytest.mark.parametrize(("n", "keep"), [(1, 1), (2, 1), (5, 5), (7, 3), (20, 16), (45, 30)])
@pytest.mark.parametrize("ties", [False, True])
def test_means_around_the_median_are_numpys(path, n, keep, ties):
    values = block(n, 391, ties=ties)
    means, shares = kernels.mean_around_median(values, keep=keep)
    wide = values.double().numpy()
    nearest = np.argsort(np.abs(wide - np.median(wide, axis=0)), axis=0, kind="stable")[:keep]
    np.testing.assert_allclose(means.numpy(), np.take_along_axis(wide, nearest, axis=0).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(shares.numpy(), np.bincount(nearest.ravel(), minlength=n) / keep, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_squares_and_sums_are_float64s(path, scale):
    """Whatever the size of float32 values, and with rows that aren't next to each other."""
    values = (block(11, 2_100) * scale)[::2, 40:2_011]
    wide = values.double()
    torch.testing.assert_close(kernels.row_squares(values), wide.square().sum(dim=1), rtol=1e-12, atol=0)
    weights = torch.linspace(-1, 1, 6, dtype=torch.float64)
    sums = torch.empty(len(wide[0]))
    for parts in ([values], [values[:4], values[4:]]):
        kernels.weighted_sum(parts, weights, sums.fill_(torch.nan))
        torch.testing.assert_close(sums.double(), weights @ wide, rtol=1e-7, atol=1e-7 * scale)


@pytest.mark.parametrize("n", [1, 7, 8, 9, 20])
def test_a_sum_is_that_of_its_rows_in_order(n):
    """To the bit, however many rows are read at once."""
    values, weights = block(n, 5_000), torch.linspace(-1, 1, n, dtype=torch.float64)
    kernels.weighted_sum([values], weights, sums := torch.empty(5_000))
    total = torch.zeros(5_000, dtype=torch.float64)
    for row, weight in zip(values, weights, strict=True):
        total += weight * row.double()
    assert torch.equal(sums, total.float())


@pytest.mark.parametrize(("n", "columns"), [(1, 5), (2, 1), (4, 1_024), (5, 1_030), (20, 3_001), (23, 2_047)])
@pytest.mark.parametrize("with_centre", [False, True])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 2e-6), (torch.float64, 1e-13)])
def test_products_are_of_differences_from_the_centre(path, n, columns, with_centre, dtype, error):
    """Wherever the centre is, in one block or two, with rows that aren't next to each other."""
    values = block(2 * n, columns + 9)[::2, 4:-5] + 3.0
    for centre in {0, n // 2, n - 1}:
        wide = values.double() - values[centre].double()
        wide = torch.cat([wide[:centre], wide[centre + 1 :], *([values[centre : centre + 1].double()] * with_centre)])
        expected = (wide @ wide.T).triu()
        for cut in {n, max(1, n - 1), max(1, n // 3)}:
            parts = [values[:cut], values[cut:]] if cut < n else [values]
            found = kernels.products(parts, centre=centre, dtype=dtype, with_centre=with_centre).triu()
            scale = float(expected.abs().max()) if len(expected) else 1.0
            torch.testing.assert_close(found, expected, rtol=0, atol=error * scale)


def test_columns_dont_know_their_neighbours():
    """A column's bits are the same wherever a block begins and ends, and however the values lie in memory."""
    values = block(20, 3_000)
    whole = kernels.middle_mean(values, low=4, high=4)[0], kernels.mean_around_median(values, keep=7)[0]
    for start, stop in ((0, 3_000), (1, 2), (129, 300), (777, 2_999)):
        for part in (values[:, start:stop], values[:, start:stop].clone(), values.T.contiguous().T[:, start:stop]):
            assert torch.equal(kernels.middle_mean(part, low=4, high=4)[0], whole[0][start:stop])
            assert torch.equal(kernels.mean_around_median(part, keep=7)[0], whole[1][start:stop])


def test_results_are_taken_in_order():
    """Though the first item is done last; and at no time more wait than twice the threads and one."""
    others, taken = threading.Event(), []

    def work(item):
        if item == 0:
            assert others.wait(timeout=60)
        if item == 3:
            others.set()
        return item

    in_order(work, range(50), taken.append, n_threads=2)
    assert taken == list(range(50))


def test_the_first_error_is_raised_and_no_thread_is_left():
    def work(item):
        if item % 7 == 6:
            raise ValueError(item)
        return item

    taken = []
    with pytest.raises(ValueError, match="6"):
        in_order(work, range(1_000), taken.append, n_threads=3)
    assert taken == list(range(6))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("strategies")]


def test_sections_give_the_threads_back():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with one_thread() as found, one_thread() as inner:
            assert (found, inner, torch.get_num_threads()) == (2, 2, 1)
        assert torch.get_num_threads() == 2
        with pytest.raises(KeyError), one_thread():
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_blocks_are_worked_on_by_several_threads():
    """As many as torch has, each block by one."""
    before, seen = torch.get_num_threads(), set()
    barrier = threading.Barrier(2, timeout=60)
    updates = Updates(torch.zeros(2, 2 * (2**21 // 8)))  # two blocks
    try:
        torch.set_num_threads(2)
        updates.each_block(lambda start, _: (barrier.wait(), seen.add(threading.get_ident()), start))
    finally:
        torch.set_num_threads(before)
    assert len(seen) == 2


def test_scratch_is_the_same_memory_again():
    first = scratch("a test", (3, 5), torch.float32, torch.device("cpu"))
    again = scratch("a test", (4,), torch.float64, torch.device("cpu"))
    assert first.data_ptr() == again.data_ptr()
    assert again.is_contiguous()
