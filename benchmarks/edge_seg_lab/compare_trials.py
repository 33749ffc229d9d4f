"""How far `benchmark compare` can be believed on this machine: runs of one model, some with a planted slowdown.

`python -m edge_seg_lab.compare_trials` runs each in a process of its own and says how often which verdict was
given.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import click
import numpy as np
from edge_seg import Segmenter
from edge_seg.cli.main import run_command
from edge_seg.runtime import Runtime
from edge_seg_benchmarks.compare.reports import compare_reports
from edge_seg_benchmarks.latency.stages import measure_latency
from edge_seg_benchmarks.machine import machine_facts


class Slowed:
    """A runtime that takes so many times as long, by waiting at work.

    Args:
        runtime: what really runs.
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


def time_once(model: str, rounds: int, factor: float) -> dict[str, Any]:
    """As much of a report as a comparison of times needs, of inference alone.

    Args:
        model: shipped name or file.
        rounds: of the measurement.
        factor: of the planted slowdown; 1 is none.
    """
    segmenter = Segmenter.load(model, threads=1, gate=False)
    name = segmenter.runtime.name
    segmenter.runtime = Slowed(segmenter.runtime, factor)
    _, (timing,), yardstick = measure_latency([], [segmenter], rounds)
    entry = {
        "label": model, "engine": name.split()[0], "runtime": name, "threads": 1, "samples_ms": timing.samples_ms,
        "films": [], "file_bytes": 0, "cold_start": None,
    }  # fmt: skip
    return {"machine": machine_facts(), "models": [entry], "runs": [], "yardstick": yardstick.to_json()}


@click.command()
@click.argument("model", default="lungs")
@click.option("--tries", type=click.IntRange(1), default=20, show_default=True)
@click.option("--rounds", type=click.IntRange(2), default=30, show_default=True, help="As --repeats of the benchmark.")
@click.option("--slower", type=click.FloatRange(1), default=1.1, show_default=True, help="The planted slowdown.")
@click.option("--once", type=float, hidden=True)
def main(model: str, tries: int, rounds: int, slower: float, once: float | None) -> None:
    """Compare runs of MODEL with the next one, and with a slowed one between them."""
    if once is not None:
        click.echo(json.dumps(time_once(model, rounds, once)))
        return
    found: dict[str, list[dict[str, Any]]] = {"same": [], "slowed": []}
    base = _run(model, rounds, 1)
    for number in range(tries):
        slowed, again = _run(model, rounds, slower), _run(model, rounds, 1)
        for kind, run in (("same", again), ("slowed", slowed)):
            found[kind] += compare_reports(base, run)["latency"]
        base = again
        told = (
            f"{kind} {rows[-1]['ratio']['over_machine']:.3f} ({rows[-1]['verdict']})" for kind, rows in found.items()
        )
        click.echo(f"{number + 1}: {', '.join(told)}", err=True)
    verdicts = {kind: Counter(row["verdict"] for row in rows) for kind, rows in found.items()}
    ratios = {
        name: {kind: _spread([row["ratio"][name] for row in rows]) for kind, rows in found.items()}
        for name in ("least", "over_machine")
    }
    click.echo(json.dumps({"model": model, "tries": tries, "rounds": rounds, "slower": slower,
                           "verdicts": verdicts, "ratios": ratios}, indent=1))  # fmt: skip


def _spread(values: list[float]) -> dict[str, float]:
    return dict(zip(("least", "median", "most"), np.percentile(values, (0, 50, 100)).round(3).tolist(), strict=True))


def _run(model: str, rounds: int, factor: float) -> dict[str, Any]:
    words = [sys.executable, "-m", "edge_seg_lab.compare_trials", model, "--rounds", str(rounds)]
    done = subprocess.run([*words, "--once", str(factor)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    run_command(main)
