"""Open a run's folder again to look at it: with the task it trained, and without a word written to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from clients.task import Examples, load_task
from subnet.assign import divide
from subnet.errors import RunError, SpecError
from subnet.run import SystemEntropy, leaves
from subnet.run_files import find_ledger
from subnet.scoring import registry
from subnet.scoring.objective import Objective
from subnet.spec import FILE_NAME, Spec, load_spec
from subnet.state import Fixture
from subnet.store import Store
from subnet.strategy import create_strategy
from tokenomics.keys import Keypair
from tokenomics.ledger import Genesis, Ledger
from tokenomics.merkle import merkle_root


@contextmanager
def reopened(folder: Path, subnets: Sequence[Path]) -> Iterator[Fixture]:
    """Open all that a run's numbers were computed from, and close the ledger in the end.

    A run's folder holds its rules and everything that was sent, but not its task: that is code and data of the subnet's
    own folder.

    Args:
        folder: the run's folder.
        subnets: where the task may be; the first folder that is of the run's subnet is taken.

    Yields:
        A fixture whose ledger is read-only and whose keypair is nobody's.

    Raises:
        RunError: no run there, not one that its subnet.toml describes, or the task isn't there or is another one now.
    """
    path = find_ledger(folder)
    with Ledger.open(path, read_only=True) as ledger:
        spec = _rules(folder, ledger.genesis)
        app_dir = _subnet_folder(folder, spec, subnets)
        task = load_task(app_dir, spec.subnet.task)
        held_out = task.validation_data()
        _check_pool(app_dir, ledger.genesis, held_out)
        parts = divide(held_out, root=ledger.genesis.validation_root, rules=spec.scoring)
        yield Fixture(
            spec=spec,
            objective=Objective(task),
            validation=parts.validation,
            probes=parts.probes,
            strategy=create_strategy(app_dir, spec.strategy.name, spec.strategy.settings),
            scorer=registry.create(spec.scoring),
            store=Store(folder),
            ledger=ledger,
            keypair=Keypair.generate(),
            entropy=SystemEntropy(folder),
            clock=lambda _round_number: 0,
        )


def _rules(folder: Path, genesis: Genesis) -> Spec:
    spec = load_spec(folder)
    if spec.hash != genesis.spec_hash:
        raise RunError(
            f"{folder / FILE_NAME} isn't what the run was played by: its hash is {spec.hash[:12]}, "
            f"the ledger's {genesis.spec_hash[:12]}",
            remedy="restore the file from a copy; what --compare plays beside a run has no rules of its own",
        )
    return spec


def _subnet_folder(folder: Path, spec: Spec, subnets: Sequence[Path]) -> Path:
    """Return the first folder whose subnet has the run's name and task."""
    for candidate in subnets:
        try:
            found = load_spec(candidate)
        except SpecError:
            continue
        if (found.subnet.name, found.subnet.task) == (spec.subnet.name, spec.subnet.task):
            return (candidate if candidate.is_dir() else candidate.parent).resolve()
    looked = ", ".join(str(candidate) for candidate in subnets[:3]) or "nowhere"
    raise RunError(
        f"the subnet {spec.subnet.name!r} that {folder} belongs to isn't in {looked}",
        remedy="name the subnet's folder, which holds its task, with --subnet",
    )


def _check_pool(app_dir: Path, genesis: Genesis, validation: Examples) -> None:
    """Check that the task's held-out data is what the validator committed to before round 1."""
    if merkle_root(leaves(validation)) != genesis.validation_root:
        raise RunError(
            f"the validation data of {app_dir} isn't what the run was scored on",
            remedy="name the folder of the subnet as it was when the run was played with --subnet",
        )
