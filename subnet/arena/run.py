"""Play many cells over several processes, and keep each result by its content hash, so that nothing is played twice."""

import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from itertools import product
from multiprocessing import get_context, parent_process, resource_tracker
from pathlib import Path
from typing import Any, Protocol, TypeVar

from subnet.arena.cell import Cell, Stated
from subnet.arena.entrants import Entrant
from subnet.errors import ArenaError
from subnet.store import write_atomically
from tokenomics.canonical import canonical_json, content_hash

Result = dict[str, Any]


class Playable(Protocol):
    """A cell of any arena."""

    @property
    def key(self) -> str:
        """Content hash by which its result is kept."""
        ...

    @property
    def title(self) -> str:
        """What it is, in words."""
        ...


_Cell = TypeVar("_Cell", bound=Playable)


def plan(
    *,
    subnet: Path,
    spec: str,
    task_code: str,
    entrants: Sequence[Entrant],
    attacks: Sequence[str],
    partitions: Sequence[str],
    n_clients: int,
    n_byzantine: int,
    stated: Sequence[Stated],
    n_rounds: int,
    seeds: Sequence[int],
) -> list[Cell]:
    """Return every cell of the arena, seeds outermost: an arena that is interrupted has all pairs with fewer seeds.

    A rule that can't be told how many clients attack has one cell in place of one a stated number.
    """
    return [
        Cell(
            subnet=str(subnet),
            spec=spec,
            code=content_hash([task_code, entrant.code]),
            strategy=entrant.name,
            attack=attack,
            partition=partition,
            n_clients=n_clients,
            n_byzantine=n_byzantine,
            stated=told,
            n_rounds=n_rounds,
            seed=seed,
        )
        for seed, partition, entrant in product(seeds, partitions, entrants)
        for told in (stated if entrant.takes_number else [None])
        for attack in attacks
    ]


def play_all(
    cells: Sequence[_Cell],
    folder: Path,
    *,
    how: Callable[[_Cell], Result],
    n_workers: int,
    on_result: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[_Cell, Result]]:
    """Play the cells that aren't in the folder yet, and return all results in the cells' order.

    Args:
        cells: what is to be known.
        folder: where results lie, one file a cell; an interrupted call goes on where it stopped.
        how: plays a cell; a function at the top of a module, since processes are told its name.
        n_workers: processes.
        on_result: told how many of how many cells are known.

    Raises:
        ArenaError: a cell can't be played, or the folder can't be written to.
        StoreError: a result can't be written.
    """
    _make(folder)
    results = {cell: found for cell in cells if (found := _read(folder, cell)) is not None}
    on_result(len(results), len(cells))
    open_cells = [cell for cell in cells if cell not in results]
    with closing(_played(open_cells, how, n_workers)) as played:
        for cell, result in played:
            write_atomically(_path(folder, cell), canonical_json(result))
            results[cell] = result
            on_result(len(results), len(cells))
    return [(cell, results[cell]) for cell in cells]


def _played(cells: Sequence[_Cell], how: Callable[[_Cell], Result], n_workers: int) -> Generator[tuple[_Cell, Result]]:
    """Yield each cell's result as it comes; however this ends, no process is left."""
    if not cells:
        return
    pool = ProcessPoolExecutor(
        max_workers=min(n_workers, len(cells)),
        mp_context=get_context("spawn"),
        initializer=_follow_parent,
    )
    try:
        with _interrupt_later():
            futures = {pool.submit(how, cell): cell for cell in cells}
        for future in as_completed(futures):
            cell = futures[future]
            try:
                result = future.result()
            except BrokenProcessPool as error:
                raise ArenaError(
                    "a process that played cells has died, perhaps for want of memory",
                    remedy="give the same command again with fewer --workers: it goes on from there",
                ) from error
            except Exception as error:
                raise ArenaError(
                    f"{cell.title} can't be played: {error}",
                    remedy=getattr(error, "remedy", "") or "leave it out of what is to be played",
                ) from error
            yield cell, result
    finally:
        _end(pool)


def _follow_parent() -> None:
    """Let this process end with its parent, however that ends."""
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


@contextmanager
def _interrupt_later() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started, which then never know it: they inherit that it is blocked.

    The resource tracker, which comes with the first process, lifts the block once it has started, so it goes first. A
    signal to the process may still reach a thread that doesn't block it, and with it Python's handler.
    """
    resource_tracker.ensure_running()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    handler = signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if held:
            signal.raise_signal(signal.SIGINT)


def _end(pool: ProcessPoolExecutor) -> None:
    """Stop a pool's processes without waiting for what they play (Python 3.14 has `terminate_workers` for this)."""
    for process in list((pool._processes or {}).values()):  # noqa: SLF001
        process.terminate()
    pool.shutdown(wait=True, cancel_futures=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        raise ArenaError(f"can't write to {folder}: {error.strerror}", remedy="choose another --out") from error
    if not writable:
        raise ArenaError(f"can't write to {folder}", remedy="choose another --out, or change its permissions")


def _path(folder: Path, cell: Playable) -> Path:
    return folder / f"{cell.key}.json"


def _read(folder: Path, cell: Playable) -> Result | None:
    """Return a kept result; None if there is none, or the file is damaged, so that the cell is played again."""
    try:
        found = json.loads(_path(folder, cell).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
