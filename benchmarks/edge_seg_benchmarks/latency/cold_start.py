"""What a start costs: from the interpreter's start-up to the first mask, and the memory of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from edge_seg_benchmarks.latency.stages import FILM_SIDE, write_film

# ru_maxrss would count the parent too: it survives exec. VmHWM is this process's own.
_SCRIPT = """
import json, sys
def memory(what):
    return int(next(l for l in open('/proc/self/status') if l.startswith(what)).split()[1]) * 1024
from edge_seg import Segmenter
from edge_seg.sources import read_film
film = read_film(sys.argv[3])
before = memory("VmRSS")
segmenter = Segmenter.load(sys.argv[1], threads=int(sys.argv[2]))
segmenter.runtime.run(segmenter.prepare(film)[0])
model = memory("VmRSS") - before
segmenter(film)
print(json.dumps({"peak_rss_bytes": memory("VmHWM"), "model_bytes": model}))
"""


def measure_cold_start(model: str, threads: int, runs: int = 3) -> dict[str, float]:
    """Medians over processes of their own, with a warm file cache.

    Args:
        model: shipped name or file.
        threads: for inference.
        runs: processes.

    Returns:
        `seconds` from start-up to the end of the first film, `peak_rss_bytes` of the process, and `model_bytes`, by
        which loading and running the network made it grow.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = write_film(Path(folder), FILM_SIDE)
        command = [sys.executable, "-c", _SCRIPT, model, str(threads), str(path)]
        found = []
        for _ in range(runs):
            start = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.perf_counter() - start
            found.append({"seconds": seconds, **json.loads(done.stdout.splitlines()[-1])})
    return {name: float(np.median([entry[name] for entry in found])) for name in found[0]}
