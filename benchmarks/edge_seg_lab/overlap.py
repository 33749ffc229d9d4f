"""Films a second of a run, in which decoding, inference and writing overlap, against the same stages in sequence.

`python -m edge_seg_lab.overlap` measures both on synthetic films, in turns, so that drift affects both alike.
"""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import cv2
import numpy as np
from edge_seg import Segmenter
from edge_seg.cli.main import run_command
from edge_seg.outputs.folder import OutputFolder
from edge_seg.phantom import phantom
from edge_seg.quiet import native_libraries_quiet
from edge_seg.sources import open_source, read_film
from edge_seg.station.session import run_session

_DISTINCT = 20
"""Films that are painted; the others are copies under other names, since painting takes longer than reading."""


@dataclass(frozen=True)
class Overlap:
    """Films a second of both ways.

    Attributes:
        model, films, threads: what was measured.
        films_per_second: of each way, the median over rounds.
        rounds: of each way, films a second in each round.
        ratio: the median of the rounds' ratios, overlapped to in sequence.
    """

    model: str
    films: int
    threads: int
    films_per_second: dict[str, float]
    rounds: dict[str, list[float]]
    ratio: float


def measure_overlap(model: str, films: int, rounds: int, side: int = 1024, threads: int | None = None) -> Overlap:
    """Films a second of `run`, and of the same stages in sequence.

    Args:
        model: shipped name or file.
        films: for each way.
        rounds: parts that the films are divided into, each processed both ways.
        side: of the square 8-bit PNG films, in pixels.
        threads: for inference; as `edge-seg run` takes them.
    """
    with native_libraries_quiet():
        segmenter = Segmenter.load(model, threads=threads)
    rates: dict[str, list[float]] = {"overlapped": [], "in sequence": []}
    with tempfile.TemporaryDirectory() as folder:
        _write_films(Path(folder), films, side)
        paths = sorted(Path(folder).glob("*.png"))
        parts = [list(part) for part in np.array_split(np.arange(films), rounds)]
        # The first film of a process also pays for lazy imports.
        segmenter(read_film(paths[0]))
        for number, part in enumerate(parts):
            chosen = [paths[i] for i in part]
            ways = [("overlapped", _overlapped), ("in sequence", _in_sequence)]
            for name, way in ways if number % 2 else reversed(ways):
                start = time.perf_counter()
                way(chosen, segmenter, Path(folder) / f"{name}-{number}")
                rates[name].append(len(chosen) / (time.perf_counter() - start))
    ratios = np.array(rates["overlapped"]) / np.array(rates["in sequence"])
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    return Overlap(model, films, segmenter.runtime.threads, medians, rates, float(np.median(ratios)))


def _overlapped(paths: list[Path], segmenter: Segmenter, out: Path) -> None:
    summary = run_session(open_source([str(path) for path in paths]), segmenter, OutputFolder(out))
    if summary.done != len(paths):
        raise RuntimeError(f"{summary.done} of {len(paths)} films done: {summary.problems}")


def _in_sequence(paths: list[Path], segmenter: Segmenter, out: Path) -> None:
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
    """Print films a second, overlapped and in sequence, and their ratio."""
    click.echo(json.dumps(asdict(measure_overlap(model, films, rounds, threads=threads)), indent=1))


if __name__ == "__main__":
    run_command(main)
