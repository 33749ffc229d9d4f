"""The yardstick takes the time of the same arithmetic, whenever it is asked."""

from __future__ import annotations

import json

import numpy as np
from edge_seg_benchmarks.latency.reference_timing import Yardstick


def test_each_time_is_kept_and_told() -> None:
    yardstick = Yardstick()
    for _ in range(50):
        yardstick.take()
    told = json.loads(json.dumps(yardstick.to_json()))
    assert len(told["samples_ms"]) == 50
    assert 0 < told["p5"] <= told["p50"] <= told["p95"] <= max(told["samples_ms"])


def test_another_numpy_is_another_make() -> None:
    yardstick = Yardstick()
    yardstick.take()
    assert np.__version__ in yardstick.to_json()["what"]
