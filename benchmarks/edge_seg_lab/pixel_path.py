"""What a film costs outside the network, on one thread: `python -m edge_seg_lab.pixel_path`.

Films the size of a camera's and of a large detector's take turns in groups, so that drift of the machine affects both
alike, and each film follows one of its own size, as on a device. No film is decoded.
"""

from __future__ import annotations

import cProfile
import os
import pstats
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from edge_seg import Film, Segmenter
from edge_seg.cli.main import run_command
from edge_seg.phantom import phantom
from edge_seg_benchmarks.machine import machine_facts

FILMS = ((1024, 1024, 8), (4020, 4892, 16))
"""Height, width and bits of the films; the second has the size of the digitised films of the Montgomery set."""

STAGES = ("pixels_in", "gate", "inference", "pixels_out", "trust", "measure")
_PIXEL_PATH = ("pixels_in", "pixels_out")
_WARM_UP = 3
_GROUP = 10
_SHARE = 0.02  # functions with a smaller share of a film's time are not printed

_Function = tuple[str, int, str]


def measure_stages(segmenter: Segmenter, films: Sequence[Film], repeats: int) -> list[dict[str, np.ndarray]]:
    """Milliseconds of each stage, and of pixels in and out together, per film; films take turns in groups.

    Returns:
        Per film `{stage: (repeats,) float64}`, with `pixels_in + pixels_out` last.
    """
    taken: list[list[list[float]]] = [[] for _ in films]
    while any(len(rows) < repeats for rows in taken):
        for film, rows in zip(films, taken, strict=True):
            for turn in range(_WARM_UP + min(_GROUP, repeats - len(rows))):
                timings = segmenter(film).timings_ms
                if turn >= _WARM_UP:
                    rows.append([*(timings[stage] for stage in STAGES), sum(timings[stage] for stage in _PIXEL_PATH)])
    names = (*STAGES, " + ".join(_PIXEL_PATH))
    return [dict(zip(names, np.array(rows).T, strict=True)) for rows in taken]


def own_times(segmenter: Segmenter, film: Film, repeats: int) -> dict[str, float]:
    """Each function's own time in milliseconds per film, by Python's profiler, longest first.

    Functions of other packages are named with the function of this package that called them: `value_range > calcHist`.
    """
    profile = cProfile.Profile()
    for _ in range(repeats):
        # The result is freed before the next film: fresh memory costs more than reused memory.
        profile.runcall(segmenter, film)
    calls = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    found: Counter[str] = Counter()
    for function, (_, _, own, _, callers) in calls.items():
        if _is_ours(function):
            found[_name(function)] += own
            continue
        for caller, (_, _, own_there, _) in callers.items():
            found[f"{_name(_owner(caller, calls))} > {_name(function)}"] += own_there
    return {name: seconds * 1000 / repeats for name, seconds in found.most_common()}


def _owner(function: _Function, calls: Mapping[_Function, Any]) -> _Function:
    """The function of this package that a call came from, following the caller with the most time at each step."""
    seen = set()
    while not _is_ours(function) and function not in seen and calls[function][4]:
        seen.add(function)
        callers = calls[function][4]
        function = max(callers, key=lambda caller: callers[caller][3])
    return function


def _is_ours(function: _Function) -> bool:
    return "edge_seg" in Path(function[0]).parts


def _name(function: _Function) -> str:
    file, _, name = function
    if file == "~":  # `<method 'take' of 'numpy.ndarray' objects>`, `<accumulate>`, `<built-in method numpy.array>`
        words = name.strip("<>{}").replace("'", "").removeprefix("built-in ").removeprefix("method ").split()
        return words[0].rpartition(".")[2]
    return f"{Path(file).stem}.{name}"


@click.command()
@click.option("--model", default="lungs", show_default=True, help="Name of a shipped model, or a model file.")
@click.option("--repeats", type=click.IntRange(min=4), default=40, show_default=True, help="Films of each size.")
def main(model: str, repeats: int) -> None:
    """Time each stage of a film, and print which functions take the time."""
    # One core and one thread, as on a small device, on any machine.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    segmenter = Segmenter.load(model, threads=1)
    facts = machine_facts()
    click.echo(f"{facts.processor}, {facts.architecture}, one core, {facts.date}")
    films = [phantom(height, width, seed=0, bits=bits).film for height, width, bits in FILMS]
    for film, stages in zip(films, measure_stages(segmenter, films, repeats), strict=True):
        height, width = film.shape
        click.echo(f"\n{height} x {width}, {film.pixels.dtype}, model {segmenter.manifest.name}, n = {repeats}")
        click.echo(f"{'stage':26}{'p50 ms':>9}{'quietest quarter':>19}")
        for stage, ms in stages.items():
            quiet = np.sort(ms)[: repeats // 4]
            click.echo(f"{stage:26}{np.median(ms):9.2f}{np.median(quiet):19.2f}")
        times = own_times(segmenter, film, max(4, repeats // 4))
        total = sum(times.values())
        click.echo(f"where it goes, of {total:.1f} ms under the profiler:")
        for name, own in times.items():
            if own >= _SHARE * total:
                click.echo(f"{own:9.2f} ms  {name}")


if __name__ == "__main__":
    run_command(main)
