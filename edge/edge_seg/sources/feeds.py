"""What cameras send, one frame after another: by V4L2, picamera2, MJPEG over HTTP, RTSP."""

from __future__ import annotations

import base64
import os
import sys
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit, urlunsplit

os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
import numpy as np

from edge_seg.errors import DeviceError, UsageError

PATIENCE_S = 3.0
"""A camera that has not answered or sent a frame for so long is given up, and asked anew."""

LARGEST_FRAME = 64 * 1024 * 1024
"""Bytes of one frame; who sends more sends no pictures."""

# V4L2's own patience, in seconds; OpenCV reads it when it opens a device.
os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(int(PATIENCE_S)))


class FeedEnded(Exception):
    """No more frames come, and why."""


class BrokenFrame(Exception):
    """A frame came damaged."""


class Feed(Protocol):
    """An open camera."""

    def read(self) -> Any:
        """The next frame, as it came; waits at most about `PATIENCE_S`.

        Raises:
            FeedEnded: none will come.
        """
        ...

    def decode(self, frame: Any) -> np.ndarray:
        """A frame's picture, grey or BGR, uint8.

        Raises:
            BrokenFrame: it is damaged.
        """
        ...

    def release(self) -> None:
        """Let go of the camera."""
        ...


def open_feed(address: str) -> Feed:
    """The camera at an address.

    Args:
        address: an index (`0`), `picamera`, `auto` (picamera2 where there is one, else the first that sends a frame),
            or a URL (`http://`, `rtsp://`).

    Raises:
        UsageError: a negative index, or no address.
        DeviceError: no such camera, or nobody answers.
    """
    if address == "auto":
        return _first_that_works()
    if address == "picamera":
        return PicameraFeed()
    if "://" in address:
        return _open_url(address)
    try:
        index = int(address)
    except ValueError:
        raise UsageError(f"--camera {address}: give `demo`, `auto`, `picamera`, an index such as 0, or a URL") from None
    if index < 0:
        # OpenCV crashes the process on a negative index.
        raise UsageError(f"--camera {index}: indices start at 0: give `demo`, `auto`, an index or a URL")
    capture = cv2.VideoCapture(index, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
    if not capture.isOpened():
        raise DeviceError(f"camera {index}: there is none, or it is in use: `edge-seg doctor` lists cameras")
    return OpenCVFeed(capture)


def shown_address(address: str) -> str:
    """An address without the user and password that may stand in it.

    >>> shown_address("rtsp://nurse:secret@10.0.0.7/film")
    'rtsp://10.0.0.7/film'
    """
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


class OpenCVFeed:
    """A camera that OpenCV opened: V4L2, RTSP.

    Args:
        capture: opened.
    """

    def __init__(self, capture: Any) -> None:
        self._capture = capture

    def read(self) -> np.ndarray:
        """See `Feed.read`."""
        whole, frame = self._capture.read()
        if not whole:
            raise FeedEnded("ended, or sent nothing for a while")
        return np.asarray(frame)

    def decode(self, frame: np.ndarray) -> np.ndarray:
        """See `Feed.decode`; OpenCV has decoded it and says nothing of damage."""
        return frame

    def release(self) -> None:
        """See `Feed.release`."""
        self._capture.release()


class PicameraFeed:
    """The camera of a Raspberry Pi, by picamera2 and libcamera.

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


class MjpegFeed:
    """JPEG pictures one after another over HTTP (`multipart/x-mixed-replace`); broken ones are known for what they are.

    Args:
        answer: the server's, its headers read.
        boundary: between the pictures, without its two dashes.
    """

    def __init__(self, answer: HTTPResponse, boundary: bytes) -> None:
        self._answer, self._boundary = answer, b"--" + boundary
        self._buffer = bytearray()

    def read(self) -> bytes:
        """See `Feed.read`."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._line(deadline).startswith(self._boundary):
            pass
        length = None
        while line := self._line(deadline).strip():
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length" and value.strip().isdigit():
                length = int(value)
        if length is not None:
            return self._take(length, deadline)
        end = self._find(b"\r\n" + self._boundary, deadline)
        return self._take(end, deadline)

    def decode(self, frame: bytes) -> np.ndarray:
        """See `Feed.decode`: a JPEG that its decoder has to warn of is broken (OpenCV's keeps that to itself)."""
        try:
            import simplejpeg
        except ImportError:
            picture = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR) if frame else None
            if picture is None or not frame.rstrip(b"\0\r\n").endswith(b"\xff\xd9"):
                raise BrokenFrame("no whole JPEG") from None
            return picture
        try:
            grey = simplejpeg.decode_jpeg_header(frame)[2].lower() == "gray"
            picture = simplejpeg.decode_jpeg(frame, "GRAY" if grey else "BGR", strict=True)
        except ValueError as error:
            raise BrokenFrame(str(error)) from error
        return np.asarray(picture[:, :, 0] if grey else picture)

    def release(self) -> None:
        """See `Feed.release`."""
        self._answer.close()

    def _line(self, deadline: float) -> bytes:
        return self._take(self._find(b"\n", deadline) + 1, deadline)

    def _find(self, mark: bytes, deadline: float) -> int:
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            searched = max(0, len(self._buffer) - len(mark))
            self._receive(deadline)
        return at

    def _take(self, count: int, deadline: float) -> bytes:
        while len(self._buffer) < count:
            self._receive(deadline)
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _receive(self, deadline: float) -> None:
        if len(self._buffer) > LARGEST_FRAME:
            raise FeedEnded(f"has sent {LARGEST_FRAME:,} bytes that are no picture")
        try:
            data = self._answer.read1(65536)
        except TimeoutError:
            data = None
        except (OSError, HTTPException, ValueError) as error:
            raise FeedEnded("ended") from error
        if data is None or time.monotonic() > deadline:
            raise FeedEnded(f"has sent no whole picture for {PATIENCE_S:.0f} s")
        if not data:
            raise FeedEnded("ended")
        self._buffer += data


def _open_url(address: str) -> Feed:
    shown = shown_address(address)
    if address.startswith(("http://", "https://")):
        feed = _open_mjpeg(address)
        if feed is not None:
            return feed
    if address.startswith("rtsp://"):
        os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    patience = int(PATIENCE_S * 1000)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, patience, cv2.CAP_PROP_READ_TIMEOUT_MSEC, patience]
    capture = cv2.VideoCapture(address, cv2.CAP_FFMPEG, timeouts)
    if not capture.isOpened():
        raise DeviceError(f"camera {shown}: nobody answers, or it sends no video: check address and network")
    return OpenCVFeed(capture)


def _open_mjpeg(address: str) -> MjpegFeed | None:
    """The feed of an MJPEG server; `None` where it sends something else, which FFMPEG may know."""
    parts = urlsplit(address)
    request = urllib.request.Request(shown_address(address))
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(secret).decode()}")
    try:
        answer = urllib.request.urlopen(request, timeout=PATIENCE_S)
    except urllib.error.HTTPError as error:
        reason = f"the server answers {error.code} {error.reason}: check address and password"
        raise DeviceError(f"camera {shown_address(address)}: {reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise DeviceError(
            f"camera {shown_address(address)}: nobody answers ({error}): check address and network"
        ) from error
    boundary = answer.headers.get_param("boundary")
    if answer.headers.get_content_type() != "multipart/x-mixed-replace" or not isinstance(boundary, str):
        answer.close()
        return None
    # Some servers count the dashes as the boundary's own.
    return MjpegFeed(answer, boundary.removeprefix("--").encode())


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
            # A Pi lists a dozen devices of its video codecs, which open and never send.
            feed.read()
            return feed
        except FeedEnded:
            feed.release()
    tried = f"tried picamera2 and {len(devices)} video devices" if devices else "no picamera2, no /dev/video*"
    raise DeviceError(f"--camera auto: no camera sends pictures ({tried}): connect one; `edge-seg doctor` lists them")
