"""Reference timing: the same arithmetic is timed repeatedly, and named."""

from __future__ import annotations

import numpy as np
from edge_seg_benchmarks.latency.reference_timing import ReferenceTiming


def test_each_time_is_kept() -> None:
    timing = ReferenceTiming()
    for _ in range(50):
        timing.measure()
    times = timing.times()
    assert len(times.samples_ms) == 50
    assert 0 < times.p5 <= times.p50 <= times.p95 <= max(times.samples_ms)


def test_another_numpy_is_other_arithmetic() -> None:
    timing = ReferenceTiming()
    timing.measure()
    assert np.__version__ in timing.times().what
