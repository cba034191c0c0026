"""Who takes part in a simulation, as it is written on the command line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.adversaries import SignFlip
from clients.behaviour import Behaviour
from clients.cast import KINDS, MAX_CLIENTS, Identity, behaviour, identities, kind, parse_cast
from clients.errors import CastError
from clients.free_riders import Copycat


@given(counts=st.dictionaries(st.sampled_from(sorted(KINDS)), st.integers(1, 5)), n_honest=st.integers(1, 5))
def test_a_cast_has_as_many_clients_of_each_kind_as_it_says(counts, n_honest):
    """Every kind appears as often as was asked, honest ones first."""
    counts = counts | {"honest": n_honest}
    roles = parse_cast(", ".join(f"{name}={count}" for name, count in counts.items()))
    assert {name: roles.count(name) for name in counts} == counts
    assert len(roles) == sum(counts.values())
    assert set(roles[:n_honest]) == {"honest"}


def test_other_than_honest_keep_their_order():
    """Cheats follow in the order in which they were written, so that partitions don't move."""
    assert parse_cast("zero=1,stale:2=2,honest=1,copycat=1") == ("honest", "zero", "stale:2", "stale:2", "copycat")


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_a_behaviour_of_that_name(name):
    """A kind's own name is the name it is listed under, and it can be made without a strength."""
    found = behaviour(name)
    assert isinstance(found, Behaviour)
    assert found.kind == name
    assert kind(name) == kind(f"{name}:2.5") == name


def test_a_strength_is_passed_on():
    """`kind:strength` makes that kind of that strength; a half-size cheat is another client than a full-size one."""
    assert behaviour("sign_flip:2.5") == SignFlip(2.5)
    assert behaviour("copycat:0.05") == Copycat(0.05)
    assert behaviour("sign_flip") == SignFlip(10.0)


@pytest.mark.parametrize(
    ("cast", "said"),
    [
        ("", "kind '' is unknown"),
        ("honest", "'' isn't a count"),
        ("honest=", "'' isn't a count"),
        ("honest=0", "'0' isn't a count"),
        ("honest=-1", "'-1' isn't a count"),
        ("honest=1.5", "'1.5' isn't a count"),
        ("honest=x", "'x' isn't a count"),
        ("honest=1=2", "'1=2' isn't a count"),
        ("honest=1,,stale=1", "kind '' is unknown"),
        ("honest=1,thief=1", "kind 'thief' is unknown"),
        ("stale=3", "no honest client"),
        ("honest:2=1", "'honest' takes no strength"),
        ("honest=1,nan:2=1", "'nan' takes no strength"),
        ("honest=1,sign_flip:=1", "strength '' of sign_flip isn't a number"),
        ("honest=1,sign_flip:big=1", "strength 'big' of sign_flip isn't a number"),
        (f"honest={MAX_CLIENTS + 1}", "more than 10,000"),
        (f"honest={MAX_CLIENTS},stale=1", "more than 10,000"),
        ("honest=999999999", "more than 10,000"),
    ],
)
def test_a_cast_that_cant_be_played_is_refused_in_words(cast, said):
    """The error names the offending part and offers what would be right."""
    with pytest.raises(CastError, match=said) as caught:
        parse_cast(cast)
    assert caught.value.remedy


def test_the_largest_cast_is_allowed():
    """The limit itself passes."""
    assert len(parse_cast(f"honest={MAX_CLIENTS}")) == MAX_CLIENTS


def test_an_unknown_kind_is_told_what_there_is():
    """The remedy lists every kind."""
    with pytest.raises(CastError) as caught:
        behaviour("thief")
    assert all(name in caught.value.remedy for name in KINDS)


@pytest.mark.parametrize("count", ["²", "٣", "1" * 5000])
def test_a_count_in_other_digits_or_of_thousands_of_them_is_refused_in_words(count):
    """Superscripts, other scripts' digits and numbers too long for Python are CastErrors, not ValueErrors."""
    with pytest.raises(CastError):
        parse_cast(f"honest=1,stale={count}")


@pytest.mark.parametrize("strength", ["nan", "inf", "-inf", "-1"])
def test_a_strength_is_a_finite_number_from_0(strength):
    """A strength that no cheat's docstring allows is refused when the cast is read, not in mid-round."""
    with pytest.raises(CastError):
        behaviour(f"sign_flip:{strength}")


def owned(owner, place=0, size=1):
    return Identity(owner=owner, place=place, size=size)


def test_a_client_is_its_owners_only_one():
    """But for roles that are one owner's identities, each client has data of its own, in the order of the cast."""
    roles = parse_cast("honest=2,sybil_split=3,stale=2,sybil_split=1,sybil_clone=1")
    assert identities(roles) == (
        owned(0),
        owned(1),
        owned(2, 0, 4),
        owned(2, 1, 4),
        owned(2, 2, 4),
        owned(3),
        owned(4),
        owned(2, 3, 4),
        owned(5),
    )


def test_honest_clients_are_the_first_owners():
    """So the first parts of the data are theirs, whoever else takes part."""
    roles = parse_cast("same_data=3,honest=4,sybil_clone=2")
    assert [one.owner for one in identities(roles)] == [0, 1, 2, 3, 4, 4, 4, 5, 5]


def test_every_kind_is_documented():
    """docs/cheats.md has a line for each kind, and for no other."""
    lines = (Path(__file__).parents[2] / "docs" / "cheats.md").read_text().splitlines()
    assert {line.split("`")[1] for line in lines if line.startswith("| `")} == set(KINDS) - {"honest"}
