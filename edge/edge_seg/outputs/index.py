"""Index of a journal: finds the last line of a film or a stem without reading the journal again.

Only a long journal is worth an index file. The file is in the folder `.edge-seg` beside the journal and covers its
beginning; lines after that are read at the start. If anything is wrong with it, it is rebuilt from the journal.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_seg.errors import OutputError
from edge_seg.storage import write_atomically

WORTH_KEEPING = 5_000
"""New journal lines before the index is written again."""

_MARK = 4096
"""Bytes at both ends of the covered lines that identify the journal that was indexed."""


class Index:
    """Byte offsets by key, the last one for each key.

    Args:
        path: of the index file; read if it exists and fits the journal.
        journal: path of the journal.

    Attributes:
        covered: bytes at the beginning of the journal whose lines are indexed.
    """

    def __init__(self, path: Path, journal: Path) -> None:
        self._path, self._journal = path, journal
        self._keys, self._offsets = np.empty(0, np.uint64), np.empty(0, np.uint64)
        self._fresh: dict[int, int] = {}
        self.covered = self._kept = 0
        self._load()

    def get(self, key: bytes) -> int | None:
        """Offset of the last line put under a key, or after a hash collision under another; `None` is certain."""
        number = _number(key)
        if number in self._fresh:
            return self._fresh[number]
        at = int(np.searchsorted(self._keys, np.uint64(number)))
        found = at < len(self._keys) and int(self._keys[at]) == number
        return int(self._offsets[at]) if found else None

    def put(self, key: bytes, offset: int) -> None:
        """Store the offset of a line under a key."""
        self._fresh[_number(key)] = offset

    def put_all(self, entries: Iterable[tuple[bytes, int]]) -> None:
        """Store the offsets of many lines, in ascending order, using little memory."""
        self._merge()
        numbered = ((_number(key), offset) for key, offset in entries)
        found = np.fromiter(numbered, np.dtype([("key", np.uint64), ("offset", np.uint64)]))
        self._merge_in(found["key"], found["offset"])

    def clear(self) -> None:
        """Forget everything: the journal is a different one."""
        self._keys, self._offsets = np.empty(0, np.uint64), np.empty(0, np.uint64)
        self._fresh = {}
        self.covered = self._kept = 0

    def shift(self, cut: int) -> None:
        """Adjust to a journal whose first `cut` bytes were removed."""
        self._merge()
        kept = self._offsets >= np.uint64(cut)
        self._keys, self._offsets = self._keys[kept], self._offsets[kept] - np.uint64(cut)
        self.covered = max(0, self.covered - cut)
        self._kept = 0

    @property
    def is_worth_saving(self) -> bool:
        """Whether so many lines are new that the next start would have to read a lot."""
        return len(self._fresh) >= WORTH_KEEPING

    def save(self) -> None:
        """Write the file if the index is large enough to be worth it; a failed write costs only time."""
        if self._kept == self.covered:
            return
        self._merge()
        if len(self._keys) < WORTH_KEEPING:
            return
        payload = self._keys.tobytes() + self._offsets.tobytes()
        head = {"covered": self.covered, "journal": mark_of(self._journal, self.covered), "crc32": zlib.crc32(payload)}
        try:
            self._path.parent.mkdir(exist_ok=True)
            write_atomically(self._path, json.dumps(head).encode() + b"\n", payload)
        except (OSError, OutputError):
            return
        self._kept = self.covered

    def _merge(self) -> None:
        if self._fresh:
            fresh = np.fromiter(self._fresh.keys(), np.uint64, len(self._fresh))
            self._merge_in(fresh, np.fromiter(self._fresh.values(), np.uint64, len(self._fresh)))
            self._fresh = {}

    def _merge_in(self, keys: NDArray[np.uint64], offsets: NDArray[np.uint64]) -> None:
        keys, offsets = np.concatenate([self._keys, keys]), np.concatenate([self._offsets, offsets])
        # The last of equal keys counts.
        order = np.argsort(keys, kind="stable")
        keys, offsets = keys[order], offsets[order]
        last = np.append(keys[1:] != keys[:-1], True)[: len(keys)]
        self._keys, self._offsets = keys[last], offsets[last]

    def _load(self) -> None:
        try:
            line, _, payload = self._path.read_bytes().partition(b"\n")
            head = json.loads(line)
            if head["crc32"] != zlib.crc32(payload) or head["journal"] != mark_of(self._journal, head["covered"]):
                return
            both = np.frombuffer(payload, np.uint64).reshape(2, -1)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return
        self._keys, self._offsets = both
        self.covered = self._kept = head["covered"]


def mark_of(journal: Path, covered: int) -> str:
    """Fingerprint of a journal's first `covered` bytes: a hash of the first and the last few of them.

    Raises:
        OSError: it cannot be read.
    """
    with journal.open("rb") as file:
        digest = hashlib.sha256(file.read(min(_MARK, covered)))
        file.seek(max(0, covered - _MARK))
        digest.update(file.read(min(_MARK, covered)))
        return digest.hexdigest()


def _number(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
