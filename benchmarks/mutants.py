"""Mutation testing of the money: is there a test that fails for every small change of the code?

`python -m benchmarks.mutants [MODULE ...] [--children 1] [--show] [--json]`, or `make mutants`, which also installs
mutmut. Each module is changed in one place at a time, and the tests of `tokenomics` that run the changed function are
run against it. At least 95 % of the changes of each module have to be noticed, or the exit status is 1.

The tree is copied to a temporary folder first. mutmut leaves every function with a decorator as it is, properties too,
so in the copy `@property` over a function becomes an assignment below it, which means the same. Hypothesis doesn't
shrink there, and has one seed. What survives is judged in docs/mutation.md.

Source: DeMillo, Lipton and Sayward, Hints on Test Data Selection (1978); mutmut 3 makes the changes.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
WANTED: Final = 0.95
NOTICED: Final = frozenset({"killed", "timeout", "segfault", "suspicious", "caught by type check"})
"""What mutmut says of a change that did not pass for the original."""


def _named(file: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{file}::test_{name}" for name in names)


_REFUSALS: Final = "test_refusals.py"
_PLANNING: Final = "ledger/test_planning.py"
_ORDERS: Final = ("ledger/test_order.py", "ledger/test_order_refusals.py", "ledger/test_spending.py")
_STORED: Final = tuple(f"ledger/test_{name}.py" for name in ("store", "opening", "guards", "store_refusals"))
_SETTLED: Final = (
    *_STORED,
    *_named(
        "ledger/test_orders.py",
        "orders_move_money_and_the_ledger_verifies",
        "the_dump_tells_the_orders_and_a_replay_gives_the_same_bytes",
        "what_doesnt_apply_is_left_out_and_told_and_the_rest_is_settled",
        "two_handles_on_one_ledger_judge_by_the_same_book",
        "what_one_handle_has_settled_it_counts_once",
        "an_open_ledger_that_is_put_back_to_an_earlier_state_forgets_what_came_after",
        "a_copy_of_a_ledger_has_its_orders",
        "a_settlement_that_fails_moves_nothing_and_may_be_tried_again",
    ),
    *_named(
        "ledger/test_vesting.py",
        "a_strike_voids_exactly_the_last_rounds_pay_with_what_was_due",
        "what_settling_reads_back_is_what_a_fold_over_all_rounds_gives",
        "settling_reads_no_more_than_it_needs",
    ),
)
_READ: Final = (
    "ledger/test_reader.py",
    "ledger/test_proofs.py",
    *_named("ledger/test_orders.py", "a_ledger_without_orders_has_the_bytes_that_it_always_had"),
)
_VERIFIED: Final = (
    "ledger/test_verify.py",
    "ledger/test_findings.py",
    *_named(
        "ledger/test_orders.py",
        "a_forged_order_is_named",
        "the_first_order_of_all_may_spend_what_several_rounds_before_it_paid",
        "of_an_accounts_transfers_in_one_round_the_wrong_one_is_named",
        "text_for_an_amount_beside_orders_is_named_and_does_no_harm",
        "a_validator_that_settles_a_forged_order_and_signs_it_is_found",
        "a_validator_that_overdraws_and_signs_it_is_found",
    ),
    *_named(
        "ledger/test_vesting.py",
        "a_forgery_is_named_first_by_its_round_and_posting",
        "one_wrong_posting_is_named_in_its_own_round_alone",
        "a_validator_who_leaves_postings_out_and_signs_it_is_found",
    ),
    *_named("ledger/test_opening.py", "whoever_only_reads_changes_no_byte_of_the_file"),
)
_TOLD: Final = _named("ledger/test_findings.py", "a_forgery_is_told_line_by_line_and_which_lines_concern_the_log")
TESTS: Final[dict[str, tuple[str, ...]]] = {
    "split": ("test_split.py", _REFUSALS),
    "emission": ("test_emission.py", _REFUSALS),
    "merkle": ("test_merkle.py", _REFUSALS),
    "ledger/vesting": (
        _PLANNING,
        *_named(
            "ledger/test_vesting.py",
            "what_is_moved_on_comes_in_pairs_by_hotkey",
            "pay_is_released_from_the_very_round_on_that_releases_it",
            "a_payout_is_told_by_what_came_first",
        ),
    ),
    "ledger/log": (_PLANNING,),
    "ledger/planning": (_PLANNING, _REFUSALS),
    "ledger/records": (_PLANNING, _REFUSALS, *_named("ledger/test_store.py", "leaves_are_the_canonical_bytes")),
    "ledger/accounts": _ORDERS,
    "ledger/order": _ORDERS,
    "ledger/title": _ORDERS,
    "ledger/spending": _ORDERS,
    "ledger/store": _SETTLED,
    "ledger/rows": (*_SETTLED, *_READ, *_TOLD),
    "ledger/writing": (*_SETTLED, *_TOLD),
    "ledger/verify": _VERIFIED,
    "ledger/order_rows": (*_SETTLED, *_READ, *_named("ledger/test_orders.py", "a_forged_order_is_named")),
    "ledger/checkpoint": (*_STORED, *_READ),
    "ledger/reader": (*_STORED, *_READ),
    "ledger/sums": (*_READ, *_named("ledger/test_orders.py", "money_sent_round_in_circles_overflows_no_sum")),
}
"""By module, the tests that are to notice: for most without a database, since a thousand runs of these take minutes."""

_SLOW: Final = (
    *_named("ledger/test_verify.py", "any_byte_of_the_files_records_that_is_changed_is_found_or_means_nothing"),
    *_named("ledger/test_proofs.py", "what_isnt_a_proof_is_told_so", "no_altered_proof_holds"),
)
"""Tests that are left out of these files: they take a second or more, and a mutant should."""

_ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {"ledger/writing": ("_insert_columns",)}
"""By module, the functions that are left as they are: nothing but a PostgreSQL server runs them."""

_CONFIGURATION: Final = """\
[tool.pytest.ini_options]
addopts = ["--import-mode=importlib", "-p", "no:cacheprovider"]
filterwarnings = ["error"]
markers = ["only(*databases): as in the project's own configuration"]

[tool.mutmut]
source_paths = ["tokenomics"]
only_mutate = ["tokenomics/{module}.py"]
pytest_add_cli_args = {options}
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 1.0
timeout_multiplier = 10.0
use_git_change_detection = false
do_not_mutate_patterns = ["creation.make_schema", " _insert_columns.connection"]
"""
_HYPOTHESIS: Final = """
from hypothesis import Phase

settings.register_profile(
    "mutants", parent=settings.get_profile("tokenomics"), database=None, phases=[Phase.explicit, Phase.generate]
)
settings.load_profile("mutants")
"""
_ON_FILES: Final = """
DATABASES = ("sqlite",)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came of one module."""

    module: str
    mutants: int
    noticed: int
    timed_out: int
    """Those of the noticed that took ten times as long as the tests should: loops without an end, mostly."""
    survived: tuple[str, ...]
    """mutmut's names."""
    seconds: float

    @property
    def share(self) -> float:
        """Noticed of all, 0 to 1."""
        return self.noticed / self.mutants if self.mutants else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and return the exit status."""
    wanted = _parser().parse_args(arguments)
    rows = []
    for module in wanted.modules or TESTS:
        with tempfile.TemporaryDirectory(prefix="mutants-", dir=_memory()) as folder:
            rows.append(measure(module, Path(folder), children=wanted.children, show=wanted.show))
        if not wanted.json:
            row = rows[-1]
            noticed = f"{row.noticed:4} of {row.mutants:4} noticed, {row.share:.1%}"
            print(f"{module:16} {noticed} ({row.timed_out} by timeout), {row.seconds:.0f} s")
            for name in row.survived:
                print(f"    survived: {name}")
    if wanted.json:
        print(json.dumps({"rows": [asdict(row) | {"noticed_share": row.share} for row in rows]}, indent=2))
    return 0 if all(row.share >= WANTED for row in rows) else 1


def measure(module: str, folder: Path, *, children: int, show: bool = False) -> Row:
    """Change a module in every way that mutmut knows, and count what the tests notice.

    Args:
        module: such as "split" or "ledger/log", below `tokenomics`.
        folder: an empty one, for the copy.
        children: mutants that are tried at once.
        show: print the changes that survived, as diffs.

    Raises:
        SystemExit: mutmut is missing, or the tests fail without any change.
    """
    began = time.perf_counter()
    prepare(module, folder)
    done = _mutmut(folder, "run", "--max-children", str(children))
    verdicts = dict(re.findall(r"^ +(\S+): (.+)$", _mutmut(folder, "results", "--all", "true"), re.MULTILINE))
    counts = Counter(verdicts.values())
    if not verdicts or counts["not checked"]:
        raise SystemExit(f"{module}: mutmut came to no result:\n{done[-3000:]}")
    survived = tuple(sorted(name for name, verdict in verdicts.items() if verdict not in NOTICED))
    if show:
        for name in survived:
            print(_mutmut(folder, "show", name), file=sys.stderr)
    return Row(
        module=module,
        mutants=len(verdicts),
        noticed=len(verdicts) - len(survived),
        timed_out=counts["timeout"],
        survived=survived,
        seconds=time.perf_counter() - began,
    )


def prepare(module: str, folder: Path) -> None:
    """Copy what the tests need, and write mutmut's configuration."""
    ignored = shutil.ignore_patterns("__pycache__", ".hypothesis")
    for name in ("tokenomics", "tests/tokenomics", "tests/vectors"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    (folder / "temporary").mkdir()
    source = folder / "tokenomics" / f"{module}.py"
    source.write_text(spared(undecorated(source.read_text()), _ELSEWHERE.get(module, ())))
    for name, more in (("conftest.py", _HYPOTHESIS), ("ledger/conftest.py", _ON_FILES)):
        with (folder / "tests" / "tokenomics" / name).open("a") as conftest:
            conftest.write(more)
    tests = [f"tests/tokenomics/{name}" for name in TESTS[module]]
    options = ["--hypothesis-seed=0", *(f"--deselect=tests/tokenomics/{name}" for name in _SLOW)]
    configuration = _CONFIGURATION.format(module=module, tests=json.dumps(tests), options=json.dumps(options))
    (folder / "pyproject.toml").write_text(configuration)


def undecorated(source: str) -> str:
    r"""Return a module in which a function's only decorator is applied by an assignment below the function.

    >>> print(undecorated("class A:\n    @property\n    def b(self):\n        return 1\n"))
    class A:
        def b(self):
            return 1
        b = property(b)
    <BLANKLINE>
    """
    lines = source.splitlines()
    functions = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(functions, key=lambda one: -one.lineno):
        names = [ast.unparse(decorator) for decorator in node.decorator_list]
        if len(names) == 1 and names[0] not in {"classmethod", "staticmethod"}:
            assert node.end_lineno is not None
            lines.insert(node.end_lineno, f"{' ' * node.col_offset}{node.name} = {names[0]}({node.name})")
            del lines[node.decorator_list[0].lineno - 1]
    return "\n".join(lines) + "\n"


def spared(source: str, names: Collection[str]) -> str:
    r"""Return a module with the functions of these names marked, so that mutmut leaves them alone.

    >>> spared("def a():\n    return 1\n", ["a"])
    'def a():  # pragma: no mutate block\n    return 1\n'
    """
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            lines[node.lineno - 1] += "  # pragma: no mutate block"
    return "\n".join(lines) + "\n"


def _memory() -> str | None:
    """Return a folder in memory where the system has one, so that ledgers cost no disk; else None."""
    folder = Path("/dev/shm")  # noqa: S108 - a folder with a name of its own is made in it
    return str(folder) if folder.is_dir() and os.access(folder, os.W_OK) else None


def _mutmut(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "mutmut", *arguments]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["TMPDIR"] = str(folder / "temporary")
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"mutmut {arguments[0]} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks.mutants", description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", choices=[*TESTS, []], help=f"of {', '.join(TESTS)}")
    parser.add_argument("--children", type=int, default=1, help="mutants tried at once")
    parser.add_argument("--show", action="store_true", help="print what survived, as diffs, to stderr")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
