"""Guards the associations of DICOM senders: pynetdicom receives only whole PDUs, within the limits and in time.

pynetdicom reads a PDU in a thread that waits for each byte without a deadline, and allocates any length that a peer
claims. So an event loop sits in front of it: it reads each PDU whole, within one deadline, checks it, and passes it on
through a pair of sockets. An association takes one of the few slots only once its request has arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edge_seg.connections import Caps, Connection, ConnectionServer, within
from edge_seg.log import room_logger
from edge_seg.sources.upper_layer import (
    ABORT,
    ABORTED,
    ASSOCIATE_RQ,
    BUSY,
    HEAD_BYTES,
    P_DATA,
    Limits,
    Messages,
    ProtocolError,
    check_head,
)

_LOG = room_logger(__name__)

_CLOSING_S = 5.0
"""Seconds that pynetdicom's threads are given to end by themselves."""

_LOOK_S = 0.05
_PART = 64 * 1024


@dataclass(eq=False)
class _Slot:
    """An association.

    Attributes:
        peer: the sender.
        task: serves it.
        idle_since: monotonic time since which no message is under way, `None` while one is.
    """

    peer: str
    task: asyncio.Task[Any]
    idle_since: float | None = None


class AssociationServer:
    """Listens for senders and serves them through pynetdicom, until `close`.

    Args:
        host, port: where to listen; port 0 takes any free port.
        entity: pynetdicom's AE, with its contexts.
        handlers: of its events.
        limits: on what senders may ask for.
        tls: if given, senders must use TLS.

    Attributes:
        port: on which it listens.

    Raises:
        OSError: the port cannot be opened.
    """

    def __init__(
        self,
        host: str,
        port: int,
        entity: Any,
        handlers: Sequence[Any],
        limits: Limits,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._slots: list[_Slot] = []
        self._inside = _Inside(entity, handlers)
        try:
            caps = Caps(limits.connections, limits.connections_of_a_peer)
            self._server = ConnectionServer(host, port, self._serve, "DICOM", caps, tls)
        except OSError:
            self._inside.close()
            raise
        self.port = self._server.port

    def close(self) -> None:
        """End all associations and stop listening; repeating this does no harm."""
        self._server.close()
        self._inside.close()

    async def _serve(self, connection: Connection) -> None:
        """Serve a connection from its request on."""
        try:
            kind, request = await within(self._limits.request_s, _read_pdu(connection.reader, first=True))
        except ProtocolError as error:
            await self._hang_up(connection, ABORTED, error)
            return
        if kind != ASSOCIATE_RQ:
            return
        slot = await self._take_slot(connection)
        if slot is None:
            await self._hang_up(connection, BUSY, ProtocolError("all associations are taken"))
            return
        connection.has_asked = True
        try:
            await _Relay(connection, slot, self._limits, self._inside).run(request)
        except ProtocolError as error:
            await self._hang_up(connection, ABORTED, error)
        except asyncio.CancelledError:
            connection.writer.write(ABORTED)
            raise
        finally:
            self._slots.remove(slot)

    async def _take_slot(self, connection: Connection) -> _Slot | None:
        """A slot for an association; `None` if none comes free in time."""
        task = asyncio.current_task()
        assert task is not None
        deadline = time.monotonic() + self._limits.slot_s
        while len(self._slots) >= self._limits.associations:
            if time.monotonic() > deadline:
                return None
            self._end_an_idle_one()
            await asyncio.sleep(_LOOK_S)
        slot = _Slot(connection.peer, task)
        self._slots.append(slot)
        return slot

    def _end_an_idle_one(self) -> None:
        """End the longest-idle association of the peer that has the most."""
        longest = time.monotonic() - self._limits.idle_s
        idle = [slot for slot in self._slots if slot.idle_since is not None and slot.idle_since <= longest]
        if idle:
            count = Counter(slot.peer for slot in self._slots)
            victim = min(idle, key=lambda slot: (-count[slot.peer], slot.idle_since))
            # So that it is not chosen again while it ends.
            victim.idle_since = None
            _LOG.info("%s: an idle association gives way", victim.peer)
            victim.task.cancel()

    async def _hang_up(self, connection: Connection, pdu: bytes, reason: ProtocolError) -> None:
        _LOG.warning("%s: association ended: %s", connection.peer, reason)
        connection.writer.write(pdu)
        connection.writer.close()
        await within(self._limits.silence_s, connection.writer.wait_closed())


class _Relay:
    """An association between a sender and pynetdicom."""

    def __init__(self, connection: Connection, slot: _Slot, limits: Limits, inside: _Inside) -> None:
        self._connection, self._slot, self._limits, self._inside = connection, slot, limits, inside
        self._messages = Messages()
        self._answered = asyncio.Event()

    async def run(self, request: bytes) -> None:
        """Relay until one side ends it."""
        reader, writer = await self._inside.associate(self._connection.address)
        back = asyncio.create_task(self._answers(reader))
        forth = asyncio.create_task(self._requests(request, writer))
        try:
            await asyncio.wait({back, forth}, return_when=asyncio.FIRST_COMPLETED)
            if not back.done() and not forth.cancelled() and forth.exception() is None:
                # The sender is gone: let pynetdicom finish and end its thread.
                writer.write_eof()
                await within(self._limits.answer_s, asyncio.shield(back))
            for task in (forth, back):
                if task.done():
                    task.result()
        finally:
            for task in (back, forth):
                task.cancel()
            await asyncio.gather(back, forth, return_exceptions=True)
            writer.transport.abort()

    async def _requests(self, request: bytes, inside: asyncio.StreamWriter) -> None:
        """Pass on what the sender sends."""
        reader, limits, messages = self._connection.reader, self._limits, self._messages
        pdu, kind = request, ASSOCIATE_RQ
        began = 0.0
        while True:
            inside.write(pdu)
            await inside.drain()
            if kind == ABORT:
                return
            if kind != P_DATA or not messages.under_way:
                self._slot.idle_since = began = time.monotonic()
            allowed = limits.silence_s + messages.received / limits.slowest
            try:
                kind, pdu = await within(began + allowed - time.monotonic(), _read_pdu(reader))
            except asyncio.TimeoutError:
                raise ProtocolError("the sender is silent or too slow") from None
            except asyncio.IncompleteReadError:
                return
            self._slot.idle_since = None
            if kind == P_DATA:
                if not messages.under_way:
                    # The silence before a message does not count towards it.
                    began = time.monotonic()
                self._answered.clear()
                if messages.take(pdu[HEAD_BYTES:]):
                    inside.write(pdu)
                    await inside.drain()
                    pdu = b""
                    # One message at a time, or the sender decides how much memory is used.
                    await within(limits.answer_s, self._answered.wait())

    async def _answers(self, reader: asyncio.StreamReader) -> None:
        """Pass back what pynetdicom answers."""
        writer = self._connection.writer
        while data := await reader.read(_PART):
            self._answered.set()
            writer.write(data)
            await within(self._limits.silence_s, writer.drain())
        writer.close()
        await within(self._limits.silence_s, writer.wait_closed())


class _Inside:
    """pynetdicom's side: serves the sockets it is given, and listens on none."""

    def __init__(self, entity: Any, handlers: Sequence[Any]) -> None:
        from pynetdicom import transport

        class Handler(transport.RequestHandler):
            def handle(self) -> None:
                association = self._create_association()
                # A thread that hangs must not keep the process from ending.
                association.daemon = association.dul.daemon = True
                association.start()

        class Server(transport.AssociationServer):
            def server_bind(self) -> None:
                """Do nothing: this server does not listen."""

            def server_activate(self) -> None:
                """See `server_bind`."""

        # It also counts associations that have ended, so slots are counted here instead.
        entity.maximum_associations = 1_000_000
        # pynetdicom looks this address up for every association: a name would need a name server each time.
        address = ("127.0.0.1", 0)
        self._server = Server(
            entity, address, entity.ae_title, entity.supported_contexts, None, list(handlers), Handler
        )

    async def associate(self, address: tuple[Any, ...]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Begin an association with a peer: write what the peer sends, read what it is to receive."""
        ours, theirs = socket.socketpair()
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._server.finish_request, theirs, address)
            return await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            theirs.close()
            raise

    def close(self) -> None:
        """Wait briefly for its threads, whose sockets are closed."""
        deadline = time.monotonic() + _CLOSING_S
        for association in self._server.active_associations:
            association.join(max(0.0, deadline - time.monotonic()))
        with contextlib.suppress(OSError):
            self._server.server_close()


async def _read_pdu(reader: asyncio.StreamReader, *, first: bool = False) -> tuple[int, bytes]:
    """Type and bytes of the next PDU.

    Raises:
        ProtocolError: it is not allowed here.
        asyncio.IncompleteReadError: the sender is gone.
    """
    head = await reader.readexactly(HEAD_BYTES)
    kind, length = check_head(head, first=first)
    return kind, head + await reader.readexactly(length)
