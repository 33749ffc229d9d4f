"""Access to the page: by the token, or by the cookie of a browser that sent it before."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from enum import Enum

from edge_seg.address import is_loopback
from edge_seg.station.page.request import Request

_COOKIE = "edge-seg-session"
_HOST = re.compile(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::[0-9]+)?")


class Entry(Enum):
    """Whether a request may enter, and by what."""

    REFUSED = "refused"
    KNOWN = "known"
    BROUGHT_TOKEN = "brought token"


class Access:
    """Decides which requests may enter.

    Args:
        token: required of every viewer; `None` if only this machine can connect.
        secure: whether the page is served by TLS; browsers then send the cookie over TLS only.
    """

    def __init__(self, token: str | None, secure: bool) -> None:
        self._token = token
        # Proves that a browser knew the token, without revealing it.
        self._session = "" if token is None else hmac.new(_bytes(token), b"edge-seg page", hashlib.sha256).hexdigest()
        self._attributes = "; HttpOnly; SameSite=Strict; Path=/" + ("; Secure" if secure else "")

    def entry(self, request: Request) -> Entry:
        """Whether a request may enter."""
        if self._token is None:
            return Entry.KNOWN
        if _one_is(self._token, request.query.get("token", [])):
            return Entry.BROUGHT_TOKEN
        scheme, _, word = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _one_is(self._token, [word.strip()]):
            return Entry.KNOWN
        return Entry.KNOWN if _one_is(self._session, _cookies(request)) else Entry.REFUSED

    @property
    def cookie(self) -> str:
        """Value of Set-Cookie, only for a request that brought the token."""
        return f"{_COOKIE}={self._session}{self._attributes}"


def is_for_this_machine(request: Request) -> bool:
    """Whether a request addresses this machine by a loopback name.

    A web page whose host name was made to point here (DNS rebinding) must not read what only this machine may see.
    """
    host = _HOST.fullmatch(request.headers.get("host", ""))
    return host is not None and is_loopback(host[1] or host[2])


def is_from_elsewhere(request: Request) -> bool:
    """Whether a browser sends a request for a page from elsewhere (`Origin`, RFC 6454)."""
    origin = request.headers.get("origin")
    return origin is not None and origin.partition("://")[2] != request.headers.get("host", "")


def _cookies(request: Request) -> Iterable[str]:
    for part in request.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == _COOKIE:
            yield value


def _one_is(secret: str, given: Iterable[str]) -> bool:
    return any(hmac.compare_digest(_bytes(word), _bytes(secret)) for word in given)


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
