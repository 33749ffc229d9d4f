"""Connections from peers that may be hostile: how many are allowed, and which one is closed to make room.

A connection that has not yet sent its request costs a few kB in an event loop, and no thread. When there are too many,
the oldest of these from the peer with the most connections is closed: a peer that opens many displaces only its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from edge_seg.boundary import kind_and_place
from edge_seg.log import room_logger

_Result = TypeVar("_Result")

_LOG = room_logger("edge_seg.connections")

_BUFFER = 16 * 1024
"""Bytes of read-ahead, and so the longest possible line or request head."""

_BACKLOG = 128
_REST_S = 0.1
"""Pause after the system failed to accept a connection, for lack of descriptors for example."""


@dataclass(frozen=True)
class Caps:
    """Limits on connections.

    Attributes:
        most: in total.
        of_a_peer: from one address; with IPv6, from one /64 network.
        handshake_s: seconds for an entire TLS handshake.
    """

    most: int = 128
    of_a_peer: int = 48
    handshake_s: float = 10.0


@dataclass(eq=False)
class Connection:
    """A peer's connection.

    Attributes:
        address: of the peer, as its socket reports it.
        peer: key by which the caps count it.
        reader, writer: streams, ready when it is served.
        has_asked: whether it has sent its request; until then it is closed first.
        since: monotonic seconds at which it was opened.
    """

    address: tuple[Any, ...]
    peer: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter = field(init=False)
    has_asked: bool = False
    since: float = field(default_factory=time.monotonic)


class ConnectionServer:
    """Accepts connections in its own thread and serves each in an event loop there, until `close`.

    Args:
        host, port: where to listen; port 0 takes any free one.
        serve: serves a connection, which is closed when this returns, raises, or is cancelled.
        name: of the thread.
        caps: limits on connections.
        tls: if given, peers must use TLS.

    Attributes:
        port: that it listens on.

    Raises:
        OSError: it cannot listen on the port.
    """

    def __init__(
        self,
        host: str,
        port: int,
        serve: Callable[[Connection], Awaitable[None]],
        name: str,
        caps: Caps | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._serve, self._caps, self._tls = serve, caps or Caps(), tls
        self._listening = _listen(host, port)
        self.port = int(self._listening.getsockname()[1])
        self._open: dict[Connection, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._accepting: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Close every connection and accept no more; may be called repeatedly."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join()

    def call(self, work: Callable[[], None]) -> None:
        """Schedule work in the loop, from any thread."""
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def _run(self) -> None:
        with contextlib.closing(self._loop), self._listening:
            self._accepting = self._loop.create_task(self._accept())
            with contextlib.suppress(asyncio.CancelledError):
                self._loop.run_until_complete(self._accepting)
            self._loop.run_until_complete(self._loop.shutdown_default_executor())

    def _end(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()

    async def _accept(self) -> None:
        try:
            while True:
                try:
                    accepted, address = await self._loop.sock_accept(self._listening)
                except OSError as error:
                    _LOG.warning("no connection can be accepted (%s)", error.strerror)
                    await asyncio.sleep(_REST_S)
                    continue
                connection = Connection(address, _peer(address[0]), asyncio.StreamReader(_BUFFER))
                self._make_room(connection.peer)
                self._open[connection] = self._loop.create_task(self._attend(connection, accepted))
                # Let open connections run before accepting the next one.
                await asyncio.sleep(0)
        finally:
            tasks = list(self._open.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _make_room(self, peer: str) -> None:
        """Close a connection if a limit is reached."""
        count = Counter(connection.peer for connection in self._open)
        if count[peer] < self._caps.of_a_peer:
            if len(self._open) < self._caps.most:
                return
            peer = count.most_common(1)[0][0]
        theirs = [connection for connection in self._open if connection.peer == peer]
        victim = min(theirs, key=lambda connection: (connection.has_asked, connection.since))
        _LOG.info("%s has %d connections open: the oldest is closed", peer, len(theirs))
        self._open.pop(victim).cancel()

    async def _attend(self, connection: Connection, accepted: socket.socket) -> None:
        transport: asyncio.BaseTransport | None = None
        try:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            protocol = asyncio.StreamReaderProtocol(connection.reader)
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=self._tls,
                ssl_handshake_timeout=self._caps.handshake_s if self._tls is not None else None,
            )
            connection.writer = asyncio.StreamWriter(transport, protocol, connection.reader, self._loop)
            await self._serve(connection)
        except (OSError, EOFError, asyncio.TimeoutError) as error:
            # The peer went away or was too slow, which concerns no other connection.
            _LOG.debug("%s: %s", connection.peer, type(error).__name__)
        # One connection, one boundary: a failure must not end the others.
        except Exception as error:
            _LOG.error("%s: the connection failed (%s)", connection.peer, kind_and_place(error))
        finally:
            self._open.pop(connection, None)
            if isinstance(transport, asyncio.Transport):
                transport.abort()
            else:
                accepted.close()


async def within(seconds: float, work: Awaitable[_Result]) -> _Result:
    """The result of work that has a deadline.

    Raises:
        asyncio.TimeoutError: it took longer, whatever progress it made.
    """
    # Before Python 3.12, `asyncio.wait_for` loses a cancellation that comes as the work ends:
    # https://github.com/python/cpython/issues/86296
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=max(0.0, seconds))
        if not task.done():
            raise asyncio.TimeoutError
        return task.result()
    finally:
        task.cancel()
        # Also retrieves what was raised during cancellation, or asyncio logs that it was never retrieved.
        await asyncio.gather(task, return_exceptions=True)


def _listen(host: str, port: int) -> socket.socket:
    try:
        if ":" not in host:
            listening = socket.create_server((host, port), backlog=_BACKLOG)
        else:
            both = host == "::" and socket.has_dualstack_ipv6()
            listening = socket.create_server(
                (host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=both
            )
    except UnicodeError as error:
        raise OSError(f"{host} is no name of a host") from error
    except OSError as error:
        # Drop the address that Python appends; the caller has it.
        raise OSError(error.errno, str(error.strerror or error).partition(" (while attempting")[0]) from error
    listening.setblocking(False)
    return listening


def _peer(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        # A peer with one address of a /64 network has all of them.
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)
