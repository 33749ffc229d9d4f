"""Records: one JSON line per film in `records.jsonl`. A film is done when its record says so."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_seg.errors import OutputError
from edge_seg.identity import identity_of
from edge_seg.notice import RESEARCH_USE
from edge_seg.segmenter import Segmentation
from edge_seg.sources import Failure
from edge_seg.storage import flush_folder, write_atomically
from edge_seg.version import __version__

RECORDS_NAME = "records.jsonl"
REMOVED_NAME = "removed.jsonl"
"""What is left of the records of results that were removed: that their films are done."""

SCHEMA = 1
"""Version of the record's fields; readers must refuse one they do not know."""


def record_of(
    segmentation: Segmentation,
    stem: str,
    products: list[str],
    files: list[dict[str, Any]],
    timings_ms: dict[str, float],
    names: bool = False,
) -> dict[str, Any]:
    """The record of a segmented film.

    Args:
        segmentation: of the film.
        stem: what the names of the film's files begin with.
        products: what was asked to be written (`mask`, `overlay`, `record`).
        files: name, size and checksum of what was written.
        timings_ms: all stages, writing included.
        names: whether the patient may be named; UIDs always are.
    """
    film, manifest = segmentation.film, segmentation.manifest
    measured: dict[str, dict[str, Any]] = {
        "areas": {name: asdict(area) for name, area in segmentation.areas.items()},
        "widths": {name: asdict(width) for name, width in segmentation.measurements.widths.items()},
        "ratios": segmentation.measurements.ratios,
    }
    flags = {kind: dict.fromkeys(values, "low trust") for kind, values in measured.items()}
    return {
        **_head(film.name, film.source, "done"),
        "stem": stem,
        **identity_of(film, names),
        "film": {
            "height": film.shape[0],
            "width": film.shape[1],
            "bits": film.pixels.dtype.itemsize * 8,
            "spacing_mm": film.spacing_mm,
            "view": film.view,
            "taken_at": film.taken_at,
            "age_s": film.age_s,
            "sha256": film.checksum,
            "unique_name": film.unique_name,
        },
        "lung": segmentation.lung,
        "structures": {structure.name: structure.definition for structure in segmentation.structures},
        **measured,
        # Under the same names as the measurements that they are about; nothing where they can be trusted.
        "flagged": flags if segmentation.low_trust else {},
        "estimated_dice": segmentation.trust,
        "timings_ms": timings_ms,
        "model": {
            "name": manifest.name,
            "version": manifest.version,
            "quantisation": manifest.quantisation,
            "sha256": manifest.flatbuffer_sha256,
            "input": list(manifest.input_shape),
        },
        "runtime": segmentation.runtime,
        "delegate": segmentation.delegate,
        "threads": segmentation.threads,
        "quality": {
            "gate": segmentation.gate,
            "verdict": segmentation.quality.verdict,
            "findings": [asdict(finding) for finding in segmentation.quality.findings],
        },
        "warnings": list(segmentation.warnings),
        "products": products,
        "files": files,
    }


def record_of_failure(failure: Failure) -> dict[str, Any]:
    """The record of a film that could not be had."""
    return {
        **_head(failure.name, failure.source, "failed"),
        "error": " ".join(str(failure.error).split()),
        "exit_code": failure.error.exit_code,
    }


def _head(name: str, source: str, status: str) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "edge_seg": __version__,
        "notice": RESEARCH_USE,
        "status": status,
        "recorded_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        "name": name,
        "source": source,
    }


class Records:
    """The records of an output folder, appended one whole line at a time.

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
        """Add a record: written in one piece and flushed.

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
        """Take records off the head of the file, up to the first that is to stay.

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
