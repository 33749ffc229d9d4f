"""A fixed product of matrices, timed between the networks: how fast the machine itself is meanwhile.

Its clock, and whoever shares its cores, make the same network take several per cent more or less from one minute to the
next. Most of that shows in any arithmetic, and so does not pass for a change of the network where both are timed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

# OpenBLAS multiplies up to 64 x 64 on one thread (interface/gemm.c, GEMM_MULTITHREAD_THRESHOLD), and three such
# matrices stay in the first cache, so that nothing but arithmetic is timed.
_SIDE = 64
_PRODUCTS = 8  # a time: some tens of microseconds, a thousand times what a clock resolves


class Yardstick:
    """What the machine takes for so many products of 64 x 64 float32 matrices.

    Attributes:
        samples_ms: the times so far, in milliseconds.
    """

    def __init__(self) -> None:
        self._left, self._right = np.random.default_rng(0).standard_normal((2, _SIDE, _SIDE), np.float32)
        self._product = np.empty_like(self._left)
        self.samples_ms: list[float] = []

    def take(self) -> None:
        """Time it once more."""
        # Once without the clock: what ran before has the caches.
        np.dot(self._left, self._right, out=self._product)
        start = time.perf_counter()
        for _ in range(_PRODUCTS):
            np.dot(self._left, self._right, out=self._product)
        self.samples_ms.append(round((time.perf_counter() - start) * 1000, 6))

    def to_json(self) -> dict[str, Any]:
        """`what` it is, by which alone two of them are comparable, `samples_ms`, `p5`, `p50` and `p95`."""
        what = f"{_PRODUCTS} products of {_SIDE} x {_SIDE} float32 matrices, numpy {np.__version__}"
        p5, p50, p95 = np.percentile(self.samples_ms, (5, 50, 95)).tolist()
        return {"what": what, "samples_ms": self.samples_ms, "p5": p5, "p50": p50, "p95": p95}
