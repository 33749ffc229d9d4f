"""Films per second of `edge-seg run` on a folder, and the latency of a single film, for several checkouts in turn.

`python -m edge_seg_lab.overlap BEFORE AFTER` gives each checkout the same synthetic films, a share in every round, so
that drift of the machine affects all alike. Each checkout keeps one process for all rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import click
import cv2
import numpy as np
from edge_seg.cli.main import run_command
from edge_seg.errors import InputError
from edge_seg.phantom import phantom

_DISTINCT = 20
"""Films that are drawn; the others are copies under other names, since drawing takes longer than reading."""

_SINGLE = 10
"""Films per round that are segmented one by one."""

_ROOTS = ("edge", "train", "quantize", "benchmarks")
_WORKER = Path(__file__).with_name("overlap_worker.py")


@dataclass
class Rates:
    """Measurements of a checkout: a value for each round, or for each film segmented alone.

    Attributes:
        films_per_second: of `run` on many films, from reading the first to the last record on disk.
        cpu_ms_per_film: of the same runs, over all threads.
        single_ms: per stage, and `end_to_end` from the file to the record on disk.
    """

    films_per_second: list[float] = field(default_factory=list)
    cpu_ms_per_film: list[float] = field(default_factory=list)
    single_ms: dict[str, list[float]] = field(default_factory=dict)

    def summary(self) -> dict[str, Any]:
        """The best and the median of each."""
        return {
            "films_per_second": {"most": max(self.films_per_second), "median": float(np.median(self.films_per_second))},
            "cpu_ms_per_film": _least_and_median(self.cpu_ms_per_film),
            "single_ms": {stage: _least_and_median(values) for stage, values in self.single_ms.items()},
        }


class Worker:
    """A process that segments films with the code of a checkout.

    Raises:
        InputError: the process ended early.
    """

    def __init__(self, checkout: Path, model: str) -> None:
        self._checkout = checkout
        roots = os.pathsep.join(str(checkout.resolve() / root) for root in _ROOTS)
        # Python would look beside the script first, and find this checkout's modules.
        environment = {**os.environ, "PYTHONPATH": roots, "PYTHONSAFEPATH": "1"}
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), model],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def do(self, work: str, films: Sequence[Path], out: Path) -> dict[str, Any]:
        """Segment films together (`run`) or one by one (`single`), and return the measurements."""
        pipe_in, pipe_out = self._process.stdin, self._process.stdout
        assert pipe_in is not None
        assert pipe_out is not None
        pipe_in.write(json.dumps({"work": work, "films": [str(film) for film in films], "out": str(out)}) + "\n")
        pipe_in.flush()
        if not (line := pipe_out.readline()):
            raise InputError(f"{self._checkout}: the process that measures it ended: see above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


def measure_overlap(
    checkouts: Sequence[Path], films: int, rounds: int, *, model: str = "lungs", side: int = 1024
) -> dict[str, Rates]:
    """Rates of each checkout, by its path.

    Args:
        checkouts: roots of working trees.
        films: number of films for each checkout.
        rounds: parts that the films are divided into.
        model: shipped name or file.
        side: of the square 8-bit PNG films, in pixels.
    """
    found = {str(checkout): Rates() for checkout in checkouts}
    with tempfile.TemporaryDirectory() as made, ExitStack() as open_workers:
        folder = Path(made)
        paths = _write_films(folder, films, side)
        workers = [open_workers.enter_context(Worker(checkout, model)) for checkout in checkouts]
        for worker in workers:
            # The first films of a process also pay for lazy imports.
            worker.do("run", paths[:2], folder / "warm")
            shutil.rmtree(folder / "warm")
        for number, part in enumerate(np.array_split(np.arange(films), rounds)):
            chosen = [paths[i] for i in part]
            turns = list(zip(workers, found.values(), strict=True))
            for worker, rates in turns if number % 2 else reversed(turns):
                _take_turn(worker, rates, chosen, folder)
    return found


def _take_turn(worker: Worker, rates: Rates, films: Sequence[Path], folder: Path) -> None:
    together = worker.do("run", films, folder / "out")
    rates.films_per_second.append(len(films) / together["seconds"])
    rates.cpu_ms_per_film.append(1000 * together["cpu_seconds"] / len(films))
    shutil.rmtree(folder / "out")
    for stages in worker.do("single", films[:_SINGLE], folder / "out")["films"]:
        for stage, spent in stages.items():
            rates.single_ms.setdefault(stage, []).append(spent)
    shutil.rmtree(folder / "out")


def _least_and_median(values: Sequence[float]) -> dict[str, float]:
    return {"least": round(min(values), 2), "median": round(float(np.median(values)), 2)}


def _write_films(folder: Path, films: int, side: int) -> list[Path]:
    drawn = []
    for seed in range(min(films, _DISTINCT)):
        drawn.append(cv2.imencode(".png", phantom(side, side, seed=seed).film.pixels)[1].tobytes())
    paths = [folder / f"film-{number:04d}.png" for number in range(films)]
    for number, path in enumerate(paths):
        path.write_bytes(drawn[number % len(drawn)])
    return paths


@click.command(epilog="Example: python -m edge_seg_lab.overlap ../before . --films 500")
@click.argument("checkouts", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--model", default="lungs", show_default=True)
@click.option("--films", type=click.IntRange(2), default=500, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=10, show_default=True)
@click.option("--side", type=click.IntRange(64), default=1024, show_default=True, help="Of the films, in pixels.")
@click.option("--samples", is_flag=True, help="Print every sample too.")
def main(checkouts: tuple[Path, ...], model: str, films: int, rounds: int, side: int, samples: bool) -> None:
    """Print films a second, processor time a film and the stages of a single film, of each checkout (by default .)."""
    found = measure_overlap(checkouts or (Path(),), films, min(rounds, films), model=model, side=side)
    shown: dict[str, Any] = {name: rates.summary() for name, rates in found.items()}
    if samples:
        shown = {name: {**shown[name], "samples": asdict(rates)} for name, rates in found.items()}
    click.echo(json.dumps({"films": films, "side": side, "model": model, "checkouts": shown}, indent=1))


if __name__ == "__main__":
    run_command(main)
