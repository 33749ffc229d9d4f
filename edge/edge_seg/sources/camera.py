"""Films from a camera: an index, a URL (MJPEG, RTSP), or a demonstration. The newest frame, never a queue."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge_seg.errors import DeviceError, UsageError
from edge_seg.film import Film
from edge_seg.sources.image import colour_of, to_grey
from edge_seg.sources.source import Arrival, Failure

PATIENCE_S = 5.0
"""A camera that has not answered or sent a frame for so long is given up."""


class Camera:
    """A camera that OpenCV opens.

    A thread takes frames as they come and keeps the newest, so that a slow device looks at now, not at a backlog.

    Args:
        address: index (`0`) or URL (`http://...`, `rtsp://...`).
        frames: stop after so many; `None` goes on until the camera ends.

    Raises:
        UsageError: a negative index, or neither index nor URL.
        DeviceError: no such camera, or nobody answers.
    """

    live = True

    def __init__(self, address: str, frames: int | None = None) -> None:
        self.total = frames
        self._address, self._frames = address, frames
        self._capture = _open(address)
        self._news = threading.Condition()
        self._newest: tuple[np.ndarray, float, datetime] | None = None
        self._ended = self._closing = False
        self._thread = threading.Thread(target=self._take, name=f"camera {address}", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Arrival]:
        delivered = 0
        while self._frames is None or delivered < self._frames:
            taken = self._wait()
            if taken is None:
                reason = "ended" if self._ended else f"sent no frame for {PATIENCE_S:.0f} s"
                problem = DeviceError(f"camera {self._address} {reason}: check that it is on and connected")
                yield Failure(f"camera {self._address}", self._address, problem)
                return
            frame, at, wall = taken
            delivered += 1
            yield Film(
                to_grey(frame, self._address),
                colour=colour_of(frame),
                name=f"camera-{delivered:06d}.png",
                source=f"camera {self._address}",
                taken_at=wall.isoformat(timespec="milliseconds"),
                age_s=round(time.monotonic() - at, 4),
            )

    def close(self) -> None:
        """Stop taking frames and let go of the camera."""
        self._closing = True
        self._thread.join(2 * PATIENCE_S)
        if not self._thread.is_alive():
            self._capture.release()

    def _take(self) -> None:
        while not self._closing:
            whole, frame = self._capture.read()
            with self._news:
                if whole:
                    self._newest = frame, time.monotonic(), datetime.now(timezone.utc)
                else:
                    self._ended = True
                self._news.notify_all()
            if not whole:
                return

    def _wait(self) -> tuple[np.ndarray, float, datetime] | None:
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self._ended, PATIENCE_S)
            taken, self._newest = self._newest, None
            return taken


class DemoCamera:
    """A breathing synthetic chest in place of a camera: the whole way of a film without hardware.

    Args:
        frames: stop after so many; `None` goes on.
        height, width: of each frame.
        seed: of the anatomy.
    """

    live = True

    def __init__(self, frames: int | None = None, height: int = 1024, width: int = 1024, seed: int = 0) -> None:
        self.total = frames
        self._frames, self._shape, self._seed = frames, (height, width), seed

    def __iter__(self) -> Iterator[Arrival]:
        from edge_seg.phantom import phantom

        delivered = 0
        while self._frames is None or delivered < self._frames:
            start = time.perf_counter()
            made = phantom(*self._shape, seed=self._seed, phase=(delivered % 12) / 12)
            delivered += 1
            yield Film(
                made.film.pixels,
                name=f"demo-{delivered:06d}.png",
                source="camera demo",
                taken_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                age_s=0.0,
                decode_ms=round((time.perf_counter() - start) * 1000, 3),
                warnings=("synthetic film",),
            )

    def close(self) -> None:
        """There is nothing to let go of."""


def _open(address: str) -> Any:
    timeouts = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
        int(PATIENCE_S * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC,
        int(PATIENCE_S * 1000),
    ]
    if "://" in address:
        if address.startswith("rtsp://"):
            os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
        capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
        if not capture.isOpened():
            raise DeviceError(f"camera {address}: nobody answers, or it sends no video: check address and network")
        return capture
    try:
        index = int(address)
    except ValueError:
        raise UsageError(f"--camera {address}: give `demo`, an index such as 0, or a URL") from None
    if index < 0:
        # OpenCV crashes the process on a negative index.
        raise UsageError(f"--camera {index}: indices start at 0: give `demo`, an index or a URL")
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        raise DeviceError(f"camera {index}: there is none, or it is in use: `edge-seg doctor` lists cameras")
    return capture
