"""A session as a systemd service: reports to systemd that it is up and alive, and its status (`sd_notify`).

The protocol is a datagram to the socket that `NOTIFY_SOCKET` names: sd_notify(3). Without it, nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from edge_seg.errors import EdgeSegError
from edge_seg.film import Failure, Film
from edge_seg.record import AnyRecord
from edge_seg.station.session import Observer, Summary


class Service(Observer):
    """Reports a session's status to systemd; the session itself feeds the watchdog, so one that hangs is restarted.

    Args:
        environment: variables that systemd sets; `os.environ` by default.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        known = dict(os.environ) if environment is None else environment
        self._socket: socket.socket | None = None
        address = known.get("NOTIFY_SOCKET", "")
        if address and hasattr(socket, "AF_UNIX"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            # A leading @ stands for the zero byte of an abstract address.
            self._address = "\0" + address[1:] if address.startswith("@") else address
        mine = known.get("WATCHDOG_PID") in (None, str(os.getpid()))
        # Fed at half the time that systemd waits, as sd_watchdog_enabled(3) advises.
        self._every_s = int(known.get("WATCHDOG_USEC", "0") if mine else "0") / 2e6
        self._fed_at = self._told_at = 0.0

    @property
    def is_one(self) -> bool:
        """Whether systemd runs this program and listens to it."""
        return self._socket is not None

    def started(self) -> None:
        """Report that films are taken from now on."""
        self._tell("READY=1", "STATUS=waiting for films")

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """See `Observer.film`."""
        now = time.monotonic()
        if now - self._told_at > 1:
            self._told_at = now
            self._tell(f"STATUS={summary.done} done, {summary.rejected} rejected, {summary.failed} failed")

    def tick(self) -> None:
        """See `Observer.tick`."""
        now = time.monotonic()
        if self._every_s and now - self._fed_at > self._every_s:
            self._fed_at = now
            self._tell("WATCHDOG=1")

    def waiting(self, error: EdgeSegError) -> None:
        """See `Observer.waiting`."""
        # The error may name a film, and the status ends up in the system's log.
        self._tell("STATUS=results cannot be written: see the page")

    def close(self) -> None:
        """Report a deliberate stop."""
        self._tell("STOPPING=1")
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            # systemd may be restarting itself; the session goes on.
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address)
