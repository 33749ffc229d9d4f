"""A webhook: an HTTP service that takes the record of each film as JSON."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from edge_seg.errors import UsageError
from edge_seg.outputs.outbox.archive import PATIENCE_S, Archive, Trouble, with_bytes

_ITS_OWN_FAULT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.CONFLICT,
        HTTPStatus.GONE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
"""Statuses that concern the record, not the service or the client."""


@dataclass(frozen=True)
class Webhook(Archive):
    """A webhook by its address.

    Attributes:
        url: that records are posted to.
        authorization: value of the `Authorization` header, if the service wants one.
        tls: verifies a service at `https://`; by default with the system's certificate authorities.

    >>> str(Webhook.parse("https://his.example/films"))
    'https://his.example/films'
    """

    url: str
    authorization: str | None = field(default=None, repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def parse(text: str, authorization: str | None = None, tls: ssl.SSLContext | None = None) -> Webhook:
        """A webhook from its address.

        Raises:
            UsageError: it is not an address, or holds a password, which would appear in logs and process lists.
        """
        try:
            parts = urlsplit(text)
            named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            named = False
        if not named or parts.scheme not in ("http", "https") or parts.fragment:
            raise UsageError("--notify: no address of a webhook: give https://HOST/...")
        if "@" in parts.netloc:
            raise UsageError(
                f"--notify {parts.scheme}://{parts.hostname}: give the address without a password: "
                "what the service asks for goes into EDGE_SEG_NOTIFY_AUTHORIZATION"
            )
        return Webhook(text, authorization, tls)

    def __str__(self) -> str:
        # A query may hold a key.
        return self.url.partition("?")[0]

    @property
    def in_clear(self) -> bool:
        """Whether records travel without encryption."""
        return self.url.startswith("http://")

    def deliver(
        self,
        parcels: Sequence[Path],
        sender: str,
        answer: Callable[[Path, str | None], None],
        is_closing: Callable[[], bool],
    ) -> Trouble | None:
        """Post records over one connection, one request each; see `Archive.deliver`."""
        connection = self._connection()
        try:
            for path, data in with_bytes(parcels, answer, is_closing):
                trouble = self._post(connection, data, sender, path, answer)
                if trouble is not None:
                    return Trouble(f"{self} {trouble}", path)
        finally:
            connection.close()
        return None

    def _connection(self) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        if self.in_clear:
            return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE_S)
        context = self.tls or ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=PATIENCE_S, context=context)

    def _post(
        self,
        connection: http.client.HTTPConnection,
        data: bytes,
        sender: str,
        path: Path,
        answer: Callable[[Path, str | None], None],
    ) -> str | None:
        """Post a record; returns what keeps it and the rest from being sent."""
        parts = urlsplit(self.url)
        headers = {"Content-Type": "application/json", "User-Agent": sender, "Idempotency-Key": path.stem}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        try:
            connection.request("POST", target, data, headers)
            response = connection.getresponse()
            response.read(1 << 16)
            # The rest of a longer answer would be read as the next one.
            if not response.isclosed():
                connection.close()
        except ssl.SSLError as error:
            return f"cannot be trusted ({error.reason or error})"
        except (OSError, http.client.HTTPException):
            return "does not answer"
        status = response.status
        if 200 <= status < 300:
            answer(path, None)
        elif status in _ITS_OWN_FAULT:
            answer(path, f"{path.name}: the webhook refuses it, HTTP status {status}")
        elif 300 <= status < 400:
            return "redirects elsewhere: give the address that it redirects to"
        elif status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return f"refuses this device ({status}): set EDGE_SEG_NOTIFY_AUTHORIZATION"
        else:
            return f"answers {status}"
        return None
