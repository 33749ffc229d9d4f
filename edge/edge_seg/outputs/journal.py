"""The journal of records: one JSON line per film in `records.jsonl`, appended whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from edge_seg.errors import OutputError
from edge_seg.record import SCHEMA
from edge_seg.storage import flush_folder, write_atomically

RECORDS_NAME = "records.jsonl"
REMOVED_NAME = "removed.jsonl"
"""What is left of the records of results that were removed: that their films are done."""


class Journal:
    """JSON lines of an output folder, appended one whole line at a time.

    Args:
        folder: output folder; must exist.
        name: of the file.

    Raises:
        OutputError: the file cannot be read or repaired.
    """

    def __init__(self, folder: Path, name: str = RECORDS_NAME) -> None:
        self.path = folder / name
        try:
            self._cut_torn_line()
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What stands in the file, oldest first; nothing is kept in memory.

        Raises:
            OutputError: the file cannot be read, or is not ours.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    record = json.loads(line)
                    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
                        raise self._unreadable(f"line {number} is no record of schema {SCHEMA}")
                    yield record
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        except ValueError as error:
            raise self._unreadable(str(error)) from error

    def append(self, record: dict[str, Any]) -> None:
        """Add a line: written in one piece and flushed.

        Raises:
            OutputError: it cannot be written; a half-written line is taken back.
        """
        line = (json.dumps(record) + "\n").encode()
        try:
            fresh = not self.path.exists()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                before = os.fstat(descriptor).st_size
                if os.write(descriptor, line) != len(line):
                    os.ftruncate(descriptor, before)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if fresh:
                flush_folder(self.path.parent)
        except OSError as error:
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror or error}): free space, or choose another --out"
            ) from error

    def cut_head(
        self, is_to_go: Callable[[dict[str, Any]], bool], remove: Callable[[dict[str, Any], bytes], None]
    ) -> int:
        """Take lines off the head of the file, up to the first that is to stay.

        Args:
            is_to_go: whether a record is; asked when the one before it is removed.
            remove: removes what belongs to a record, given that and the lines after it; what it does twice, after a
                power cut, does no harm.

        Returns:
            How many went.

        Raises:
            OutputError: the file cannot be read or written.
        """
        try:
            with self.path.open("rb") as file:
                head = file.readline()
                if not head or not is_to_go(json.loads(head)):
                    return 0
                rest = head + file.read()
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise self._unreadable(error.strerror or str(error)) from error
        count = 0
        while rest:
            line, _, after = rest.partition(b"\n")
            record = json.loads(line)
            if count and not is_to_go(record):
                break
            remove(record, after)
            rest = after
            count += 1
        write_atomically(self.path, rest)
        return count

    def _cut_torn_line(self) -> None:
        """Drop a last line without its end: the machine stopped while it was written, so its film is not done."""
        if not self.path.exists():
            return
        data = self.path.read_bytes()
        if data and not data.endswith(b"\n"):
            with self.path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)
                os.fsync(file.fileno())

    def _unreadable(self, reason: str) -> OutputError:
        return OutputError(f"{self.path}: cannot be read ({reason}): move it away, or choose another --out")
