"""The output folder: masks, overlay and record of each film under names that never collide."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_seg.errors import OutputError, UsageError
from edge_seg.outputs.atomic import write_atomically
from edge_seg.outputs.overlay import draw_overlay
from edge_seg.outputs.records import Records, record_of, record_of_failure
from edge_seg.segmenter import Segmentation
from edge_seg.sources import Failure

PRODUCTS = ("mask", "overlay", "record")


class OutputFolder:
    """Writes results under one folder and knows which films are done.

    Args:
        folder: made if absent.
        products: which of `PRODUCTS` to write; the record is always written, since it says that a film is done.

    Raises:
        OutputError: the folder cannot be made or written.
        UsageError: an unknown product.
    """

    def __init__(self, folder: Path, products: Iterable[str] = PRODUCTS) -> None:
        self.folder = folder
        self.products = frozenset(products)
        unknown = self.products - set(PRODUCTS)
        if unknown:
            raise UsageError(f"--save {', '.join(sorted(unknown))}: choose from {', '.join(PRODUCTS)}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder}: cannot be made ({error.strerror}): choose another --out") from error
        probe = folder / ".writable"
        write_atomically(probe, b"")
        probe.unlink()
        self._records = Records(folder)
        self._owners = {record["stem"]: record["source"] for record in self._records.lines if "stem" in record}
        self._done = {_identity(r) for r in self._records.lines if r["status"] == "done" and r["film"]["sha256"]}

    def is_done(self, source: str, checksum: str | None, model_checksum: str) -> bool:
        """Whether this very film, by path and content, was segmented here with this very model."""
        return checksum is not None and (source, checksum, model_checksum) in self._done

    def write(self, segmentation: Segmentation) -> dict[str, Any]:
        """Write all products of a film, its record last.

        Returns:
            The record.

        Raises:
            OutputError: something cannot be written; the film is then not done.
        """
        start = time.perf_counter()
        stem = self._stem(segmentation.film.name, segmentation.film.source)
        files = []
        if "mask" in self.products:
            for name, mask in segmentation.masks.items():
                files.append(self._picture(f"{stem}.{name}.png", mask.astype(np.uint8) * np.uint8(255)))
        if "overlay" in self.products:
            files.append(self._picture(f"{stem}.overlay.png", draw_overlay(segmentation)))
        timings = {**segmentation.timings_ms, "write": round((time.perf_counter() - start) * 1000, 3)}
        record = {"stem": stem, **record_of(segmentation, files, timings)}
        self._records.append(record)
        self._done.add(_identity(record))
        return record

    def write_failure(self, failure: Failure) -> None:
        """Write the record of a film that could not be had.

        Raises:
            OutputError: it cannot be written.
        """
        self._records.append(record_of_failure(failure))

    def _stem(self, name: str, source: str) -> str:
        """The film's name without extension, unless a film from elsewhere has it already."""
        plain = re.sub(r"[^\w.+-]", "_", Path(name).stem) or "film"
        stem = plain
        if self._owners.get(stem, source) != source:
            stem = f"{plain}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        self._owners[stem] = source
        return stem

    def _picture(self, name: str, picture: np.ndarray) -> dict[str, Any]:
        data = cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()
        write_atomically(self.folder / name, data)
        return {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _identity(record: dict[str, Any]) -> tuple[str, str, str]:
    return record["source"], record["film"]["sha256"] or "", record["model"]["sha256"]
