"""Measures for `overlap` in a process with the checkout's `edge_seg`: one line of JSON in, one line of JSON out."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from edge_seg import Segmenter
from edge_seg.outputs.folder import OutputFolder
from edge_seg.quiet import native_libraries_quiet
from edge_seg.sources import open_source, read_film
from edge_seg.station.session import run_session


def together(segmenter: Segmenter, films: list[str], out: Path) -> dict[str, float]:
    """Wall and processor seconds of `edge-seg run` on films, including its counts of attempts."""
    start, cpu = time.perf_counter(), time.process_time()
    summary = run_session(open_source(films, state=out), segmenter, OutputFolder(out))
    spent = {"seconds": time.perf_counter() - start, "cpu_seconds": time.process_time() - cpu}
    if summary.count - summary.failed != len(films):
        raise RuntimeError(f"{summary.done} of {len(films)} films done: {summary.problems}")
    return spent


def one_by_one(segmenter: Segmenter, films: list[str], out: Path) -> list[dict[str, float]]:
    """Milliseconds of each film, by stage and from the file to the record on disk."""
    output = OutputFolder(out)
    found = []
    for film in films:
        start = time.perf_counter()
        record = output.write(segmenter(read_film(film)))
        spent = (time.perf_counter() - start) * 1000
        found.append({**record.timings_ms, "end_to_end": round(spent, 3)})
    output.close()
    return found


def main(model: str) -> None:
    """Answer requests until the input ends."""
    with native_libraries_quiet():
        segmenter = Segmenter.load(model)
    for line in sys.stdin:
        asked = json.loads(line)
        films, out = asked["films"], Path(asked["out"])
        answer: dict[str, Any]
        if asked["work"] == "run":
            answer = dict(together(segmenter, films, out))
        else:
            answer = {"films": one_by_one(segmenter, films, out)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
