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

from edge_seg_benchmarks.latency.reference_timing import Yardstick

STAGES = ("decode", "pixels_in", "gate", "inference", "pixels_out", "trust", "measure", "write", "end_to_end")
"""What is timed of a film; `write` is masks, overlay and record, flushed to the disk."""

FILM_SIDE = 1024
"""Side of the square 8-bit PNG film that is read and segmented, in pixels."""

ALONE = "inference_alone"
"""Inference of a network that runs again and again on the same input: what networks and engines are compared by."""

_PERCENTILES = (50, 95, 99)
_NETWORKS_A_ROUND = (10, 300)  # turns: at least, and at most in
_ROUND_S = 0.4  # since other work on a machine comes in spells of seconds, and a comparison needs times outside of them
_SAY_EVERY = 10
_STEADY = 0.05  # medians of two runs of `_LOOK` samples may differ by so much
_LOOK = 3
_MOST_WARM_UP = 20
_PATIENCE_S = 15.0  # a model that took so long in all has been measured enough,
_FEWEST = 3  # if it was measured so often


@dataclass
class Timing:
    """What was measured of one model on one engine.

    Attributes:
        samples_ms: per stage, one value per round, in the order of the rounds; `inference_alone` is that of a network
            that runs again and again on the same input, ten times and more in each round.
        warm_up: films and inferences before it was steady, which are not counted.
    """

    samples_ms: dict[str, list[float]] = field(default_factory=dict)
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
    whole: Sequence[Segmenter],
    alone: Sequence[Segmenter],
    repeats: int,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[list[Timing], list[Timing], Yardstick]:
    """Time films through segmenters that take turns, forth and back (A B B A), after each has become steady.

    Args:
        whole: timed from the file to results on the disk, and in inference alone.
        alone: timed in inference alone.
        repeats: rounds: a whole film of each model, then inferences in turns, ten of each, and more until 0.4 s are
            over or 300 are done. A model, or a network, that took 15 s in all and was measured three times stops.
        say: told of progress.

    Returns:
        Timings of `whole`, with every stage, and of `alone`, and the yardstick that took turns with the networks.
    """
    yardstick = Yardstick()
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        output = OutputFolder(Path(folder) / "out")
        film = read_film(path)
        films = [_Turns(_whole_film(segmenter, path, output), Timing()) for segmenter in whole]
        timings = [turns.timing for turns in films] + [Timing() for _ in alone]
        networks = [
            _Turns(_inference_alone(segmenter, segmenter.prepare(film)[0]), timing)
            for segmenter, timing in zip((*whole, *alone), timings, strict=True)
        ]
        say(f"latency: until {len(films)} models and {len(networks)} networks are steady")
        for turns in (*films, *networks):
            turns.timing.warm_up += _warm_up(turns.once)
        for number in range(repeats):
            if number % _SAY_EVERY == 0:
                say(f"latency: round {number + 1} of {repeats}")
            start = time.perf_counter()
            taken = _take_turns(films, number)
            least, most = _NETWORKS_A_ROUND
            for again in range(most):
                if again >= least and time.perf_counter() - start > _ROUND_S:
                    break
                if not _take_turns(networks, again):
                    break
                yardstick.take()
                taken = True
            if not taken:
                break
        output.close()
    return timings[: len(whole)], timings[len(whole) :], yardstick


@dataclass
class _Turns:
    """Work that takes turns with others."""

    once: Callable[[], dict[str, float]]
    timing: Timing
    done: int = 0
    spent_s: float = 0.0


def _take_turns(works: Sequence[_Turns], number: int) -> bool:
    """One round, every other one backwards; whether any was left to do."""
    taken = False
    for work in works if number % 2 == 0 else reversed(works):
        if work.spent_s > _PATIENCE_S and work.done >= _FEWEST:
            continue
        start = time.perf_counter()
        for stage, value in work.once().items():
            work.timing.samples_ms.setdefault(stage, []).append(round(value, 4))
        work.spent_s += time.perf_counter() - start
        work.done += 1
        taken = True
    return taken


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
    """Run until two medians in a row agree; how often."""
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
