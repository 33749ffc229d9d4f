"""How reliable `benchmark compare` is on this machine: runs of one model, some with a planted slowdown.

`python -m edge_seg_lab.compare_trials` starts a process for each run and counts the verdicts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import click
import numpy as np
from edge_seg import Segmenter
from edge_seg.cli.main import run_command
from edge_seg.runtime import Runtime
from edge_seg.typed_json import parse_object, read_fields
from edge_seg_benchmarks.compare.reports import TimeComparison, compare_times, machine_ratio
from edge_seg_benchmarks.latency.reference_timing import ReferenceTimes
from edge_seg_benchmarks.latency.stages import ALONE, measure_latency


class Slowed:
    """A runtime slowed by a factor, by busy waiting.

    Args:
        runtime: runs the network.
        factor: at least 1.
    """

    def __init__(self, runtime: Runtime, factor: float) -> None:
        self._runtime, self._factor = runtime, factor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def run(self, tensor: np.ndarray) -> np.ndarray:
        """See `Runtime.run`."""
        start = time.perf_counter()
        output = self._runtime.run(tensor)
        end = start + (time.perf_counter() - start) * self._factor
        while time.perf_counter() < end:
            pass
        return output


@dataclass(frozen=True)
class Run:
    """Times of inference alone, and the reference timing of the same rounds."""

    samples_ms: tuple[float, ...]
    reference: ReferenceTimes


def time_once(model: str, rounds: int, factor: float) -> Run:
    """Time a model.

    Args:
        model: shipped name or file.
        rounds: rounds of the measurement.
        factor: of the planted slowdown; 1 for none.
    """
    segmenter = Segmenter.load(model, threads=1, gate=False)
    segmenter.runtime = Slowed(segmenter.runtime, factor)
    _, (timing,), reference = measure_latency([], [segmenter], rounds)
    return Run(timing.frozen()[ALONE], reference)


@click.command()
@click.argument("model", default="lungs")
@click.option("--tries", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(2), default=30, show_default=True, help="As --repeats of the benchmark.")
@click.option("--slower", type=click.FloatRange(1), default=1.1, show_default=True, help="The planted slowdown.")
@click.option("--once", type=float, hidden=True)
def main(model: str, tries: int, rounds: int, slower: float, once: float | None) -> None:
    """Compare each run of MODEL with the next one, and with a slowed one between them."""
    if once is not None:
        click.echo(json.dumps(asdict(time_once(model, rounds, once))))
        return
    found: dict[str, list[TimeComparison]] = {"same": [], "slowed": []}
    base = _run(model, rounds, 1)
    for number in range(tries):
        slowed, again = _run(model, rounds, slower), _run(model, rounds, 1)
        for kind, run in (("same", again), ("slowed", slowed)):
            found[kind].append(
                compare_times(base.samples_ms, run.samples_ms, machine_ratio(base.reference, run.reference))
            )
        base = again
        told = (f"{kind} {rows[-1].ratio.over_machine:.3f} ({rows[-1].verdict})" for kind, rows in found.items())
        click.echo(f"{number + 1}: {', '.join(told)}", err=True)
    verdicts = {kind: Counter(row.verdict for row in rows) for kind, rows in found.items()}
    ratios = {
        "least": {kind: _spread([row.ratio.least for row in rows]) for kind, rows in found.items()},
        "over_machine": {kind: _spread([row.ratio.over_machine for row in rows]) for kind, rows in found.items()},
    }
    click.echo(json.dumps({"model": model, "tries": tries, "rounds": rounds, "slower": slower,
                           "verdicts": verdicts, "ratios": ratios}, indent=1))  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    return dict(zip(("least", "median", "most"), np.percentile(values, (0, 50, 100)).round(3).tolist(), strict=True))


def _run(model: str, rounds: int, factor: float) -> Run:
    words = [sys.executable, "-m", "edge_seg_lab.compare_trials", model, "--rounds", str(rounds)]
    done = subprocess.run([*words, "--once", str(factor)], capture_output=True, text=True, check=True)
    return read_fields(Run, parse_object(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    run_command(main)
