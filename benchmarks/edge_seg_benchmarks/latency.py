"""How long a film takes, stage by stage, and what a start costs; models take turns so that drift hits all alike."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.phantom import phantom
from edge_seg.sources import read_film

STAGES = ("decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure", "end_to_end")
_WARM_UP = 3
_PERCENTILES = (50, 95, 99)

_COLD_START = """
import json, sys, time
start = time.perf_counter()
from edge_seg import Segmenter
from edge_seg.sources import read_film
Segmenter.load(sys.argv[1], threads=int(sys.argv[2]))(read_film(sys.argv[3]))
print(json.dumps({"seconds": time.perf_counter() - start, "peak_rss_bytes": PEAK}))
"""
# ru_maxrss would count the parent too: it survives exec. VmHWM is this process's own.
_PEAK = "int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1]) * 1024"


def measure_latency(segmenters: Sequence[Segmenter], repeats: int, film_side: int = 1024) -> list[dict[str, Any]]:
    """Percentiles of each stage, per model, over `repeats` rounds in which every model runs once.

    Args:
        segmenters: the models.
        repeats: rounds.
        film_side: side of the square 8-bit PNG film that is read and segmented, in pixels.

    Returns:
        Per model `{stage: {"p50": ms, "p95": ms, "p99": ms, "mad": ms}}`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _write_film(Path(folder), film_side)
        samples: list[dict[str, list[float]]] = [{stage: [] for stage in STAGES} for _ in segmenters]
        for turn in range(_WARM_UP + repeats):
            for segmenter, taken in zip(segmenters, samples, strict=True):
                timings = _once(segmenter, path)
                if turn >= _WARM_UP:
                    for stage in STAGES:
                        taken[stage].append(timings[stage])
    return [{stage: _describe(values) for stage, values in taken.items()} for taken in samples]


def measure_cold_start(model: str, threads: int, runs: int = 3) -> dict[str, float]:
    """Median seconds from interpreter start-up to first mask, and peak memory, in processes of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = _write_film(Path(folder), 1024)
        command = [sys.executable, "-c", _COLD_START.replace("PEAK", _PEAK), model, str(threads), str(path)]
        found, seconds = [], []
        for _ in range(runs):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(time.perf_counter() - start)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    return {
        "seconds": float(np.median(seconds)),
        "peak_rss_bytes": float(np.median([entry["peak_rss_bytes"] for entry in found])),
    }


def _once(segmenter: Segmenter, path: Path) -> dict[str, float]:
    start = time.perf_counter()
    timings = segmenter(read_film(path)).timings_ms
    return {**timings, "end_to_end": (time.perf_counter() - start) * 1000}


def _describe(values: list[float]) -> dict[str, float]:
    data = np.array(values)
    named = {f"p{p}": float(np.percentile(data, p)) for p in _PERCENTILES}
    return {**named, "mad": float(np.median(np.abs(data - np.median(data))))}


def _write_film(folder: Path, side: int) -> Path:
    path = folder / "film.png"
    cv2.imwrite(str(path), phantom(side, side, seed=0).film.pixels)
    return path
