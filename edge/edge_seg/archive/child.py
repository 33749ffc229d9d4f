"""Segments films in a process of its own, one JSON line each: a film that crashes it crashes nothing else.

It reports `ready` once the network has run, or why it cannot. See `guard`, which starts it.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

_MARGIN_S = 30
"""Seconds past the guard's time limit after which the process ends itself: the guard may be gone."""


def main() -> None:
    """Serve until standard input ends."""
    # What native libraries print must not mix with the replies.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    settings = json.loads(sys.stdin.buffer.readline())
    try:
        segmenter = _ready(settings)
    except BaseException as error:
        from edge_seg.errors import DeviceError, first_line

        _send(out, {"error": first_line(error), "exit_code": getattr(error, "exit_code", DeviceError.exit_code)})
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _send(out, {"ready": True})
    for line in sys.stdin.buffer:
        signal.alarm(int(settings["timeout_s"]) + _MARGIN_S)
        _send(out, segmented(segmenter, **json.loads(line)))
        signal.alarm(0)


def _ready(settings: dict[str, Any]) -> Any:
    """A segmenter whose network has run once."""
    import numpy as np

    from edge_seg.segmenter import Segmenter

    segmenter = Segmenter.load(
        settings["model"], threads=1, lung=settings["lung"], gate=settings["gate"], delegate="cpu"
    )
    runtime = segmenter.runtime
    runtime.run(np.zeros(runtime.input.shape, runtime.input.dtype))
    return segmenter


def segmented(
    segmenter: Any, source: str, size: int | None, modified_ns: int | None, file: str | None = None
) -> dict[str, Any]:
    """A film's record as JSON, and its masks as run lengths (uint32, base64); none if it failed.

    Args:
        segmenter: a `Segmenter`.
        source: path or URL.
        size, modified_ns: of the film's file when it was planned.
        file: where its bytes are, if they were fetched.
    """
    from edge_seg.boundary import film_boundary
    from edge_seg.film import Failure
    from edge_seg.record import record_of_failure

    name = source.rpartition("/")[2]
    row = film_boundary(name, source, partial(_row, segmenter, source, size, modified_ns, file))
    return {**record_of_failure(row).to_json(), "masks": {}} if isinstance(row, Failure) else row


def _row(segmenter: Any, source: str, size: int | None, modified_ns: int | None, file: str | None) -> dict[str, Any]:
    from edge_seg.archive.masks import encode_mask
    from edge_seg.record import record_of

    found = segmenter(_film(source, size, modified_ns, file))
    row = record_of(found, "", [], [], found.timings_ms).to_json()
    # A film that the gate rejected has no outlines.
    shown = {} if row["quality"]["verdict"] == "reject" else found.masks
    row["masks"] = {
        structure: {
            "height": mask.shape[0],
            "width": mask.shape[1],
            "runs": base64.b64encode(encode_mask(mask).tobytes()).decode(),
        }
        for structure, mask in shown.items()
    }
    return row


def _film(source: str, size: int | None, modified_ns: int | None, file: str | None) -> Any:
    from edge_seg.sources.files import file_state, film_in, read_film

    if file is not None or "://" in source:
        # A path has one slash where a URL has two.
        return replace(film_in(_fetched(source, size, modified_ns, file), Path(source)), source=source)
    from edge_seg.archive.unchanged import check_unchanged

    state = file_state(Path(source))
    if state is not None:
        check_unchanged(source, (size, modified_ns), state[1:])
    return read_film(source)


def _fetched(source: str, size: int | None, modified_ns: int | None, file: str | None) -> bytes:
    if file is not None:
        return Path(file).read_bytes()
    from edge_seg.archive.store import read_bytes

    return read_bytes(source, size, modified_ns)


def _send(out: BinaryIO, reply: dict[str, Any]) -> None:
    out.write(json.dumps(reply).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
