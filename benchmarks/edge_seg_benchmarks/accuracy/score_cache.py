"""Scores on disk as they are computed, so that a stopped benchmark resumes where it left off."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_seg import Segmenter
from edge_seg.version import __version__
from edge_seg_data import Dataset, LabelledFilm


class ScoreCache:
    """Values by key in a file of JSON lines; each entry is flushed to disk as it is added.

    Attributes:
        damaged: how many lines of the file were passed over because they cannot be read.

    Args:
        path: of the file; read if it exists. A truncated last line is dropped.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.jsonl"
    >>> ScoreCache(path).put(["lungs", "film-1"], [0.9])
    >>> ScoreCache(path).get(["lungs", "film-1"])
    [0.9]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0
        self._known: dict[str, Any] = {}
        if path.exists():
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            self._read(whole.splitlines())
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))

    def __len__(self) -> int:
        return len(self._known)

    def _read(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            try:
                key, value = json.loads(line)
            except (ValueError, TypeError, RecursionError):
                self.damaged += 1
            else:
                self._known[json.dumps(key)] = value

    def get(self, key: list[Any]) -> Any:
        """The value of a key, or `None`."""
        return self._known.get(json.dumps(key))

    def put(self, key: list[Any], value: Any) -> None:
        """Add a value (plain data)."""
        self._known[json.dumps(key)] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Remove the file once the report holds every score."""
        self._known = {}
        self.path.unlink(missing_ok=True)


def cache_key(segmenter: Segmenter, dataset: Dataset, film: LabelledFilm, *more: str) -> list[str]:
    """What the scores of a film depend on: the model with its manifest, the engine, this code, and the film's file.

    Args:
        segmenter: that gave the scores.
        dataset: of the film.
        film: its name alone does not identify it, since folders may be called alike and files may change.
        more: what else was done to the film.
    """
    # The checksum of the flatbuffer alone misses thresholds, structures and the trust calibration.
    manifest = json.dumps(segmenter.manifest.to_json(), sort_keys=True)
    model = [hashlib.sha256(manifest.encode()).hexdigest(), segmenter.runtime.name, __version__]
    return [*model, dataset.name, dataset.layout, film.split, film.name, film.source, film.content, *more]
