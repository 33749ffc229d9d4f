"""How long a film takes, stage by stage; models take turns, so that machine drift affects all of them equally."""

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

from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes, ReferenceTiming

STAGES = ("decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure", "write", "end_to_end")
"""The timed stages of a film; `write` is masks, overlay and record, flushed to disk."""

FILM_SIDE = 1024
"""Side of the square 8-bit PNG film that is read and segmented, in pixels."""

ALONE = "inference_alone"
"""Inference repeated on the same input, the basis for comparing networks and engines."""

_FEWEST_TURNS, _MOST_TURNS = 10, 300  # of the networks in a round
_ROUND_S = 0.4  # other work on a machine comes in spells of seconds; a comparison needs times outside them
_SAY_EVERY = 10
_STEADY = 0.05  # largest relative difference of the medians of two successive runs of `_LOOK` samples
_LOOK = 3
_MOST_WARM_UP = 20
_PATIENCE_S = 15.0  # work stops once it has taken this long in total
_FEWEST = 3  # but not before this many samples


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of `n` times and their median absolute deviation, in milliseconds."""

    p50: float
    p95: float
    p99: float
    mad: float
    n: int


@dataclass
class Timing:
    """Times of one model on one engine.

    Attributes:
        samples_ms: per stage, in the order of the rounds: one value per round, ten or more of `inference_alone`.
        warm_up: uncounted films and inferences before the times were steady.
    """

    samples_ms: dict[str, list[float]] = field(default_factory=dict)
    warm_up: int = 0

    def summary(self) -> dict[str, Percentiles]:
        """Percentiles per stage."""
        return {stage: percentiles(values) for stage, values in self.samples_ms.items()}

    def frozen(self) -> dict[str, tuple[float, ...]]:
        """The samples as a report holds them."""
        return {stage: tuple(values) for stage, values in self.samples_ms.items()}


def percentiles(values: Sequence[float]) -> Percentiles:
    """Percentiles and median absolute deviation of at least one time."""
    data = np.asarray(values)
    p50, p95, p99 = np.percentile(data, (50, 95, 99)).tolist()
    return Percentiles(p50, p95, p99, float(np.median(np.abs(data - np.median(data)))), len(data))


def measure_latency(
    whole: Sequence[Segmenter],
    alone: Sequence[Segmenter],
    repeats: int,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[Timing], list[Timing], ReferenceTimes]:
    """Time segmenters that take turns, back and forth (A B B A), once each is steady.

    Args:
        whole: timed from the file to results on disk, and for inference alone.
        alone: timed for inference alone.
        repeats: number of rounds. A round is a film per model, then inferences in turns: ten of each, and more until
            0.4 s have passed or 300 are done. A model or network that took 15 s in total stops after three samples.
        say: receives progress messages.

    Returns:
        Timings of `whole`, with every stage; of `alone`; and the reference times measured between the networks.
    """
    reference = ReferenceTiming()
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        output = OutputFolder(Path(folder) / "out")
        film = read_film(path)
        films = [_Work(_whole_film(segmenter, path, output), Timing()) for segmenter in whole]
        timings = [work.timing for work in films] + [Timing() for _ in alone]
        networks = [
            _Work(_inference_alone(segmenter, segmenter.prepare(film)[0]), timing)
            for segmenter, timing in zip((*whole, *alone), timings, strict=True)
        ]
        say(f"latency: warming up {len(films)} models and {len(networks)} networks")
        for work in (*films, *networks):
            work.timing.warm_up += _warm_up(work.once)
        for number in range(repeats):
            if number % _SAY_EVERY == 0:
                say(f"latency: round {number + 1} of {repeats}")
            if not _round(films, networks, reference, number):
                break
        output.close()
    return timings[: len(whole)], timings[len(whole) :], reference.times()


@dataclass
class _Work:
    """Work that takes turns with other work."""

    once: Callable[[], dict[str, float]]
    timing: Timing
    done: int = 0
    spent_s: float = 0.0


def _round(films: Sequence[_Work], networks: Sequence[_Work], reference: ReferenceTiming, number: int) -> bool:
    """Time a film per model, then inferences in turns; returns whether anything was left to time."""
    start = time.perf_counter()
    any_left = _take_turns(films, number)
    for turn in range(_MOST_TURNS):
        if turn >= _FEWEST_TURNS and time.perf_counter() - start > _ROUND_S:
            break
        if not _take_turns(networks, turn):
            break
        reference.measure()
        any_left = True
    return any_left


def _take_turns(works: Sequence[_Work], number: int) -> bool:
    """Do each work once, in reverse order if the number is odd; returns whether any was left to do."""
    any_left = False
    for work in works if number % 2 == 0 else reversed(works):
        if work.spent_s > _PATIENCE_S and work.done >= _FEWEST:
            continue
        start = time.perf_counter()
        for stage, value in work.once().items():
            work.timing.samples_ms.setdefault(stage, []).append(round(value, 4))
        work.spent_s += time.perf_counter() - start
        work.done += 1
        any_left = True
    return any_left


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
        return {ALONE: (time.perf_counter() - start) * 1000}

    return once


def _warm_up(once: Callable[[], dict[str, float]]) -> int:
    """Run until two successive medians agree; returns the number of runs."""
    seen: list[float] = []
    start = time.perf_counter()
    while len(seen) < _MOST_WARM_UP:
        timings = once()
        seen.append(timings.get(ALONE) or timings["inference"])
        if len(seen) >= 2 * _LOOK:
            before, now = np.median(seen[-2 * _LOOK : -_LOOK]), np.median(seen[-_LOOK:])
            if abs(now - before) <= _STEADY * before:
                break
        if len(seen) > 1 and time.perf_counter() - start > _PATIENCE_S / 3:
            break
    return len(seen)
