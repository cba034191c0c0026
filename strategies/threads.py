"""Threads: many for the blocks of a matrix, one for each block.

Elementwise operations give the same bits on any number of threads; matrix products and sums don't, since BLAS splits a
small product differently on two threads than on one. So every block is worked on by one thread, several blocks at the
same time, and what comes out of them is added up in the blocks' order.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["in_order", "one_thread", "scratch"]

_LOCK = threading.RLock()
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Scratch(threading.local):
    """A thread's buffers, by name and device."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.device], Tensor] = {}


_SCRATCH = _Scratch()


def scratch(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory to work in, the same at every call in a thread: a new buffer costs several times a warm one.

    Args:
        name: What it is for; what was there under that name before is gone.
        shape: The tensor's.
        dtype: Its type.
        device: Where it is.

    Returns:
        A contiguous tensor of anything, aligned the same each time.
    """
    wanted = math.prod(shape) * dtype.itemsize
    buffer = _SCRATCH.buffers.get((name, device))
    if buffer is None or len(buffer) < wanted:
        buffer = _SCRATCH.buffers[name, device] = torch.empty(wanted, dtype=torch.uint8, device=device)
    return buffer[:wanted].view(dtype).view(shape)


class _Section:
    """How deep the sections are nested, and the number of threads that the outermost one found."""

    depth = 0
    found = 1


@contextmanager
def one_thread() -> Iterator[int]:
    """Run what is inside on one thread, so that sums and matrix products don't depend on the number of threads.

    BLAS's thread count is global, so only one such section runs at a time in a process; the count is restored at the
    end.

    Yields:
        The number of threads before the outermost section: as many may share work that they don't split.
    """
    with _LOCK:
        if _Section.depth == 0:
            _Section.found = torch.get_num_threads()
            if _Section.found != 1:
                torch.set_num_threads(1)
        _Section.depth += 1
        try:
            yield _Section.found
        finally:
            _Section.depth -= 1
            if _Section.depth == 0 and _Section.found != 1:
                torch.set_num_threads(_Section.found)


def in_order(
    work: Callable[[_Item], _Result], items: Sequence[_Item], take: Callable[[_Result], object], *, n_threads: int
) -> None:
    """Work on items, several at a time, and take the results in the items' order.

    Args:
        work: Called in a thread that torch's operations don't leave.
        items: What is worked on.
        take: Called with each result, in the calling thread.
        n_threads: How many threads, 1 or more; no more than items are started, and none for fewer than two.

    Raises:
        Exception: What `work` raised first, by the items' order; work that has begun is ended before.
    """
    n_threads = min(n_threads, len(items))
    if n_threads <= 1:
        for item in items:
            take(work(item))
        return
    with ThreadPoolExecutor(n_threads, thread_name_prefix="strategies", initializer=_alone) as pool:
        begun: deque[Future[_Result]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(work, item))
                if len(begun) > 2 * n_threads:  # results may be large: no more than these wait to be taken
                    take(begun.popleft().result())
            while begun:
                take(begun.popleft().result())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _alone() -> None:
    """Let a thread's operations stay in it, and need no gradients."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
