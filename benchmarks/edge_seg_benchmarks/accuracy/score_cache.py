"""Scores as they are found, on disk: a benchmark that was stopped goes on where it was."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class Journal:
    """What was worked out so far, by key; each entry is flushed when it is made.

    Args:
        path: of the file; read if it is there. A last line that was cut off is dropped.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "scores.jsonl"
    >>> Journal(path).put(["lungs", "film-1"], [0.9])
    >>> Journal(path).get(["lungs", "film-1"])
    [0.9]
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Any] = {}
        if path.exists():
            data = path.read_bytes()
            whole = data[: data.rfind(b"\n") + 1]
            self._known = {json.dumps(key): value for key, value in map(json.loads, whole.splitlines())}
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: list[Any]) -> Any:
        """What was put there, or `None`."""
        return self._known.get(json.dumps(key))

    def put(self, key: list[Any], value: Any) -> None:
        """Keep a value (plain data)."""
        self._known[json.dumps(key)] = value
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps([key, value]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def done(self) -> None:
        """Remove it: the report holds everything now."""
        self._known = {}
        self.path.unlink(missing_ok=True)
