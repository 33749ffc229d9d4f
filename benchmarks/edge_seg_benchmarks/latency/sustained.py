"""Sustained load: films back to back for minutes, with clock and temperature."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge_seg import Segmenter
from edge_seg.sources import read_film

from edge_seg_benchmarks.latency.stages import FILM_SIDE, Percentiles, percentiles, write_film
from edge_seg_benchmarks.machine import MachineState, machine_state

_POINTS = 60
_SHORTEST_S = 2.0
_SAY_EVERY = 10


@dataclass(frozen=True)
class SustainedPoint(MachineState):
    """A point of the curve, with the state of the machine at its end.

    Attributes:
        minute: when it ends.
        films_per_second: since the previous point.
        end_to_end_ms, inference_ms: of these films.
    """

    minute: float
    films_per_second: float
    end_to_end_ms: Percentiles
    inference_ms: Percentiles


def measure_sustained(segmenter: Segmenter, minutes: float, say: Callable[[str], None]) -> tuple[SustainedPoint, ...]:
    """Segment the same film over and over.

    Args:
        segmenter: the model.
        minutes: how long; 0 measures nothing.
        say: receives progress messages.

    Returns:
        The curve, one point per 60th of the time, each covering at least 2 s.
    """
    curve: list[SustainedPoint] = []
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
                SustainedPoint(
                    **vars(machine_state()),
                    minute=(now - start) / 60,
                    films_per_second=len(whole) / (now - began),
                    end_to_end_ms=percentiles(whole),
                    inference_ms=percentiles(inference),
                )
            )
            if len(curve) % _SAY_EVERY == 0:
                say(f"sustained: {curve[-1].minute:.1f} of {minutes:g} minutes")
    return tuple(curve)
