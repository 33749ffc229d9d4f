"""MJPEG over HTTP: passwords, certificates, and servers that send too much."""

from __future__ import annotations

import base64
import hashlib
import http.server
import re
import shutil
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from edge_seg.errors import DeviceError
from edge_seg.sources.cameras.jpeg import decode_frame
from edge_seg.sources.cameras.mjpeg import MjpegFeed, open_mjpeg
from edge_seg.sources.cameras.stream import BrokenFrame, FeedEnded

JPEG = cv2.imencode(".jpg", np.full((48, 64), 90, np.uint8))[1].tobytes()
FRAME = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(JPEG), JPEG)
USER, PASSWORD = "nurse", 'se"cret: ü'

Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def stream(handler: http.server.BaseHTTPRequestHandler, body: bytes = FRAME) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def serve() -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """Starts a server that answers in a given way; gives its port and each request's `Authorization`."""
    servers = []

    def start(answer: Answer, context: ssl.SSLContext | None = None) -> tuple[int, list[str]]:
        brought: list[str] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                brought.append(self.headers.get("Authorization", ""))
                answer(self)

            def log_message(self, *arguments: Any) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return server.server_address[1], brought

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def with_password(port: int) -> str:
    from urllib.parse import quote

    return f"http://{USER}:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/film"


def asks_for_digest(algorithm: str) -> Answer:
    """A camera with Digest authentication, which computes the response as in RFC 7616 section 3.4."""
    hashed = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[algorithm]

    def digest(text: str) -> str:
        return hashed(text.encode()).hexdigest()

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        given = dict(re.findall(r'(\w+)="?([^",]*)"?', handler.headers.get("Authorization", "")))
        secret = digest(f"{USER}:camera:{PASSWORD}")
        request = digest(f"GET:{handler.path}")
        parts = (secret, given.get("nonce", ""), given.get("nc", ""), given.get("cnonce", ""), "auth", request)
        if given.get("response") == digest(":".join(parts)) and given["nonce"] == "abc":
            stream(handler)
            return
        handler.send_response(401)
        handler.send_header(
            "WWW-Authenticate", f'Digest realm="camera", nonce="abc", qop="auth", algorithm={algorithm}'
        )
        handler.end_headers()

    return answer


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_camera_that_asks_for_digest_is_answered_and_never_told_the_password(
    serve: Callable[..., Any], algorithm: str
) -> None:
    port, brought = serve(asks_for_digest(algorithm))
    feed = open_mjpeg(with_password(port))
    assert isinstance(feed, MjpegFeed)
    assert feed.read() == JPEG
    feed.release()
    assert brought[0] == ""
    assert all("Basic" not in one and PASSWORD not in one for one in brought)


@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256"])
def test_a_wrong_password_is_refused_in_one_line_without_it(serve: Callable[..., Any], algorithm: str) -> None:
    port, _ = serve(asks_for_digest(algorithm))
    with pytest.raises(DeviceError, match="401") as caught:
        open_mjpeg(f"http://{USER}:wrong-one@127.0.0.1:{port}/film")
    assert "wrong-one" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_algorithm_that_is_unknown_is_named(serve: Callable[..., Any]) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Digest realm="camera", nonce="abc", qop="auth", algorithm=ROT13')
        handler.end_headers()

    port, _ = serve(answer)
    with pytest.raises(DeviceError, match="ROT13"):
        open_mjpeg(with_password(port))


def test_basic_is_answered_where_a_camera_asks_for_it(serve: Callable[..., Any]) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization"):
            stream(handler)
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
        handler.end_headers()

    port, brought = serve(answer)
    feed = open_mjpeg(with_password(port))
    assert feed is not None
    feed.release()
    kind, _, secret = brought[-1].partition(" ")
    assert (kind, base64.b64decode(secret).decode()) == ("Basic", f"{USER}:{PASSWORD}")


def test_a_password_follows_no_redirect_to_another_host(serve: Callable[..., Any]) -> None:
    def asks_anybody(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization"):
            stream(handler)
            return
        handler.send_response(401)
        handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
        handler.end_headers()

    elsewhere, brought_elsewhere = serve(asks_anybody)

    def sends_away(handler: http.server.BaseHTTPRequestHandler) -> None:
        if not handler.headers.get("Authorization"):
            handler.send_response(401)
            handler.send_header("WWW-Authenticate", 'Basic realm="camera"')
        else:
            handler.send_response(302)
            handler.send_header("Location", f"http://localhost:{elsewhere}/film")
        handler.end_headers()

    here, brought_here = serve(sends_away)
    with pytest.raises(DeviceError, match="401"):
        open_mjpeg(with_password(here))
    assert any(brought_here)
    assert brought_elsewhere
    assert not any(brought_elsewhere)


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A self-signed certificate, as cameras make."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    folder: Path = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "cert.pem"
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=camera"]
    subprocess.run([*words, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


def test_a_certificate_that_nobody_signed_is_taken_only_when_told_to(
    serve: Callable[..., Any], self_signed: ssl.SSLContext
) -> None:
    port, _ = serve(stream, self_signed)
    with pytest.raises(DeviceError, match="certificate"):
        open_mjpeg(f"https://127.0.0.1:{port}/film")
    feed = open_mjpeg(f"https://127.0.0.1:{port}/film", any_certificate=True)
    assert feed is not None
    assert feed.read() == JPEG
    feed.release()


@pytest.mark.parametrize(
    "body",
    [
        b"--frame\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"--frame\r\nContent-Length: 99999999999\r\n\r\n",
        b"--frame\r\nContent-Length: -5\r\n\r\n",
        b"--frame\r\n" + b"X-Header: a\r\n" * 5000 + b"\r\n",
        b"--frame\r\nX-Header: " + b"a" * 200_000,
        b"a" * 200_000,
        b"--frame\r\n\r\n" + b"a" * 200_000,
    ],
    ids=["5,000 digits", "too large", "negative", "many headers", "long header", "no line", "no end"],
)
def test_a_server_that_sends_no_pictures_is_given_up_in_time_and_memory(
    serve: Callable[..., Any], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_seg.sources.cameras.mjpeg.LARGEST_FRAME", 100_000)
    port, _ = serve(lambda handler: stream(handler, body))
    feed = open_mjpeg(f"http://127.0.0.1:{port}/")
    assert feed is not None
    start = time.monotonic()
    with pytest.raises(FeedEnded) as caught:
        feed.read()
    assert time.monotonic() - start < 60
    assert len(str(caught.value)) < 100
    feed.release()


@pytest.mark.parametrize("side", [0, 10_000, 65_535])
def test_a_few_bytes_that_announce_a_huge_picture_are_not_decoded(side: int) -> None:
    at = JPEG.index(b"\xff\xc0") + 5
    with pytest.raises(BrokenFrame, match="announces"):
        decode_frame(JPEG[:at] + struct.pack(">HH", side, side) + JPEG[at + 4 :])
