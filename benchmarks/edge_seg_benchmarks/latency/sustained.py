"""Minute 30 is not minute 1: films one after another for a while, with clock and temperature beside them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge_seg import Segmenter
from edge_seg.sources import read_film

from edge_seg_benchmarks.latency.stages import FILM_SIDE, describe, write_film
from edge_seg_benchmarks.machine import machine_state

_POINTS = 60
_SHORTEST_S = 2.0


def measure_sustained(segmenter: Segmenter, minutes: float, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Segment the same film over and over.

    Args:
        segmenter: the model.
        minutes: how long.
        say: told of progress.

    Returns:
        The curve, a point for every 60th of the time but at least 2 s: `minute` at its end, `films_per_second`,
        `end_to_end_ms` and `inference_ms` (percentiles), and `machine_state` at its end.
    """
    curve: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        start = time.perf_counter()
        step = max(_SHORTEST_S, minutes * 60 / _POINTS)
        while time.perf_counter() - start < minutes * 60:
            began = time.perf_counter()
            whole: list[float] = []
            inference: list[float] = []
            while (now := time.perf_counter()) - began < step or not whole:
                inference.append(segmenter(read_film(path)).timings_ms["inference"])
                whole.append((time.perf_counter() - now) * 1000)
            curve.append(
                {
                    "minute": (now - start) / 60,
                    "films_per_second": len(whole) / (now - began),
                    "end_to_end_ms": describe(whole),
                    "inference_ms": describe(inference),
                    **machine_state(),
                }
            )
            if len(curve) % 10 == 0:
                say(f"sustained: {curve[-1]['minute']:.1f} of {minutes:g} minutes")
    return curve
