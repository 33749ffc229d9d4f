"""Segments films as a program of its own, a JSON line for each: a film that ends this process ends nothing else.

It says `ready` once it has segmented something, or why it cannot. See `guard`, which starts it.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

_MARGIN_S = 30
"""Seconds after which a film ends the process by itself, later than the guard would: the guard may be gone."""


def main() -> None:
    """Serve until standard input ends."""
    # What native libraries print must not come in between.
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
    """A segmenter that has been seen to work."""
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
    """A film's record as JSON has it, and its masks as run lengths (uint32, base64); of a failed one none.

    Args:
        segmenter: a `Segmenter`.
        source: path or URL.
        size, modified_ns: what the film's file had when it was planned.
        file: where its bytes lie, if they were fetched.
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
    # Nothing was outlined on a film that the gate has rejected.
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

    if file is not None:
        return film_in(Path(file).read_bytes(), Path(source))
    if "://" in source:
        from edge_seg.archive.store import read_bytes

        return film_in(read_bytes(source, size, modified_ns), Path(source))
    from edge_seg.archive.unchanged import check_unchanged

    state = file_state(Path(source))
    if state is not None:
        check_unchanged(source, (size, modified_ns), state[1:])
    return read_film(source)


def _send(out: BinaryIO, reply: dict[str, Any]) -> None:
    out.write(json.dumps(reply).encode() + b"\n")
    out.flush()


if __name__ == "__main__":
    main()
