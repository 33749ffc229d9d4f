"""JPEG pictures one after another over HTTP, as network cameras send them."""

from __future__ import annotations

import base64
import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPResponse
from urllib.parse import unquote, urlsplit

import numpy as np

from edge_seg.errors import DeviceError
from edge_seg.sources.cameras.jpeg import decode_jpeg
from edge_seg.sources.cameras.stream import PATIENCE_S, FeedEnded, shown_address

LARGEST_FRAME = 64 * 1024 * 1024
"""Bytes of one frame; who sends more sends no pictures."""


class MjpegFeed:
    """JPEG pictures one after another over HTTP (`multipart/x-mixed-replace`).

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
        """See `Feed.decode`."""
        return decode_jpeg(frame)

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


def open_mjpeg(address: str) -> MjpegFeed | None:
    """The feed of an MJPEG server; `None` where it sends something else, which FFMPEG may know.

    Args:
        address: `http://` or `https://`, with user and password where the camera wants them.

    Raises:
        DeviceError: nobody answers, or the server refuses.
    """
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
