"""Opens cameras: V4L2, picamera2, MJPEG over HTTP, RTSP, and recordings."""

from __future__ import annotations

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge_seg.address import without_secrets
from edge_seg.errors import DeviceError, UsageError
from edge_seg.sources.cameras.jpeg import decode_frame
from edge_seg.sources.cameras.stream import PATIENCE_S, Feed, FeedEnded
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES

# Seconds that V4L2 waits for a frame; OpenCV reads it when it opens a device.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(int(PATIENCE_S)))

_MOST_INDEX = 9999
_JPEG_CODES = {cv2.VideoWriter.fourcc(*"MJPG"), cv2.VideoWriter.fourcc(*"JPEG")}
_PACKETS = (cv2.CAP_PROP_FORMAT, -1)
"""The property that makes FFMPEG return frames undecoded."""


def open_feed(address: str, *, any_certificate: bool = False) -> Feed:
    """The camera at an address.

    Args:
        address: an index (`0`), `picamera`, `auto` (picamera2 if present, else the first device that sends a frame),
            a URL (`http://`, `https://`, `rtsp://`), or a path: `/dev/video0` or a link to it (`/dev/v4l/by-id/...`),
            or a recording, played at its own pace.
        any_certificate: see `mjpeg.open_mjpeg`.

    Raises:
        UsageError: the index is negative or above 9,999, or the address is not that of a camera.
        DeviceError: the camera does not exist or does not answer.
    """
    if address == "auto":
        return _first_that_works()
    if address == "picamera":
        return PicameraFeed()
    if "://" in address:
        return _open_url(address, any_certificate)
    place = os.path.realpath(address) if _is_path(address) else address
    device = re.fullmatch(r"(?:/dev/video)?([0-9]+)", place)
    if device is None and _is_path(address):
        return _open_recording(Path(address))
    try:
        index = int(device[1] if device else address)
    except ValueError:
        ways = "`demo`, `auto`, `picamera`, an index such as 0, a URL, or a video file"
        raise UsageError(f"--camera {address}: give {ways}") from None
    if not 0 <= index <= _MOST_INDEX:
        # OpenCV crashes the process on a negative index, and raises its own error on a large one.
        raise UsageError(f"--camera {index}: indices are 0 to {_MOST_INDEX}: give `demo`, `auto`, an index or a URL")
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        raise DeviceError(f"camera {index}: there is none, or it is in use: `edge-seg doctor` lists cameras")
    return OpenCVFeed(capture, as_it_came=(cv2.CAP_PROP_CONVERT_RGB, 0))


class OpenCVFeed:
    """A camera that OpenCV opened: V4L2, RTSP, a recording.

    Args:
        capture: an open capture.
        as_it_came: the property and value that make this kind of capture return JPEG frames undecoded: OpenCV's own
            decoder does not report damage.
        pace: frames per second, for a recording that could be read faster than it was made; 0 for no limit.
    """

    def __init__(self, capture: Any, as_it_came: tuple[int, float], pace: float = 0.0) -> None:
        self._capture = capture
        sends_jpeg = int(capture.get(cv2.CAP_PROP_FOURCC)) in _JPEG_CODES
        self._undecoded = sends_jpeg and bool(capture.set(*as_it_came))
        self._pause = 1 / pace if pace > 0 else 0.0
        self._due = 0.0

    def read(self) -> np.ndarray:
        """See `Feed.read`."""
        time.sleep(max(0.0, min(self._due - time.monotonic(), PATIENCE_S)))
        whole, frame = self._capture.read()
        if not whole:
            raise FeedEnded("ended, or sent nothing for a while")
        self._due = time.monotonic() + self._pause
        return np.asarray(frame)

    def decode(self, frame: np.ndarray) -> np.ndarray:
        """See `Feed.decode`."""
        return decode_frame(frame.tobytes()) if self._undecoded else frame

    def release(self) -> None:
        """See `Feed.release`."""
        self._capture.release()


class PicameraFeed:
    """The camera of a Raspberry Pi, through picamera2 and libcamera.

    Raises:
        DeviceError: picamera2 is not installed, or there is no camera.
    """

    def __init__(self) -> None:
        try:
            from picamera2 import Picamera2
        except ImportError as error:
            raise DeviceError(
                "picamera2 is not installed: sudo apt install python3-picamera2, and make the environment with "
                "--system-site-packages"
            ) from error
        try:
            self._camera = Picamera2()
            # picamera2 names formats from the low byte: this is OpenCV's order.
            self._camera.configure(self._camera.create_video_configuration(main={"format": "RGB888"}))
            self._camera.start()
        except (RuntimeError, IndexError, OSError) as error:
            raise DeviceError(f"picamera2 finds no camera ({error}): check the ribbon cable") from error

    def read(self) -> np.ndarray:
        """See `Feed.read`."""
        try:
            return np.asarray(self._camera.capture_array("main", wait=PATIENCE_S))
        except (RuntimeError, TimeoutError, OSError) as error:
            raise FeedEnded(f"sent no frame for {PATIENCE_S:.0f} s") from error

    def decode(self, frame: np.ndarray) -> np.ndarray:
        """See `Feed.decode`."""
        return frame

    def release(self) -> None:
        """See `Feed.release`."""
        self._camera.stop()
        self._camera.close()


def _open_url(address: str, any_certificate: bool) -> Feed:
    shown = without_secrets(address)
    if address.startswith(("http://", "https://")):
        # Python's HTTP modules take 50 ms to import, and films from files do not need them.
        from edge_seg.sources.cameras.mjpeg import open_mjpeg

        feed = open_mjpeg(address, any_certificate=any_certificate)
        if feed is not None:
            return feed
    if address.startswith("rtsp://"):
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    patience = int(PATIENCE_S * 1000)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience, cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
    if not capture.isOpened():
        raise DeviceError(f"camera {shown}: nobody answers, or it sends no video: check address and network")
    return OpenCVFeed(capture, _PACKETS)


def _is_path(address: str) -> bool:
    return os.sep in address or Path(address).suffix.lower() in VIDEO_SUFFIXES


def _open_recording(path: Path) -> Feed:
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG) if path.is_file() else None
    if capture is None or not capture.isOpened():
        reason = "it holds no video that plays" if path.is_file() else "there is no such file"
        raise DeviceError(f"camera {path}: {reason}: give a camera, or a video file")
    return OpenCVFeed(capture, _PACKETS, pace=capture.get(cv2.CAP_PROP_FPS))


def _first_that_works() -> Feed:
    try:
        return PicameraFeed()
    except DeviceError:
        pass
    devices = sorted(int(p.name[5:]) for p in Path("/dev").glob("video*") if p.name[5:].isdigit())
    for index in devices:
        try:
            feed = open_feed(str(index))
        except DeviceError:
            continue
        try:
            # A Pi lists a dozen video codec devices, which open but never send a frame.
            feed.read()
            return feed
        except FeedEnded:
            feed.release()
    tried = f"tried picamera2 and {len(devices)} video devices" if devices else "no picamera2, no /dev/video*"
    raise DeviceError(f"--camera auto: no camera sends pictures ({tried}): connect one; `edge-seg doctor` lists them")
