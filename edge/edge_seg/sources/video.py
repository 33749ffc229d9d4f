"""Films from video: a file's frames one by one."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

from edge_seg.boundary import film_boundary
from edge_seg.errors import InputError
from edge_seg.film import Failure, Film
from edge_seg.sources.image import colour_of, to_grey

SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mjpeg", ".mjpg"})


class VideoFile:
    """The frames of a video file, in order.

    Args:
        path: of the file.
        frames: maximum number; `None` for all.
    """

    def __init__(self, path: Path, frames: int | None = None) -> None:
        self._path, self._frames = path, frames

    def __iter__(self) -> Iterator[Film | Failure]:
        capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG) if self._path.is_file() else None
        delivered = 0
        try:
            while capture is not None and (self._frames is None or delivered < self._frames):
                frame = film_boundary(self._path.name, str(self._path), partial(self._next, capture, delivered + 1))
                if frame is None:
                    break
                delivered += 1
                yield frame
                if isinstance(frame, Failure):
                    break
        finally:
            if capture is not None:
                capture.release()
        if not delivered and self._frames != 0:
            problem = InputError(f"{self._path}: no frame can be decoded: give a video file that plays")
            yield Failure(self._path.name, str(self._path), problem)

    def _next(self, capture: cv2.VideoCapture, number: int) -> Film | None:
        start = time.perf_counter()
        whole, frame = capture.read()
        if not whole:
            return None
        return Film(
            to_grey(frame, str(self._path)),
            colour=colour_of(frame),
            name=f"{self._path.stem}-{number:06d}.png",
            source=f"{self._path}#{number}",
            decode_ms=round((time.perf_counter() - start) * 1000, 3),
        )
