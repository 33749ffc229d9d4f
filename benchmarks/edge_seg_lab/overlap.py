"""What overlapping decode, inference and writing brings: films a second of a run, over the same stages in turn.

`python -m edge_seg_lab.overlap` measures it on synthetic films; both ways take turns, so that drift hits both.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.cli.main import run_command
from edge_seg.cli.quiet import native_libraries_quiet
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.sources import open_source, read_film
from edge_seg.station.session import run_session

_DISTINCT = 20
"""So many films are drawn; the others are copies under other names, since drawing takes longer than reading."""


def measure_overlap(
    model: str, films: int, rounds: int, side: int = 1024, threads: int | None = None
) -> dict[str, Any]:
    """Films a second of `run`, and of the same stages one after the other.

    Args:
        model: shipped name or file.
        films: in all, for each way.
        rounds: the films are done in so many parts, each part in both ways.
        side: of the square 8-bit PNG films, in pixels.
        threads: for inference; as `edge-seg run` takes them.

    Returns:
        `films_per_second` of each way, per round and as a median, and `ratio`, the median of the rounds' ratios.
    """
    with native_libraries_quiet():
        segmenter = Segmenter.load(model, threads=threads)
    rates: dict[str, list[float]] = {"overlapped": [], "in turn": []}
    with tempfile.TemporaryDirectory() as folder:
        _write_films(Path(folder), films, side)
        paths = sorted(Path(folder).glob("*.png"))
        parts = [list(part) for part in np.array_split(np.arange(films), rounds)]
        # The first film of a process pays for what is loaded late.
        segmenter(read_film(paths[0]))
        for number, part in enumerate(parts):
            chosen = [paths[i] for i in part]
            ways = [("overlapped", _overlapped), ("in turn", _in_turn)]
            for name, way in ways if number % 2 else reversed(ways):
                start = time.perf_counter()
                way(chosen, segmenter, Path(folder) / f"{name}-{number}")
                rates[name].append(len(chosen) / (time.perf_counter() - start))
    ratios = np.array(rates["overlapped"]) / np.array(rates["in turn"])
    return {
        "model": model,
        "films": films,
        "threads": segmenter.runtime.threads,
        "films_per_second": {name: float(np.median(values)) for name, values in rates.items()},
        "rounds": rates,
        "ratio": float(np.median(ratios)),
    }


def _overlapped(paths: list[Path], segmenter: Segmenter, out: Path) -> None:
    summary = run_session(open_source([str(path) for path in paths]), segmenter, OutputFolder(out))
    if summary.done != len(paths):
        raise RuntimeError(f"{summary.done} of {len(paths)} films done: {summary.problems}")


def _in_turn(paths: list[Path], segmenter: Segmenter, out: Path) -> None:
    output = OutputFolder(out)
    for path in paths:
        output.write(segmenter(read_film(path)))
    output.close()


def _write_films(folder: Path, films: int, side: int) -> None:
    drawn = []
    for seed in range(min(films, _DISTINCT)):
        drawn.append(cv2.imencode(".png", phantom(side, side, seed=seed).film.pixels)[1].tobytes())
    for number in range(films):
        (folder / f"film-{number:04d}.png").write_bytes(drawn[number % len(drawn)])


@click.command()
@click.option("--model", default="lungs", show_default=True)
@click.option("--films", type=click.IntRange(2), default=500, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="For inference.  [default: one per core]")
def main(model: str, films: int, rounds: int, threads: int | None) -> None:
    """Print films a second, overlapped and in turn, and their ratio."""
    click.echo(json.dumps(measure_overlap(model, films, rounds, threads=threads), indent=1))


if __name__ == "__main__":
    run_command(main)
