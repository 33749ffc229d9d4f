"""How long a film takes, stage by stage; models take turns so that drift hits all alike."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.sources import read_film

STAGES = ("decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure", "write", "end_to_end")
"""What is timed of a film; `write` is masks, overlay and record, flushed to the disk."""

FILM_SIDE = 1024
"""Side of the square 8-bit PNG film that is read and segmented, in pixels."""

_PERCENTILES = (50, 95, 99)
_STEADY = 0.05  # medians of two runs of `_LOOK` samples may differ by so much
_LOOK = 3
_MOST_WARM_UP = 20
_PATIENCE_S = 30.0  # a model that took so long in all has been measured enough,
_FEWEST = 5  # if it was measured so often


@dataclass
class Timing:
    """What was measured of one model on one engine.

    Attributes:
        samples_ms: per stage, one value per round, in the order of the rounds.
        pace_ms: of the same rounds, the time of a fixed piece of work that is no network: how the machine was.
        warm_up: films before it was steady, which are not counted.
    """

    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    pace_ms: list[float] = field(default_factory=list)
    warm_up: int = 0

    def summary(self) -> dict[str, dict[str, float]]:
        """`{stage: {"p50": ms, "p95": ms, "p99": ms, "mad": ms}}`; the last is the median absolute deviation."""
        return {stage: describe(values) for stage, values in self.samples_ms.items()}


def describe(values: Sequence[float]) -> dict[str, float]:
    """Percentiles and median absolute deviation, and how many values there are."""
    data = np.asarray(values)
    named = {f"p{p}": float(np.percentile(data, p)) for p in _PERCENTILES}
    return {**named, "mad": float(np.median(np.abs(data - np.median(data)))), "n": len(data)}


def measure_latency(
    whole: Sequence[Segmenter], alone: Sequence[Segmenter], repeats: int
) -> tuple[list[Timing], list[Timing]]:
    """Time films through segmenters that take turns, forth and back (A B B A), after each has become steady.

    Args:
        whole: timed from the file to results on the disk.
        alone: timed in inference alone.
        repeats: rounds; a slow one stops earlier, after 30 s and at least five rounds.

    Returns:
        Timings of `whole`, with every stage, and of `alone`, with `inference`.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        output = OutputFolder(Path(folder) / "out")
        film = read_film(path)
        work = [_whole_film(segmenter, path, output) for segmenter in whole]
        work += [_inference_alone(segmenter, segmenter.prepare(film)[0]) for segmenter in alone]
        timings = [Timing(warm_up=_warm_up(once)) for once in work]
        spent = [0.0] * len(work)
        for turn in range(repeats):
            pace = _pace()
            order = range(len(work)) if turn % 2 == 0 else reversed(range(len(work)))
            for i in order:
                if spent[i] > _PATIENCE_S and turn >= _FEWEST:
                    continue
                start = time.perf_counter()
                for stage, value in work[i]().items():
                    timings[i].samples_ms.setdefault(stage, []).append(round(value, 4))
                timings[i].pace_ms.append(round(pace, 4))
                spent[i] += time.perf_counter() - start
        output.close()
    return timings[: len(whole)], timings[len(whole) :]


def write_film(folder: Path, side: int) -> Path:
    """A synthetic film as a PNG file."""
    path = folder / "film.png"
    cv2.imwrite(str(path), phantom(side, side, seed=0).film.pixels)
    return path


def _whole_film(segmenter: Segmenter, path: Path, output: OutputFolder) -> Callable[[], dict[str, float]]:
    def once() -> dict[str, float]:
        start = time.perf_counter()
        found = segmenter(read_film(path))
        segmented = time.perf_counter()
        output.write(found)
        end = time.perf_counter()
        timings = {**found.timings_ms, "write": (end - segmented) * 1000, "end_to_end": (end - start) * 1000}
        return {stage: timings[stage] for stage in STAGES}

    return once


def _inference_alone(segmenter: Segmenter, tensor: np.ndarray) -> Callable[[], dict[str, float]]:
    def once() -> dict[str, float]:
        start = time.perf_counter()
        segmenter.runtime.run(tensor)
        return {"inference": (time.perf_counter() - start) * 1000}

    return once


def _warm_up(once: Callable[[], dict[str, float]]) -> int:
    """Run until two medians in a row agree; how often."""
    seen: list[float] = []
    start = time.perf_counter()
    while len(seen) < _MOST_WARM_UP:
        seen.append(once()["inference"])
        if len(seen) >= 2 * _LOOK:
            before, now = np.median(seen[-2 * _LOOK : -_LOOK]), np.median(seen[-_LOOK:])
            if abs(now - before) <= _STEADY * before:
                break
        if len(seen) > 1 and time.perf_counter() - start > _PATIENCE_S / 3:
            break
    return len(seen)


_PACE_WORK = np.random.default_rng(0).integers(0, 1 << 30, 60_000, np.int32)


def _pace() -> float:
    """Milliseconds of a fixed piece of numpy's work, the best of three: neither network nor engine changes it."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        np.sort(_PACE_WORK, kind="heapsort")
        taken.append(time.perf_counter() - start)
    return min(taken) * 1000
