"""MJPEG over HTTP, as network cameras send it."""

from __future__ import annotations

import hashlib
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse, InvalidURL
from urllib.parse import unquote, urlsplit

import numpy as np

from edge_seg.address import without_secrets, without_user
from edge_seg.errors import DeviceError
from edge_seg.sources.cameras.jpeg import decode_frame
from edge_seg.sources.cameras.stream import PATIENCE_S, FeedEnded

LARGEST_FRAME = 64 * 1024 * 1024
"""Largest frame, in bytes; a server that sends more is not sending pictures."""

LONGEST_LINE = 8192
MOST_HEADER_LINES = 64
"""Limits on the header of one frame, as in web servers."""


class MjpegFeed:
    """JPEG frames over HTTP (`multipart/x-mixed-replace`).

    Args:
        answer: the server's response, with its headers already read.
        boundary: between the frames, without its two dashes.
    """

    def __init__(self, answer: HTTPResponse, boundary: bytes) -> None:
        self._answer, self._boundary = answer, b"--" + boundary
        self._buffer = bytearray()

    def read(self) -> bytes:
        """See `Feed.read`."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._line(deadline).startswith(self._boundary):
            pass
        length = self._content_length(deadline)
        if length is not None:
            return self._take(length, deadline)
        end = self._find(b"\r\n" + self._boundary, deadline, LARGEST_FRAME)
        return self._take(end, deadline)

    def _content_length(self, deadline: float) -> int | None:
        """Length of the frame in bytes, if its header gives it."""
        length = None
        for _ in range(MOST_HEADER_LINES):
            line = self._line(deadline).strip()
            if not line:
                return length
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = _length(value.strip())
        raise FeedEnded(f"has sent more than {MOST_HEADER_LINES} header lines before a picture")

    def decode(self, frame: bytes) -> np.ndarray:
        """See `Feed.decode`."""
        return decode_frame(frame)

    def release(self) -> None:
        """See `Feed.release`."""
        self._answer.close()

    def _line(self, deadline: float) -> bytes:
        return self._take(self._find(b"\n", deadline, LONGEST_LINE) + 1, deadline)

    def _find(self, mark: bytes, deadline: float, most: int) -> int:
        searched = 0
        while (at := self._buffer.find(mark, searched)) < 0:
            if len(self._buffer) > most:
                raise FeedEnded(f"has sent {most:,} bytes that are no picture")
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


def _length(text: bytes) -> int:
    # Checked before conversion: Python accepts thousands of digits.
    if not text.isdigit() or len(text) > 12 or int(text) > LARGEST_FRAME:
        raise FeedEnded(f"announces a picture of {text[:20].decode('ascii', 'replace')} bytes")
    return int(text)


class _Digest(urllib.request.HTTPDigestAuthHandler):
    """Digest access authentication with the algorithms of RFC 7616; the standard library has those of RFC 2617."""

    def get_algorithm_impls(self, algorithm: str) -> tuple[Callable[[str], str], Callable[[str, str], str]]:  # type: ignore[override]
        names = {"MD5": "md5", "SHA": "sha1", "SHA-256": "sha256", "SHA-512-256": "sha512_256"}
        if algorithm.upper() not in names:
            raise ValueError(f"its digest algorithm {algorithm} is unknown")

        def hashed(text: str) -> str:
            return hashlib.new(names[algorithm.upper()], text.encode()).hexdigest()

        return hashed, lambda secret, data: hashed(f"{secret}:{data}")


def open_mjpeg(address: str, *, any_certificate: bool = False) -> MjpegFeed | None:
    """The feed of an MJPEG server; `None` if it sends something else, which FFMPEG may be able to read.

    Args:
        address: `http://` or `https://`, with user and password if the camera needs them. They are sent only when the
            camera asks (Digest, RFC 7616, or Basic), and never to another host that it redirects to.
        any_certificate: also accept a self-signed certificate, as cameras create for themselves.

    Raises:
        DeviceError: the server does not answer, or refuses.
    """
    shown = without_secrets(address)
    try:
        answer = _opener(address, any_certificate).open(without_user(address), timeout=PATIENCE_S)
    except urllib.error.HTTPError as error:
        reason = f"the server answers {error.code} {error.reason}: check address and password"
        raise DeviceError(f"camera {shown}: {reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            reason = "no authority signed its certificate: --any-certificate takes the camera's own"
        else:
            # The standard library's message about an invalid URL quotes it, secrets included.
            said = "it is no URL" if isinstance(error, InvalidURL) else error
            reason = f"nobody answers ({said}): check address and network"
        raise DeviceError(f"camera {shown}: {reason}") from error
    boundary = answer.headers.get_param("boundary")
    if answer.headers.get_content_type() != "multipart/x-mixed-replace" or not isinstance(boundary, str):
        answer.close()
        return None
    # Some servers include the dashes in the boundary.
    return MjpegFeed(answer, boundary.removeprefix("--").encode())


def _opener(address: str, any_certificate: bool) -> urllib.request.OpenerDirector:
    context = ssl.create_default_context()
    if any_certificate:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    parts = urlsplit(address)
    if parts.username is not None:
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        user, password = unquote(parts.username), unquote(parts.password or "")
        passwords.add_password(None, without_user(address), user, password)
        handlers += [_Digest(passwords), urllib.request.HTTPBasicAuthHandler(passwords)]
    return urllib.request.build_opener(*handlers)
