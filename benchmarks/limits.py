"""What the machine can do at most: `python -m benchmarks.limits N THREADS` prints the two speeds in JSON.

Both are measured in a process of their own, in the same run as what they are the limit of.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

__all__ = ["GRAM_PRODUCTS", "Speeds", "limit_s", "measured"]

GRAM_PRODUCTS: Mapping[str, int] = {
    "krum": 1,
    "multi_krum": 1,
    "bulyan": 1,
    "geometric_median": 1,
    "centered_clipping": 1,
    "nnm+trimmed_mean": 2,
}
"""Products of n x n x d that a rule takes in Gram space (mixing is one more); 2 n^2 d operations each, as `sgemm` does
them. Whoever forms one half of a symmetric product can come to more than this limit."""
_COPY_BYTES = 2**28
_CHUNK_BYTES = 2**18
_BUDGET_S = 1.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Speeds:
    """Of a number of threads together."""

    copy_bytes_per_s: float
    """Bytes read and bytes written, both, in a copy of 256 MiB."""
    gemm_flops: float
    """Operations a second of float32 (n, chunk) @ (chunk, n), a chunk of 256 KiB a thread, which its cache holds."""


def limit_s(rule: str, *, n: int, d: int, speeds: Speeds) -> float:
    """The least time for a rule.

    Every input byte is read once; where a rule in Gram space takes longer for its products, it is that.

    >>> speeds = Speeds(copy_bytes_per_s=2e10, gemm_flops=5e10)
    >>> limit_s("median", n=20, d=1_000_000, speeds=speeds), limit_s("krum", n=20, d=1_000_000, speeds=speeds)
    (0.004, 0.016)
    """
    reading = n * d * 4 / speeds.copy_bytes_per_s
    return max(reading, GRAM_PRODUCTS.get(rule, 0) * 2 * n * n * d / speeds.gemm_flops)


def measured(n: int, threads: int) -> Speeds:
    """Measure this machine, for matrices of n rows; sets torch's number of threads."""
    torch.set_num_threads(threads)
    source, target = torch.ones(_COPY_BYTES // 4), torch.ones(_COPY_BYTES // 4)
    copy_s = _least_s(lambda: target.copy_(source))
    torch.set_num_threads(1)
    columns = max(16, _CHUNK_BYTES // (4 * n))
    flops_a_call = 2 * n * n * columns
    calls = max(1, int(2e8 // flops_a_call))

    def work(chunk: Tensor) -> None:
        out = torch.empty(n, n)
        for _ in range(calls):
            torch.mm(chunk, chunk.T, out=out)

    chunks = [torch.ones(n, columns) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        gemm_s = _least_s(lambda: list(pool.map(work, chunks)))
    return Speeds(copy_bytes_per_s=2 * _COPY_BYTES / copy_s, gemm_flops=threads * calls * flops_a_call / gemm_s)


def _least_s(work: Callable[[], object]) -> float:
    """Wall seconds of the quickest of many calls."""
    work()
    walls: list[float] = []
    while sum(walls) < _BUDGET_S:
        start = time.perf_counter()
        work()
        walls.append(time.perf_counter() - start)
    return min(walls)


if __name__ == "__main__":
    print(json.dumps(asdict(measured(int(sys.argv[1]), int(sys.argv[2])))))
