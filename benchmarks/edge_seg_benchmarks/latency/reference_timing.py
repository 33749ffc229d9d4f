"""Reference timing: a fixed matrix product, timed between the networks, shows how fast the machine is at the time.

Clock changes and other work on the machine change the time of the same network by several per cent within minutes. They
change the time of the matrix product by as much, so a comparison can tell them from a change of the network.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

# OpenBLAS multiplies up to 64 x 64 on one thread (interface/gemm.c, GEMM_MULTITHREAD_THRESHOLD), and three such
# matrices stay in the first cache, so only arithmetic is timed.
_SIDE = 64
_PRODUCTS = 8  # per timing: tens of microseconds, a thousand times the clock's resolution


@dataclass(frozen=True)
class ReferenceTimes:
    """Times of the same arithmetic during a benchmark.

    Attributes:
        what: the arithmetic; only times of the same arithmetic are comparable.
        samples_ms: in milliseconds.
        p5, p50, p95: their percentiles.
    """

    what: str
    samples_ms: tuple[float, ...]
    p5: float
    p50: float
    p95: float


class ReferenceTiming:
    """Times products of 64 x 64 float32 matrices.

    Attributes:
        samples_ms: the times so far, in milliseconds.
    """

    def __init__(self) -> None:
        self._left, self._right = np.random.default_rng(0).standard_normal((2, _SIDE, _SIDE), np.float32)
        self._product = np.empty_like(self._left)
        self.samples_ms: list[float] = []

    def measure(self) -> None:
        """Add one time."""
        # The first product is not timed: the caches still hold what ran before.
        np.dot(self._left, self._right, out=self._product)
        start = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.dot(self._left, self._right, out=self._product)
        self.samples_ms.append(round((time.perf_counter() - start) * 1000, 6))

    def times(self) -> ReferenceTimes:
        """The times so far, at least one."""
        what = f"{_PRODUCTS} products of {_SIDE} x {_SIDE} float32 matrices, numpy {np.__version__}"
        return ReferenceTimes(what, tuple(self.samples_ms), *np.percentile(self.samples_ms, (5, 50, 95)).tolist())
