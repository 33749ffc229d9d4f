"""Parses the head of an HTTP request (RFC 9112) from bytes that anybody may have sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

_LINE = re.compile(rb"([A-Z]{1,16}) (\S+) HTTP/1\.[0-9]")

_ONCE = frozenset({"host", "origin", "authorization", "content-length", "content-type", "transfer-encoding"})
"""Headers that decide who may do what, and what is read: with two values they could mean one thing to a proxy and
another here (RFC 9112, sections 3.2 and 6.3)."""


class BadRequest(Exception):
    """The bytes are not a valid request."""


@dataclass(frozen=True)
class Request:
    """A request without its body.

    Attributes:
        method: `GET`, for example.
        path: of its target, as sent.
        query: values of each name in its target.
        headers: by lower-case name; the last one if a name is repeated. Bytes that are not UTF-8 are escaped with
            `surrogateescape`, so that nothing is lost.
    """

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Bytes of the body that follows; `None` if not given, since chunked bodies are not read."""
        told = self.headers.get("content-length", "")
        plain = re.fullmatch("[0-9]{1,12}", told) is not None and "transfer-encoding" not in self.headers
        return int(told) if plain else None

    @property
    def has_body(self) -> bool:
        """Whether a body follows, of any length."""
        return "transfer-encoding" in self.headers or self.headers.get("content-length", "0") != "0"


def parse_request(head: bytes) -> Request:
    """Parse a request from its head.

    Args:
        head: up to and including the empty line.

    Raises:
        BadRequest: it is not a valid request.

    >>> parse_request(b"GET /state?token=a%20b HTTP/1.1\\r\\nHost: device\\r\\n\\r\\n").query
    {'token': ['a b']}
    """
    first, *rest = head.split(b"\r\n")
    line = _LINE.fullmatch(first)
    if line is None:
        raise BadRequest
    headers: dict[str, str] = {}
    for field in rest:
        if field:
            name, colon, value = field.partition(b":")
            if not colon:
                raise BadRequest
            key, told = _text(name).strip().lower(), _text(value).strip()
            if key in _ONCE and headers.get(key, told) != told:
                raise BadRequest
            headers[key] = told
    try:
        parts = urlsplit(_text(line[2]))
        query = parse_qs(parts.query, keep_blank_values=True, errors="surrogateescape", max_num_fields=100)
    except ValueError as error:
        raise BadRequest from error
    return Request(line[1].decode(), parts.path, query, headers)


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")
