"""The validation draw: fixed by everybody's commitments together, chosen by nobody."""

import doctest
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from subnet import draw

SEEDS = st.binary(min_size=32, max_size=32).map(bytes.hex)
CONTRIBUTIONS = {"alice": "1" * 64, "bob": "2" * 64}


def test_the_documented_values_hold():
    """The module's doctests run and pass, so another implementation can be checked against them."""
    result = doctest.testmod(draw)
    assert result.attempted >= 2
    assert result.failed == 0


def test_the_seed_changes_with_everything_that_was_committed():
    """Another round, nonce, contribution or sender, one more or one fewer, each gives another seed."""
    cases = [
        (1, "0" * 64, CONTRIBUTIONS),
        (2, "0" * 64, CONTRIBUTIONS),
        (1, "1" + "0" * 63, CONTRIBUTIONS),
        (1, "0" * 64, CONTRIBUTIONS | {"bob": "3" * 64}),
        (1, "0" * 64, CONTRIBUTIONS | {"carol": "3" * 64}),
        (1, "0" * 64, {"alice": "1" * 64}),
        (1, "0" * 64, {"alice": "2" * 64, "bob": "1" * 64}),
        (1, "0" * 64, {}),
    ]
    seeds = {
        draw.seed(round_number=number, nonce=nonce, contributions=contributions)
        for number, nonce, contributions in cases
    }
    assert len(seeds) == len(cases)


def test_the_seed_doesnt_depend_on_the_order_of_arrival():
    """The same contributions in another order give the same seed."""
    one, two = (
        draw.seed(round_number=1, nonce="0" * 64, contributions=found)
        for found in (CONTRIBUTIONS, dict(reversed(CONTRIBUTIONS.items())))
    )
    assert one == two


def test_a_commitment_binds_and_isnt_the_nonce():
    """Another nonce has another commitment: the tagged SHA-256 of the nonce's text."""
    nonce = "ab" * 32
    assert draw.commitment(nonce) == hashlib.sha256(b"flower-subnet/nonce/v1\x00" + nonce.encode()).hexdigest()
    assert draw.commitment(nonce) != draw.commitment("ac" + nonce[2:])


@given(seed=SEEDS, pool=st.integers(1, 200), data=st.data())
def test_a_sample_has_no_index_twice_and_none_outside(seed, pool, data):
    """The indices are different, in range, as many as asked for, and a shorter sample is the start of a longer one."""
    n_samples = data.draw(st.integers(0, pool))
    found = draw.sample(seed=seed, pool_size=pool, n_samples=n_samples)
    assert len(found) == len(set(found)) == n_samples
    assert set(found) <= set(range(pool))
    assert draw.sample(seed=seed, pool_size=pool, n_samples=pool)[:n_samples] == found


def test_every_index_is_drawn_about_as_often():
    """Over 2,000 seeds each of 20 indices is among the first 5 in a quarter of the draws, and first in a twentieth."""
    n_draws, among, first = 2000, [0] * 20, [0] * 20
    for number in range(n_draws):
        found = draw.sample(seed=hashlib.sha256(str(number).encode()).hexdigest(), pool_size=20, n_samples=5)
        first[found[0]] += 1
        for index in found:
            among[index] += 1
    # five standard deviations of a binomial count
    assert max(abs(count - n_draws / 4) for count in among) < 5 * (n_draws * 0.25 * 0.75) ** 0.5
    assert max(abs(count - n_draws / 20) for count in first) < 5 * (n_draws * 0.05 * 0.95) ** 0.5
