"""What every aggregation rule has to hold, as one line of a test of yours.

```python
from strategies.testing import check_aggregator

def test_my_rule():
    check_aggregator(MyRule)
```
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from strategies.aggregation import Aggregation, Evidence
from strategies.base import Aggregator
from strategies.errors import TooFewClientsError
from strategies.registry import create
from strategies.settings import RuleSettings, make
from strategies.updates import Updates, UpdatesLike

__all__ = ["check_aggregator"]

_LARGEST = torch.finfo(torch.float32).max


def check_aggregator(
    rule: type[Aggregator] | Callable[..., Aggregator] | str,
    *,
    settings: Mapping[str, object] | RuleSettings | None = None,
    needs_evidence: bool = False,
    n_clients: int = 12,
    n_params: int = 50_003,
) -> None:
    """Check a rule against everything that its users rely on, whatever it computes.

    Updates that aren't finite and gated ones are set aside; the aggregate is finite, of the right shape and type;
    updates and evidence stay as they were; the result is the same to the bit on every call, on any number of threads,
    in any form of the updates and in any order of the clients (by hotkey); influence is one finite number a client, 0
    for the rejected; one client, clients that all say the same, and values of 1e30 work.

    Args:
        rule: The rule's class; a function that makes one; or a name for `strategies.create`.
        settings: The rule's settings by name, or an instance of its `Settings`; None: the defaults.
        needs_evidence: Whether the rule asks for evidence: credit, z, numbers of examples, a root update and the last
            aggregate are given then; hotkeys are in any case.
        n_clients: How many clients most checks have, 6 or more: what your rule needs with these settings.
        n_params: How many parameters, 8 or more; by default more than one block holds.

    Raises:
        AssertionError: The first property that doesn't hold, in a sentence with the numbers.

    >>> check_aggregator("median")
    """
    if n_clients < 6 or n_params < 8:
        raise ValueError(f"n_clients={n_clients}, n_params={n_params}; the checks need 6 clients and 8 parameters")
    subject = _Subject(make=_maker(rule, settings), knows=needs_evidence)
    with _threads(1):  # threads that wait for a busy machine's cores cost a hundred times what the checks do
        updates = _drawn(n_clients, n_params)
        for check in (
            _check_ordinary,
            _check_repeats,
            _check_threads,
            _check_forms,
            _check_order,
            _check_non_finite,
            _check_gated,
            _check_one_client,
            _check_identical,
            _check_huge,
        ):
            check(subject, updates.clone())


def _maker(
    rule: type[Aggregator] | Callable[..., Aggregator] | str, settings: Mapping[str, object] | RuleSettings | None
) -> Callable[[], Aggregator]:
    """What makes a new rule with those settings."""
    by_name = {} if settings is None or isinstance(settings, RuleSettings) else dict(settings)
    if isinstance(rule, type) and issubclass(rule, Aggregator):
        return partial(rule, settings if isinstance(settings, RuleSettings) else make(rule.Settings, by_name))
    if isinstance(settings, RuleSettings):
        raise TypeError("settings of a function or a name are given by name, as a dict")
    function: Callable[..., Any] = partial(create, rule) if isinstance(rule, str) else rule
    return partial(function, **by_name)


def _drawn(n: int, d: int) -> Tensor:
    """(n, d) float32 updates of different sizes about a common direction."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.linspace(0.5, 2, n)[:, None]
    return torch.randn(d, generator=generator) + torch.randn(n, d, generator=generator) * sizes


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Subject:
    """The rule under test."""

    make: Callable[[], Aggregator]
    knows: bool
    """Whether evidence of every kind is given."""

    def evidence(self, updates: Tensor) -> Evidence:
        """Evidence on all rows; hotkeys are in the rows' order, so that a rule may get views of the caller's memory."""
        n = len(updates)
        hotkeys = tuple(f"hotkey-{row:04d}" for row in range(n))
        if not self.knows:
            return Evidence(hotkeys=hotkeys)
        credit = torch.linspace(1, 2, n, dtype=torch.float64).roll(n // 2)
        middle = updates[n // 2].clone()
        return Evidence(
            credit=credit,
            z=2 * credit,
            hotkeys=hotkeys,
            n_examples=torch.arange(1, n + 1),
            root=middle,
            previous=middle / 2,
        )

    def run(
        self, rule: Aggregator, updates: UpdatesLike, evidence: Evidence | None, *, case: str, like: Tensor
    ) -> Aggregation:
        """Aggregate, and check what holds for any result."""
        try:
            result = rule.aggregate(updates, evidence=evidence)
        except TooFewClientsError:
            raise
        except Exception as error:
            raise AssertionError(f"{_name(rule)}: {case}: raised {type(error).__name__}: {error}") from error
        _check_result(result, case=f"{_name(rule)}: {case}", like=like)
        return result


def _name(rule: Aggregator) -> str:
    return str(getattr(rule, "name", type(rule).__name__))


def _say(*, holds: bool, text: str) -> None:
    if not holds:
        raise AssertionError(text)


def _check_result(result: Aggregation, *, case: str, like: Tensor) -> None:
    """Shapes, types and finiteness of any result on updates `like` these."""
    n, d = like.shape
    shape = tuple(result.update.shape)
    _say(holds=shape == (d,), text=f"{case}: the aggregate has the shape {shape}, not ({d},)")
    wanted = torch.float64 if like.dtype == torch.float64 else torch.float32
    _say(
        holds=result.update.dtype == wanted,
        text=f"{case}: the aggregate is {result.update.dtype}, not {wanted}, for updates of {like.dtype}",
    )
    bad = int((~result.update.isfinite()).sum())
    _say(holds=bad == 0, text=f"{case}: {bad} of {d} values of the aggregate aren't finite")
    numbers: dict[str, Tensor] = {"influence": result.influence, **result.diagnostics}
    for name, values in numbers.items():
        shape = tuple(values.shape)
        _say(holds=shape == (n,), text=f"{case}: {name} has the shape {shape}, not ({n},), for {n} clients")
    influence = result.influence.tolist()
    for row, value in enumerate(influence):
        _say(holds=bool(torch.tensor(value).isfinite()), text=f"{case}: the influence of client {row} is {value}")
    for row, reason in result.rejected.items():
        _say(holds=row in range(n), text=f"{case}: client {row} is rejected, and there are {n}")
        _say(holds=bool(reason), text=f"{case}: client {row} is rejected without a reason")
        _say(
            holds=influence[row] == 0,
            text=f"{case}: client {row} is rejected ({reason}) and has an influence of {influence[row]:.6g}, not 0",
        )


def _same(one: Aggregation, other: Aggregation, *, case: str) -> None:
    """The same bits."""
    apart = int((one.update != other.update).sum())
    most = float((one.update.double() - other.update.double()).abs().max())
    _say(holds=apart == 0, text=f"{case}: {apart} of {len(one.update)} values differ, by up to {most:.3g}")
    moved = (one.influence != other.influence).nonzero().flatten().tolist()
    _say(holds=not moved, text=f"{case}: the influence of clients {moved} differs")
    _say(
        holds=dict(one.rejected) == dict(other.rejected),
        text=f"{case}: first {dict(one.rejected)} are rejected, then {dict(other.rejected)}",
    )


def _tensors(evidence: Evidence) -> dict[str, Tensor]:
    named: dict[str, Any] = {field.name: getattr(evidence, field.name) for field in dataclasses.fields(evidence)}
    return {name: value for name, value in named.items() if isinstance(value, Tensor)}


def _check_ordinary(subject: _Subject, updates: Tensor) -> None:
    """Any result at all, in float32 and float64, with nothing changed."""
    for values in (updates, updates.double()):
        evidence, rule = subject.evidence(values), subject.make()
        before, known = values.clone(), {name: value.clone() for name, value in _tensors(evidence).items()}
        subject.run(rule, values, evidence, case="ordinary updates", like=values)
        changed = int((values != before).sum())
        _say(
            holds=changed == 0,
            text=f"{_name(rule)}: {changed} values of the updates were changed; blocks are read, never written to",
        )
        for name, value in _tensors(evidence).items():
            _say(holds=torch.equal(value, known[name]), text=f"{_name(rule)}: the evidence's {name} was changed")


def _check_repeats(subject: _Subject, updates: Tensor) -> None:
    """One rule used for two rounds, and another made anew."""
    evidence, rule = subject.evidence(updates), subject.make()
    first = subject.run(rule, updates, evidence, case="first call", like=updates)
    again = subject.run(rule, updates, evidence, case="second call", like=updates)
    _same(first, again, case=f"{_name(rule)}: a second call with the same updates")
    subject.run(rule, updates.flip(1) * 3, evidence, case="other updates", like=updates)
    later = subject.run(rule, updates, evidence, case="third call", like=updates)
    _same(first, later, case=f"{_name(rule)}: a call after one with other updates (a rule keeps no state)")
    new = subject.run(subject.make(), updates, evidence, case="a new rule", like=updates)
    _same(first, new, case=f"{_name(rule)}: a new rule with the same settings")


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _check_threads(subject: _Subject, updates: Tensor) -> None:
    """One thread and two."""
    evidence, rule, results = subject.evidence(updates), subject.make(), []
    for count in (1, 2):
        with _threads(count):
            results.append(subject.run(rule, updates, evidence, case=f"{count} threads", like=updates))
    _same(*results, case=f"{_name(rule)}: on two threads instead of one")


def _check_forms(subject: _Subject, updates: Tensor) -> None:
    """Dense, listed, in layers, strided, and an `Updates`."""
    evidence, rule = subject.evidence(updates), subject.make()
    expected = subject.run(rule, updates, evidence, case="a dense tensor", like=updates)
    forms: dict[str, UpdatesLike] = {
        "a list of tensors": list(updates.clone()),
        "state dicts": [{"w": row[:-3].clone(), "b": row[-3:].clone()} for row in updates],
        "a transposed tensor": updates.T.contiguous().T,
        "strategies.Updates": Updates(updates),
    }
    for form, values in forms.items():
        found = subject.run(rule, values, evidence, case=form, like=updates)
        _same(expected, found, case=f"{_name(rule)}: the updates as {form} instead of a dense tensor")


def _check_order(subject: _Subject, updates: Tensor) -> None:
    """The clients in other orders, with values rounded so that there are ties."""
    narrow = updates[:, :7].round()
    narrow[1] = narrow[4]
    for values in (updates, narrow):
        evidence, rule = subject.evidence(values), subject.make()
        straight = subject.run(rule, values, evidence, case="clients in order", like=values)
        n = len(values)
        shuffled = torch.randperm(n, generator=torch.Generator().manual_seed(1)).tolist()
        for order in (list(reversed(range(n))), shuffled):
            case = f"clients in the order {order}"
            moved = subject.run(rule, values[order], evidence.rows(order), case=case, like=values)
            _same(_numbered(straight, order), moved, case=f"{_name(rule)}: the same clients in the order {order}")


def _numbered(result: Aggregation, order: Sequence[int]) -> Aggregation:
    """A result on clients in another order."""
    return dataclasses.replace(
        result,
        influence=result.influence[list(order)],
        rejected={place: result.rejected[row] for place, row in enumerate(order) if row in result.rejected},
    )


def _out(
    subject: _Subject, rows: Sequence[int], *, first: Tensor, other: Tensor, why: str, gated: Tensor | None = None
) -> None:
    """Rows that are set aside have no say, whatever they hold."""
    results = []
    for updates in (first, other):
        evidence = dataclasses.replace(subject.evidence(first.nan_to_num(0, 0, 0)), gated=gated)
        rule = subject.make()
        result = subject.run(rule, updates, evidence, case=f"clients {list(rows)} {why}", like=updates)
        for row in rows:
            value = float(result.influence[row])
            _say(holds=row in result.rejected, text=f"{_name(rule)}: client {row} {why} and isn't rejected")
            _say(holds=value == 0, text=f"{_name(rule)}: client {row} {why} and has an influence of {value:.6g}")
        results.append(result)
    _same(*results, case=f"{_name(subject.make())}: clients {list(rows)} {why}, and now hold other values")


def _check_non_finite(subject: _Subject, updates: Tensor) -> None:
    """One NaN, and a row of infinities."""
    first, other = updates.clone(), updates.clone()
    first[1, 3], first[4] = torch.nan, torch.inf
    other[1], other[4, 0] = torch.nan, -torch.inf
    _out(subject, [1, 4], first=first, other=other, why="sent values that aren't finite")


def _check_gated(subject: _Subject, updates: Tensor) -> None:
    """Two rows that an earlier gate stopped."""
    gated = torch.zeros(len(updates), dtype=torch.bool)
    gated[[0, 3]] = True
    other = updates.clone()
    other[gated] = 1e6
    _out(subject, [0, 3], first=updates, other=other, why="was gated", gated=gated)


def _check_one_client(subject: _Subject, updates: Tensor) -> None:
    """A round in which one client answered; a rule may say that it needs more."""
    one = updates[:1]
    rule = subject.make()
    try:
        subject.run(rule, one, subject.evidence(one), case="one client", like=one)
    except TooFewClientsError:
        return


def _check_identical(subject: _Subject, updates: Tensor) -> None:
    """Clients that agree: nothing comes out of nothing, and no value against all of them."""
    row = updates[0]
    for name, values in (("the same update from all", row.expand_as(updates)), ("zeros", torch.zeros_like(updates))):
        evidence, rule = subject.evidence(values), subject.make()
        if subject.knows:
            evidence = dataclasses.replace(evidence, previous=values[0])
        update = subject.run(rule, values, evidence, case=name, like=values).update
        against = int((update * values[0] < 0).sum())
        _say(
            holds=against == 0,
            text=f"{_name(rule)}: all clients send the same, and {against} values of the aggregate have the other sign",
        )
        nothing = int((update[values[0] == 0] != 0).sum())
        _say(
            holds=nothing == 0,
            text=f"{_name(rule)}: all clients send 0, and {nothing} values of the aggregate aren't 0",
        )


def _check_huge(subject: _Subject, updates: Tensor) -> None:
    """Numbers whose squares don't fit float32."""
    for huge in (1e30, _LARGEST):
        values = updates.clone()
        values[0], values[1], values[2, 3] = huge, -huge, huge
        evidence, rule = subject.evidence(updates), subject.make()
        subject.run(rule, values, evidence, case=f"values of {huge:.3g}", like=values)
