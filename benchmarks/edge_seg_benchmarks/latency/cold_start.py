"""Cold start: time and memory of a new process up to the end of its first film."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_seg_benchmarks.latency.stages import FILM_SIDE, write_film

# VmHWM is the peak of this process; ru_maxrss survives exec and would count the parent too.
_SCRIPT = """
import json, sys
def memory(what):
    return int(next(l for l in open('/proc/self/status') if l.startswith(what)).split()[1]) * 1024
from edge_seg import Segmenter
from edge_seg.inspection.tensors import find_network
from edge_seg.runtime.edge_tpu import open_runtime
from edge_seg.sources import read_film
film = read_film(sys.argv[3])
before = memory("VmRSS")
model = find_network(sys.argv[1]).drafted()
segmenter = Segmenter(model, open_runtime(model, threads=int(sys.argv[2])))
segmenter.runtime.run(segmenter.prepare(film)[0])
model = memory("VmRSS") - before
segmenter(film)
print(json.dumps({"peak_rss_bytes": memory("VmHWM"), "model_bytes": model}))
"""


@dataclass(frozen=True)
class ColdStart:
    """What a new process needs for its first film.

    Attributes:
        seconds: from start-up to the end of the first film.
        peak_rss_bytes: peak memory of the process.
        model_bytes: memory that loading and running the network adds.
    """

    seconds: float
    peak_rss_bytes: float
    model_bytes: float


def measure_cold_start(model: str, threads: int, runs: int = 3) -> ColdStart:
    """Start new processes, with a warm file cache.

    Args:
        model: shipped name or file.
        threads: for inference.
        runs: processes; the medians over them are returned.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        command = [sys.executable, "-c", _SCRIPT, model, str(threads), str(path)]
        seconds, told = [], []
        for _ in range(runs):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds.append(time.perf_counter() - start)
            told.append(json.loads(done.stdout.splitlines()[-1]))
    peak, model_bytes = (float(np.median([one[name] for one in told])) for name in ("peak_rss_bytes", "model_bytes"))
    return ColdStart(float(np.median(seconds)), peak, model_bytes)
