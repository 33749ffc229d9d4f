"""Serves the page. No path of a request ever names a file: films are asked for by number, assets by a table."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from edge_seg.address import is_loopback, parse_address
from edge_seg.errors import DeviceError
from edge_seg.station.health import Health
from edge_seg.station.page.metrics import metrics

_ASSETS = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_POLICY = "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'"
_COOKIE = "edge-seg-token"
_PATIENCE_S = 10.0
_MOST_CONNECTIONS = 16


class PageServer:
    """Serves a session's page from threads of its own until `close`.

    Args:
        address: `[HOST:]PORT`; without a host this machine alone can look. Port 0 takes any that is free.
        health: of the session.
        token: who looks from elsewhere must know it; made up where none is given.

    Attributes:
        url: to open, with the token where one is needed.

    Raises:
        UsageError: no such address.
        DeviceError: the port cannot be had.
    """

    def __init__(self, address: str, health: Health, token: str | None = None) -> None:
        host, port = parse_address(address, "--view", 8080)
        self._here = is_loopback(host)
        self._token = None if self._here else token or secrets.token_urlsafe(16)
        handler = type("Handler", (_Handler,), {"health": health, "token": self._token, "here": self._here})
        try:
            self._server = _Server((host, port), handler)
        except OSError as error:
            raise DeviceError(
                f"--view {host}:{port}: the port cannot be had ({error.strerror or error}): choose another"
            ) from error
        self.port = self._server.server_address[1]
        self.url = f"http://{host}:{self.port}/" + (f"?token={quote(self._token, safe='')}" if self._token else "")
        self._thread = threading.Thread(target=self._server.serve_forever, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = _MOST_CONNECTIONS

    def __init__(self, *arguments: Any) -> None:
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            # Who opens many connections and says nothing keeps nobody else from looking for long.
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    health: Health
    token: str | None
    here: bool
    brought_token = False
    timeout = _PATIENCE_S
    server_version = "edge-seg"
    sys_version = ""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if self.here and not is_loopback(urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""):
            # A page elsewhere whose name was made to point here must not read this one.
            self._answer(HTTPStatus.FORBIDDEN, b"this page is for this machine alone\n")
        elif parts.path == "/healthz":
            alive = self.health.alive
            status = HTTPStatus.OK if alive else HTTPStatus.SERVICE_UNAVAILABLE
            self._answer(status, b"ok\n" if alive else b"stuck\n")
        elif not self._may_look(parts.query):
            self._answer(HTTPStatus.UNAUTHORIZED, b"open the address that edge-seg run printed, with its token\n")
        elif parts.path in _ASSETS:
            name, kind = _ASSETS[parts.path]
            self._answer(
                HTTPStatus.OK, resources.files("edge_seg.station.page").joinpath("assets", name).read_bytes(), kind
            )
        elif parts.path == "/state":
            self._answer(HTTPStatus.OK, json.dumps(self.health.state()).encode(), "application/json")
        elif parts.path == "/metrics":
            self._answer(HTTPStatus.OK, metrics(self.health.state()).encode(), "text/plain; version=0.0.4")
        elif parts.path.startswith("/overlay/") and parts.path[9:].isascii() and parts.path[9:].isdecimal():
            self._overlay(int(parts.path[9:]))
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"there is nothing here\n")

    def _overlay(self, number: int) -> None:
        path = self.health.overlay(number)
        try:
            data = path.read_bytes() if path is not None else None
        except OSError:
            data = None
        if data is None:
            self._answer(HTTPStatus.NOT_FOUND, b"no such film\n")
        else:
            self._answer(HTTPStatus.OK, data, "image/png")

    def _may_look(self, query: str) -> bool:
        if self.token is None:
            return True
        self.brought_token = _one_is(self.token, parse_qs(query, errors="surrogateescape").get("token", []))
        # The library reads bytes of headers as Latin-1.
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        bearer = bearer.encode("latin-1", "replace").decode(errors="surrogateescape")
        try:
            cookie = SimpleCookie(self.headers.get("Cookie", "")).get(_COOKIE)
        except CookieError:
            cookie = None
        return (
            self.brought_token
            or _one_is(self.token, [bearer])
            or (cookie is not None and _one_is(session_value(self.token), [cookie.value]))
        )

    def _answer(self, status: HTTPStatus, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", _POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        if self.token and self.brought_token:
            # So that the address that is shown, and copied, need not hold the token for ever.
            value = session_value(self.token)
            self.send_header("Set-Cookie", f"{_COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Who looked when is nobody's business."""


def session_value(token: str) -> str:
    """What a browser keeps in its cookie: shows that it knew the token, and does not give the token away."""
    return hmac.new(token.encode(), b"edge-seg page session", hashlib.sha256).hexdigest()


def _one_is(secret: str, given: list[str]) -> bool:
    return any(hmac.compare_digest(word.encode(errors="surrogateescape"), secret.encode()) for word in given)
