"""What the arenas' commands share: cells are played with progress, and stopping loses nothing."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from subnet.errors import StoppedError

if TYPE_CHECKING:  # needs torch
    from subnet.arena.run import Playable, Result

_Cell = TypeVar("_Cell", bound="Playable")
_LINE_EVERY_S = 60.0
"""How often progress is told where there is no terminal for a bar."""


def played(
    cells: Callable[[], Sequence[_Cell]], how: "Callable[[_Cell], Result]", out: Path, *, n_workers: int, quiet: bool
) -> "list[tuple[_Cell, Result]]":
    """Play the cells that OUT doesn't have yet, and return all results.

    Args:
        cells: gives them; checks what was asked for.
        how: plays one.
        out: where results are kept.
        n_workers: processes.
        quiet: whether to show nothing.

    Raises:
        StoppedError: by Ctrl-C.
        ArenaError: a cell can't be played.
    """
    from subnet.arena.run import play_all

    try:
        wanted = cells()
        with progress("cells", quiet=quiet) as told:
            return play_all(wanted, out / "cells", how=how, n_workers=n_workers, on_result=told)
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped: what was played is kept in {out}", remedy="give the same command again: it goes on from there"
        ) from None


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show on the error stream how many are done and how long the others will take: a bar, or a line at times.

    Gives a function that is told how many of how many are done; the first time before any is.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn(f"  {what}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
        transient=True,
        disable=quiet or not console.is_terminal,
        speed_estimate_period=600,
    )
    lines = _Lines(what)

    def told(done: int, total: int) -> None:
        if not bar.tasks:  # what was known before took no time, so it doesn't count as speed
            bar.add_task(what, total=total, completed=done)
        bar.update(bar.tasks[0].id, completed=done)
        if bar.disable and not quiet:
            lines.told(done, total)

    with bar:
        yield told


class _Lines:
    """Progress in lines, for a log."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = self._last = time.monotonic()
        self._known: int | None = None

    def told(self, done: int, total: int) -> None:
        """Print a line if the last one is a while ago."""
        now = time.monotonic()
        if self._known is None:
            self._known = done
        elif now - self._last >= _LINE_EVERY_S and done < total:
            self._last = now
            left_s = (now - self._began) / (done - self._known) * (total - done)
            typer.echo(f"{done} of {total} {self._what}, about {left_s / 60:.0f} min left", err=True)
