"""The rules that take part: the registered ones, mixers composed with one, and any other by its import path."""

import inspect
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import strategies
from clients.task import Task, import_from
from strategies import Aggregator
from strategies.base import Mixer
from strategies.composition import Composition
from strategies.errors import SettingsError
from subnet.arena.cell import Stated
from subnet.strategy import create_strategy
from tokenomics.canonical import content_hash, sha256_hex

AFTER_MIXER = "trimmed_mean"
"""The rule that mixers are composed with by default: it withstands what their papers assume of the rule after them."""

AFTER = {"static_clipping": "mean"}
"""Mixers whose papers have another one: norm thresholding is clipping and then the mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A rule that takes part.

    Attributes:
        name: as `strategies.create` takes it.
        takes_number: whether it can be told how many clients attack.
        code: content hash of the source files of its parts that don't ship with this package; "" if all do.
    """

    name: str
    takes_number: bool
    code: str


def default_names() -> list[str]:
    """Return all registered rules, and every mixer composed with one."""
    mixed = [f"{mixer}+{AFTER.get(mixer, AFTER_MIXER)}" for mixer in strategies.names("mixer")]
    return [*strategies.names(), *mixed]


def entrant(app_dir: Path, name: str) -> Entrant:
    """Look up a rule that is to take part.

    Raises:
        StrategyError: there is no such rule.
    """
    rule = create_rule(app_dir, name, None)
    try:
        create_rule(app_dir, name, "auto")
    except SettingsError:
        takes_number = False
    else:
        takes_number = True
    return Entrant(name=name, takes_number=takes_number, code=_code(rule))


def create_rule(app_dir: Path, name: str, stated: Stated | None) -> Aggregator:
    """Return a rule; import paths are searched in the subnet's folder first, then in the current one.

    Args:
        app_dir: the subnet's folder.
        name: as `strategies.create` takes it.
        stated: how many attackers the rule is told of; None to leave that out.

    Raises:
        StrategyError: no such rule, or it can't be told.
    """
    with import_from(Path.cwd()):
        return create_strategy(app_dir, name, {} if stated is None else {"n_byzantine": stated})


def task_code(task: Task) -> str:
    """Return the content hash of a task's source file."""
    return _hash([type(task)])


def _code(rule: Aggregator) -> str:
    parts: list[Aggregator | Mixer] = [*rule.mixers, rule.rule] if isinstance(rule, Composition) else [rule]
    foreign = [type(part) for part in parts if type(part).__module__.partition(".")[0] != strategies.__name__]
    return _hash(foreign) if foreign else ""


def _hash(classes: Iterable[type]) -> str:
    """Return the content hash of the files that classes are written in; what these import isn't looked at."""
    files = {f"{cls.__module__}:{cls.__qualname__}": inspect.getsourcefile(cls) for cls in classes}
    return content_hash({name: sha256_hex(Path(file).read_bytes()) if file else "" for name, file in files.items()})
