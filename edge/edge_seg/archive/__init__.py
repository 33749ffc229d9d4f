"""Archives: masks and records of millions of films as Parquet files, made by one machine or many. Research use only.

Needs `pip install '.[archive]'`. An archive is a folder, on a disk or in an object store:

    archive.json                     how it is made: model, lung, gate, version; a run with anything else is refused
    model.tflite                     the model itself
    manifest/part-00000000.parquet   the films: source, size and time of the last change, one row group per shard
    records/part-00000000.parquet    the records and masks of shard 0: complete or absent

A shard is done when its part exists; shards in the manifest without a part are still to do.

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

# Loaded on first use: the process that segments films needs no Arrow.
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
