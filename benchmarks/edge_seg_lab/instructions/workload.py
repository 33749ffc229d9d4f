"""The counted work: one film through one model, repeatedly, on one thread. Runs inside the emulator."""

from __future__ import annotations

import gc
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from edge_seg import Segmenter, segmenter

from edge_seg_lab.instructions.counter import read_counter

_PER_SECOND = 1_000_000
"""Instructions per second of the clock that replaces the segmenter's."""


def main(counter: str, model: str, film: str, masks: str, warm_up: str, repeats: str) -> None:
    """Print the counts as a line of JSON.

    Args:
        counter: the emulator's counter file.
        model: path of a model file.
        film: `.npy` of its pixels.
        masks: `.npz` to write the masks to, to check that the model did its work.
        warm_up: films before counting starts.
        repeats: films to count.
    """
    count = read_counter(Path(counter))
    cv2.setNumThreads(1)
    # The segmenter times its own stages. With this clock it counts instructions instead, per stage of
    # `Segmentation.timings_ms`; the work itself is the same as on a device.
    segmenter.time = SimpleNamespace(perf_counter=lambda: count() / _PER_SECOND)  # type: ignore[assignment]
    subject, pixels = Segmenter.load(model, threads=1, engine="litert"), np.load(film)
    films = []
    # From here on the garbage collector runs at the same moments in every process.
    gc.collect()
    gc.freeze()
    for turn in range(int(warm_up) + int(repeats)):
        before = count()
        result = subject(pixels)
        after = count()
        stages = {stage: round(ms * _PER_SECOND / 1000) for stage, ms in result.timings_ms.items() if stage != "decode"}
        if turn >= int(warm_up):
            films.append({**stages, "film": after - before})
    np.savez(masks, allow_pickle=False, **result.masks)
    packages = ("numpy", "opencv-python-headless", "ai-edge-litert")
    versions = {"python": platform.python_version(), **{name: version(name) for name in packages}}
    print(json.dumps({"versions": versions, "films": films}))


if __name__ == "__main__":
    main(*sys.argv[1:])
