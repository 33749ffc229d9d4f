"""Serves the page. Every request as a whole has a deadline, and no connection blocks another."""

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
from edge_seg.station.page.access import Access, Entry, is_for_this_machine, is_from_elsewhere
from edge_seg.station.page.answer import JSON, Answer, refusal
from edge_seg.station.page.api import PREFIX, SEGMENT, Api
from edge_seg.station.page.correcting import CORRECTIONS, MOST_BYTES, Correcting
from edge_seg.station.page.request import BadRequest, Request, parse_request
from edge_seg.station.page.routes import HEALTH, answer, health_answer
from edge_seg.station.shown import Shown

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
    """What viewers may demand of this device.

    Attributes:
        request_s: seconds within which a whole request must arrive.
        answer_s: seconds within which the peer must receive the whole answer.
        body_bytes: most bytes of a sent film.
        body_s: seconds within which the whole film must arrive.
        segment_s: seconds within which it must be segmented.
        linger_s: seconds for which the rest of a request that was answered early is read and dropped.
        films: sent films received and segmented at a time; the others are told to retry.
        wrong_token_s: seconds by which the answer to a wrong token is delayed, so that guessing takes years.
        caps: on simultaneous connections.
    """

    request_s: float = 10.0
    answer_s: float = 60.0
    body_bytes: int = 64_000_000
    body_s: float = 60.0
    segment_s: float = 60.0
    linger_s: float = 10.0
    films: int = 2
    wrong_token_s: float = 0.5
    caps: Caps = field(default_factory=Caps)


class PageServer:
    """Serves a session's page from its own threads until `close`.

    Args:
        address: `[HOST:]PORT`; without a host, only this machine can connect. Port 0 picks a free one.
        health: of the session.
        token: required of viewers if other machines can connect; generated if not given.
        tls: certificate and key; without it, the page is not encrypted.
        limits: on what viewers may demand.
        api: answers other programs; without it, nothing exists below `/v1`.
        correcting: takes corrected outlines; without it, nothing can be changed.

    Attributes:
        address: of the page as seen from another machine, without a token.
        url: to open, with the token if one is needed.
        port: that it listens on.
        is_local: whether only this machine can connect.

    Raises:
        UsageError: the address is invalid.
        DeviceError: the port is not available.
    """

    def __init__(
        self,
        address: str,
        health: Shown,
        token: str | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        limits: PageLimits | None = None,
        api: Api | None = None,
        correcting: Correcting | None = None,
    ) -> None:
        host, port = parse_address(address, "--view", 8080)
        self._health, self._limits = health, limits or PageLimits()
        self._here = is_loopback(host)
        token = None if self._here else token or secrets.token_urlsafe(16)
        self._access = Access(token, secure=tls is not None)
        self._api, self._films = api, 0
        self._correcting = correcting
        self._readers = ThreadPoolExecutor(_READERS, "page")
        self._workers = ThreadPoolExecutor(1, "segment")
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
        """Stop serving."""
        self._server.close()
        for threads in (self._readers, self._workers):
            threads.shutdown(wait=False, cancel_futures=True)

    async def _serve(self, connection: Connection) -> None:
        """Answer one request."""
        try:
            head = await within(self._limits.request_s, connection.reader.readuntil(b"\r\n\r\n"))
            request = parse_request(head)
        except (asyncio.LimitOverrunError, BadRequest):
            too_long = Answer(HTTPStatus.BAD_REQUEST, b"this is no request\n")
            await self._reply(connection, too_long, {}, has_more=True)
            return
        connection.has_asked = True
        headers: dict[str, str] = {}
        found = await self._answer(request, headers, connection)
        with_body = request.method != "HEAD"
        await self._reply(connection, found, headers, with_body=with_body, has_more=request.has_body)

    async def _reply(
        self, connection: Connection, sent: Answer, headers: dict[str, str], *, with_body: bool = True, has_more: bool
    ) -> None:
        """Send an answer and close; if the peer may still be sending, read the rest first."""

        async def reply() -> None:
            await _send(connection, sent, headers, with_body=with_body)
            if not has_more:
                await _close(connection)

        await within(self._limits.answer_s, reply())
        if has_more:
            await within(self._limits.linger_s, _drop_the_rest(connection))

    async def _answer(self, request: Request, headers: dict[str, str], connection: Connection) -> Answer:
        if self._here and not is_for_this_machine(request):
            return Answer(HTTPStatus.FORBIDDEN, b"this page is for this machine alone\n")
        allowed = self._allowed(request.path)
        if request.method not in allowed:
            headers["Allow"] = ", ".join(allowed)
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, f"here only by {' or '.join(allowed)}\n".encode())
        if request.path == HEALTH:
            return health_answer(self._health)
        entry = self._access.entry(request)
        if entry is Entry.REFUSED:
            _LOG.info("a request without the token was refused")
            if "token" in request.query or "authorization" in request.headers:
                await asyncio.sleep(self._limits.wrong_token_s)
            return Answer(HTTPStatus.UNAUTHORIZED, b"open the address that edge-seg run printed, with its token\n")
        if request.method == "POST":
            take = self._segment if request.path == SEGMENT else self._correct
            return await take(request, headers, connection)
        loop = asyncio.get_running_loop()
        if self._api is not None and request.path.startswith(PREFIX):
            found = await loop.run_in_executor(self._readers, self._api.get, request.path)
        elif self._correcting is not None and request.path.startswith(CORRECTIONS):
            found = await loop.run_in_executor(self._readers, self._correcting.get, request.path)
        else:
            found = await loop.run_in_executor(self._readers, answer, request.path, self._health)
        if entry is Entry.BROUGHT_TOKEN:
            # So that the address that is shown and copied need not hold the token for ever.
            headers["Set-Cookie"] = self._access.cookie
        return found

    def _allowed(self, path: str) -> tuple[str, ...]:
        """Methods that a path allows."""
        if path == SEGMENT and self._api is not None:
            return ("POST",)
        saves = self._correcting is not None and self._correcting.is_saved_at(path)
        return ("GET", "HEAD", "POST") if saves else ("GET", "HEAD")

    async def _correct(self, request: Request, headers: dict[str, str], connection: Connection) -> Answer:
        """The answer to corrected outlines."""
        if (refused := _refused(request, "the correction as JSON", MOST_BYTES)) is not None:
            return refused
        # No form on another page can send this type, however the browser treats cookies.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send it as {JSON}")
        body = await self._body(request, connection)
        assert self._correcting is not None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._correcting.post, request.path, body)

    async def _body(self, request: Request, connection: Connection) -> bytes:
        if request.headers.get("expect", "").lower() == "100-continue":
            connection.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return await within(self._limits.body_s, connection.reader.readexactly(request.length or 0))

    async def _segment(self, request: Request, headers: dict[str, str], connection: Connection) -> Answer:
        """The answer to a sent film."""
        limits = self._limits
        if (refused := _refused(request, "the film's bytes", limits.body_bytes)) is not None:
            return refused
        if self._films >= limits.films:
            headers["Retry-After"] = "1"
            return refusal(HTTPStatus.SERVICE_UNAVAILABLE, "busy with other films: try again")
        self._films += 1
        held = True

        def let_go(*_: object) -> None:
            self._films -= 1

        try:
            data = await self._body(request, connection)
            assert self._api is not None
            accept = request.headers.get("accept", "")
            work = asyncio.get_running_loop().run_in_executor(self._workers, self._api.segment, data, accept)
            # A thread cannot be stopped: its slot is free when it ends, not when the request stops waiting.
            work.add_done_callback(let_go)
            held = False
            return await within(limits.segment_s, asyncio.shield(work))
        except asyncio.TimeoutError:
            if held:
                raise
            return refusal(HTTPStatus.GATEWAY_TIMEOUT, f"not done within {limits.segment_s:.0f} s")
        finally:
            if held:
                let_go()


def _refused(request: Request, what: str, most: int) -> Answer | None:
    """Why a body is refused; `None` if it is accepted."""
    if is_from_elsewhere(request):
        return refusal(HTTPStatus.FORBIDDEN, "a page of another machine may send nothing")
    if not request.length:
        return refusal(HTTPStatus.BAD_REQUEST, f"send {what} as the body, with Content-Length")
    if request.length > most:
        return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {most:,} bytes")
    return None


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


async def _close(connection: Connection) -> None:
    """Close once everything is sent; over TLS, with a closing alert."""
    connection.writer.close()
    await connection.writer.wait_closed()


async def _drop_the_rest(connection: Connection) -> None:
    """Read and drop what a peer still sends, until it closes.

    Closing a connection with unread bytes resets it, and the reset overtakes the answer: the peer would not learn why
    it was refused (RFC 9112, section 9.6).
    """
    if connection.writer.can_write_eof():
        connection.writer.write_eof()
    while await connection.reader.read(_PART):
        pass
    await _close(connection)
