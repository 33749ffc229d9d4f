"""Hostile browsers: one that drips, stalls or never reads does not block the page for others."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from edge_seg.connections import Caps
from edge_seg.station.page import PageLimits, PageServer
from edge_seg.station.page.request import BadRequest, parse_request
from edge_seg.tls import server_context
from hypothesis import given
from hypothesis import strategies as st

Serve = Callable[..., PageServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    overlay = tmp_path / "film.overlay.png"
    with overlay.open("wb") as file:
        file.truncate(40 * 2**20)
    health: Any = SimpleNamespace(alive=True, overlay=lambda number: overlay, state=dict)
    with ExitStack() as opened:
        yield lambda **more: opened.enter_context(closing(PageServer("0", health, **more)))


def status(page: PageServer, path: str = "/healthz") -> int:
    with closing(HTTPConnection("127.0.0.1", page.port, timeout=5)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        return answer.status


class Drip(threading.Thread):
    """Opens connections and sends a byte of a request on each now and then, until stopped."""

    def __init__(self, port: int, count: int, every_s: float = 0.2) -> None:
        super().__init__(daemon=True)
        self._port, self._every_s = port, every_s
        self.held = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
        self.closed = 0
        self._end = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._end.wait(self._every_s):
            for number, connection in enumerate(self.held):
                try:
                    connection.sendall(b"G")
                except OSError:
                    self.closed += 1
                    self.held[number] = socket.create_connection(("127.0.0.1", self._port))

    def stop(self) -> None:
        self._end.set()
        self.join()
        for connection in self.held:
            connection.close()


@pytest.mark.parametrize("count", [16, 200])
def test_dripping_connections_shut_nobody_out(serve: Serve, count: int) -> None:
    page, before = serve(), threading.active_count()
    drip = Drip(page.port, count)
    try:
        slowest = 0.0
        for _ in range(100):
            start = time.monotonic()
            assert status(page) == 200
            slowest = max(slowest, time.monotonic() - start)
        assert slowest < 2
        # The dripping thread itself, and none for a connection.
        assert threading.active_count() <= before + 1
    finally:
        drip.stop()


def test_a_request_has_a_deadline_however_it_drips(serve: Serve) -> None:
    page = serve(limits=PageLimits(request_s=1.0))
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as peer:
        start = time.monotonic()
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 20:
                peer.sendall(b"G")
                time.sleep(0.05)
        assert 0.9 < time.monotonic() - start < 8


def test_an_answer_has_a_deadline_and_is_not_kept_in_memory(serve: Serve) -> None:
    page = serve(limits=PageLimits(answer_s=1.5))
    readers = []
    for _ in range(12):
        peer = socket.create_connection(("127.0.0.1", page.port), timeout=10)
        peer.sendall(b"GET /overlay/1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        readers.append(peer)
    # These never read; the others are served meanwhile, even with the same picture.
    assert status(page) == 200
    assert status(page, "/overlay/1") == 200
    time.sleep(2.5)
    for peer in readers:
        received = 0
        with peer:
            try:
                while part := peer.recv(1 << 20):
                    received += len(part)
            except ConnectionError:
                pass
        assert received < 40 * 2**20


def test_who_opens_too_many_loses_the_oldest(serve: Serve) -> None:
    page = serve(limits=PageLimits(caps=Caps(most=8, of_a_peer=4)))
    held = [socket.create_connection(("127.0.0.1", page.port), timeout=5) for _ in range(6)]
    assert status(page) == 200
    # Three were closed: two for connections, one for the request.
    ended = []
    for peer in held:
        peer.settimeout(0.5)
        try:
            ended.append(peer.recv(1) == b"")
        except TimeoutError:
            ended.append(False)
        except ConnectionError:
            ended.append(True)
    assert ended == [True, True, True, False, False, False]


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n",
        b"GET /state HTTP/1.1\r\nHost: [::1\r\n\r\n",
    ],
    ids=range(9),
)
def test_what_is_no_request_is_told_so_and_hurts_nobody(serve: Serve, sent: bytes) -> None:
    page = serve()
    with socket.create_connection(("127.0.0.1", page.port), timeout=10) as peer:
        peer.sendall(sent)
        try:
            said = peer.recv(100)
        except ConnectionError:
            # The server had not read all of it.
            said = b""
        assert said == b"" or said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 403 ", b"HTTP/1.1 405 "))
    assert status(page) == 200


@given(st.binary(max_size=300) | st.binary(max_size=60).map(lambda more: b"GET /" + more + b" HTTP/1.1\r\n\r\n"))
def test_any_bytes_are_a_request_or_refused(head: bytes) -> None:
    try:
        parsed = parse_request(head)
    except BadRequest:
        return
    assert parsed.method.isascii()


def test_a_closed_page_leaves_no_thread_and_no_port(serve: Serve) -> None:
    page = serve()
    drip = Drip(page.port, 4)
    page.close()
    drip._end.set()
    assert not any(thread.name == "page" for thread in threading.enumerate())
    with pytest.raises(OSError):  # noqa: PT011 (refused, whatever it is called)
        status(page)
    page.close()


def test_over_tls(serve: Serve, certificate: tuple[Path, Path]) -> None:
    import urllib.request

    cert, key = certificate
    page = serve(tls=server_context(cert, key), limits=PageLimits(caps=Caps(handshake_s=1.0)))
    assert page.url.startswith("https://")
    # Half-open handshakes block nobody, and end.
    held = [socket.create_connection(("127.0.0.1", page.port), timeout=10) for _ in range(20)]
    trusted = ssl.create_default_context(cafile=cert)
    with urllib.request.urlopen(f"https://localhost:{page.port}/healthz", timeout=10, context=trusted) as answer:
        assert answer.read() == b"ok\n"
    with urllib.request.urlopen(f"https://localhost:{page.port}/overlay/1", timeout=30, context=trusted) as answer:
        assert len(answer.read()) == 40 * 2**20
    with pytest.raises((HTTPException, OSError)):
        status(page)
    start = time.monotonic()
    for peer in held:
        with peer:
            try:
                assert peer.recv(100) == b""
            except ConnectionError:
                continue
    assert time.monotonic() - start < 8
