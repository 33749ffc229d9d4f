"""Archives: masks and records of millions of films as Parquet files, by one machine or many. Research use only.

Needs `pip install '.[archive]'`. An archive is a folder, on a disk or in an object store:

    archive.json                     what makes it: model, lung, gate, version; a run with anything else is refused
    model.tflite                     the model itself
    manifest/part-00000000.parquet   the films: source, size and time of the last change, a row group for each shard
    records/part-00000000.parquet    the records and masks of shard 0: whole, or not there

A shard is done when its part is there; what is to do is what the manifest has and the parts do not.

>>> import numpy as np
>>> from edge_seg.archive import decode_mask
>>> decode_mask({"height": 2, "width": 3, "runs": [2, 3, 1]}).astype(int)
array([[0, 1, 1],
       [0, 1, 0]])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from edge_seg.archive.masks import decode_mask, encode_mask

if TYPE_CHECKING:
    from edge_seg.archive.contents import Archive, Settings
    from edge_seg.archive.engines import run
    from edge_seg.archive.exports import export
    from edge_seg.archive.planning import plan
    from edge_seg.archive.state import Status, status

# Loaded when first asked for: the process that segments films needs no Arrow.
_HOMES = {
    "Archive": "contents",
    "Settings": "contents",
    "Status": "state",
    "export": "exports",
    "plan": "planning",
    "run": "engines",
    "status": "state",
}

__all__ = ["Archive", "Settings", "Status", "decode_mask", "encode_mask", "export", "plan", "run", "status"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"edge_seg.archive.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'edge_seg.archive' has no attribute {name!r}")
