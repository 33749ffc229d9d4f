"""Serves the page. Every request has a deadline as a whole, and no connection keeps another from being served."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

from edge_seg.address import is_loopback, parse_address, reachable_host
from edge_seg.connections import Caps, Connection, ConnectionServer, within
from edge_seg.errors import DeviceError
from edge_seg.log import room_logger
from edge_seg.station.health import Health
from edge_seg.station.page.access import Access, Entry, is_for_this_machine
from edge_seg.station.page.request import BadRequest, Request, parse_request
from edge_seg.station.page.routes import HEALTH, Answer, answer, health_answer

_LOG = room_logger(__name__)

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}
_READERS = 2
"""Threads that wait for the disk; `/healthz` needs none of them."""

_PART = 64 * 1024
"""Bytes of an answer in memory at a time."""


@dataclass(frozen=True)
class PageLimits:
    """What those who look may ask of this device.

    Attributes:
        request_s: seconds in which a request must have come as a whole.
        answer_s: seconds in which its answer must have been taken as a whole.
        wrong_token_s: seconds that a wrong token waits for its answer, so that guessing takes years.
        caps: connections at the same time.
    """

    request_s: float = 10.0
    answer_s: float = 60.0
    wrong_token_s: float = 0.5
    caps: Caps = field(default_factory=Caps)


class PageServer:
    """Serves a session's page from threads of its own until `close`.

    Args:
        address: `[HOST:]PORT`; without a host only this machine can look. Port 0 takes any that is free.
        health: of the session.
        token: who looks from elsewhere must know it; made up where none is given.
        tls: certificate and key; without it the page is served in clear.
        limits: to what may be asked.

    Attributes:
        address: of the page as a browser elsewhere has it, without a token.
        url: to open, with the token where one is needed.
        port: that it listens at.
        is_local: whether only this machine can look.

    Raises:
        UsageError: no such address.
        DeviceError: the port cannot be had.
    """

    def __init__(
        self,
        address: str,
        health: Health,
        token: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        limits: PageLimits | None = None,
    ) -> None:
        host, port = parse_address(address, "--view", 8080)
        self._health, self._limits = health, limits or PageLimits()
        self._here = is_loopback(host)
        token = None if self._here else token or secrets.token_urlsafe(16)
        self._access = Access(token, secure=tls is not None)
        self._readers = ThreadPoolExecutor(_READERS, "page")
        try:
            self._server = ConnectionServer(host, port, self._serve, "page", self._limits.caps, tls)
        except OSError as error:
            raise DeviceError(
                f"--view {host}:{port}: the port cannot be had ({error.strerror or error}): choose another"
            ) from error
        self.port = self._server.port
        host = reachable_host(host)
        shown = f"[{host}]" if ":" in host else host
        self.address = f"{'http' if tls is None else 'https'}://{shown}:{self.port}/"
        self.is_local = self._here
        self.url = self.address + ("" if token is None else f"?token={quote(token, safe='')}")

    def close(self) -> None:
        """Serve no more."""
        self._server.close()
        self._readers.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, connection: Connection) -> None:
        """Answer one request."""
        try:
            head = await within(self._limits.request_s, connection.reader.readuntil(b"\r\n\r\n"))
            request = parse_request(head)
        except (asyncio.LimitOverrunError, BadRequest):
            too_long = Answer(HTTPStatus.BAD_REQUEST, b"this is no request\n")
            await within(self._limits.answer_s, _send(connection, too_long, {}, with_body=True))
            return
        connection.has_asked = True
        headers: dict[str, str] = {}
        found = await self._answer(request, headers)
        await within(self._limits.answer_s, _send(connection, found, headers, with_body=request.method != "HEAD"))

    async def _answer(self, request: Request, headers: dict[str, str]) -> Answer:
        if self._here and not is_for_this_machine(request):
            return Answer(HTTPStatus.FORBIDDEN, b"this page is for this machine alone\n")
        if request.method not in ("GET", "HEAD"):
            headers["Allow"] = "GET, HEAD"
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, b"nothing can be changed here\n")
        if request.path == HEALTH:
            return health_answer(self._health)
        entry = self._access.entry(request)
        if entry is Entry.REFUSED:
            _LOG.info("a request without the token was refused")
            if "token" in request.query or "authorization" in request.headers:
                await asyncio.sleep(self._limits.wrong_token_s)
            return Answer(HTTPStatus.UNAUTHORIZED, b"open the address that edge-seg run printed, with its token\n")
        found = await asyncio.get_running_loop().run_in_executor(self._readers, answer, request.path, self._health)
        if entry is Entry.BROUGHT_TOKEN:
            # So that the address that is shown, and copied, need not hold the token for ever.
            headers["Set-Cookie"] = self._access.cookie
        return found


async def _send(connection: Connection, sent: Answer, headers: dict[str, str], *, with_body: bool) -> None:
    length = sent.body.stat().st_size if isinstance(sent.body, Path) else len(sent.body)
    lines = {**_HEADERS, "Content-Type": sent.kind, "Content-Length": str(length), **headers}
    head = f"HTTP/1.1 {sent.status.value} {sent.status.phrase}\r\n"
    writer = connection.writer
    writer.write((head + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n").encode())
    if with_body and isinstance(sent.body, bytes):
        writer.write(sent.body)
    elif with_body and isinstance(sent.body, Path):
        with sent.body.open("rb") as file:
            while length > 0 and (part := file.read(min(_PART, length))):
                length -= len(part)
                writer.write(part)
                await writer.drain()
    await writer.drain()
    writer.close()
    await writer.wait_closed()
