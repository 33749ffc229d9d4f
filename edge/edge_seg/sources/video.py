"""Films from video: a file's frames one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from edge_seg.errors import EdgeSegError, InputError
from edge_seg.film import Film
from edge_seg.sources.image import colour_of, to_grey
from edge_seg.sources.source import Arrival, Failure

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mjpeg", ".mjpg"})


class VideoFile:
    """The frames of a video file, in order.

    Args:
        path: of the file.
        frames: at most so many; `None` is all.
    """

    live = False
    total: int | None = None

    def __init__(self, path: Path, frames: int | None = None) -> None:
        self._path, self._frames = path, frames

    def __iter__(self) -> Iterator[Arrival]:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG) if self._path.is_file() else None
        delivered = 0
        try:
            while capture is not None and (self._frames is None or delivered < self._frames):
                start = time.perf_counter()
                whole, frame = capture.read()
                if not whole:
                    break
                delivered += 1
                try:
                    yield Film(
                        to_grey(frame, str(self._path)),
                        colour=colour_of(frame),
                        name=f"{self._path.stem}-{delivered:06d}.png",
                        source=f"{self._path}#{delivered}",
                        decode_ms=round((time.perf_counter() - start) * 1000, 3),
                    )
                except EdgeSegError as error:
                    yield Failure(self._path.name, str(self._path), error)
                    break
        finally:
            if capture is not None:
                capture.release()
        if not delivered and self._frames != 0:
            problem = InputError(f"{self._path}: no frame can be decoded: give a video file that plays")
            yield Failure(self._path.name, str(self._path), problem)

    def close(self) -> None:
        """The file is open only while frames are read."""
