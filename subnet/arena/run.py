"""Play many cells over several processes, and keep each result by its content hash, so that nothing is played twice."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from subnet.arena.cell import Cell
from subnet.arena.play import play
from subnet.errors import SubnetError
from subnet.store import write_atomically
from tokenomics.canonical import canonical_json

Result = dict[str, Any]


class ArenaError(SubnetError):
    """A cell of the arena can't be played."""

    code = "subnet.arena"


def plan(
    *,
    subnet: Path,
    spec: str,
    strategies: Sequence[str],
    attacks: Sequence[str],
    partitions: Sequence[str],
    n_clients: int,
    n_byzantine: int,
    stated: Sequence[int],
    n_rounds: int,
    seeds: Sequence[int],
) -> list[Cell]:
    """Return every cell of the arena, seeds innermost."""
    return [
        Cell(
            subnet=str(subnet),
            spec=spec,
            strategy=strategy,
            attack=attack,
            partition=partition,
            n_clients=n_clients,
            n_byzantine=n_byzantine,
            stated=told,
            n_rounds=n_rounds,
            seed=seed,
        )
        for partition, told, strategy, attack, seed in product(partitions, stated, strategies, attacks, seeds)
    ]


def play_all(
    cells: Sequence[Cell],
    folder: Path,
    *,
    n_workers: int,
    on_result: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[tuple[Cell, Result]]:
    """Play the cells that aren't in the folder yet, and return all results in the cells' order.

    Args:
        cells: what is to be known.
        folder: where results lie, one file a cell; an interrupted call goes on where it stopped.
        n_workers: processes.
        on_result: told how many of how many cells are known.

    Raises:
        ArenaError: a cell can't be played.
        StoreError: a result can't be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    open_cells = [cell for cell in cells if not _path(folder, cell).exists()]
    n_known = len(cells) - len(open_cells)
    on_result(n_known, len(cells))
    if open_cells:
        pool = ProcessPoolExecutor(max_workers=min(n_workers, len(open_cells)), mp_context=get_context("spawn"))
        try:
            futures = {pool.submit(play, cell): cell for cell in open_cells}
            for future in as_completed(futures):
                cell = futures[future]
                try:
                    result = future.result()
                except Exception as error:
                    raise ArenaError(
                        f"{cell.strategy} against {cell.attack} ({cell.partition}) can't be played: {error}",
                        remedy="leave it out with --strategies or --attacks",
                    ) from error
                write_atomically(_path(folder, cell), canonical_json(result))
                n_known += 1
                on_result(n_known, len(cells))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [(cell, json.loads(_path(folder, cell).read_bytes())) for cell in cells]


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.key}.json"
