"""Addresses: `[HOST:]PORT` where a server listens, and URLs that may hold secrets."""

from __future__ import annotations

import re

from edge_seg.errors import UsageError

_SECRET_NAME = "pass|pwd|pw|pin|user|usr|login|token|key|auth|secret|code"

HIDDEN = "***"
"""Replaces a secret."""


def parse_address(text: str, option: str, example: int) -> tuple[str, int]:
    """Parse host and port; the host defaults to loopback, so that nothing is exposed by accident.

    Args:
        text: `[HOST:]PORT`.
        option: command option, for the message.
        example: port, for the message.

    Raises:
        UsageError: `text` is not an address.

    >>> parse_address("11112", "--listen", 11112), parse_address("[::]:80", "--view", 8080)
    (('127.0.0.1', 11112), ('::', 80))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"{option} {text}: give a port such as {example}, or HOST:PORT, 0.0.0.0:{example} for all networks"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is the loopback."""
    if host == "localhost":
        return True
    # Imported here, like `socket` below, because help loads this module and needs neither.
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable_host(host: str) -> str:
    """The name or address under which others reach a host that a server listens on; resolves `0.0.0.0` and `::`.

    >>> reachable_host("10.0.0.7")
    '10.0.0.7'
    """
    if host not in ("0.0.0.0", "::"):
        return host
    import socket

    # Connecting a UDP socket sends nothing but selects the outgoing interface. Addresses from RFC 5737 and RFC 3849.
    ways = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
    for family, far in ways:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((far, 9))
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return socket.gethostname()


def without_secrets(address: str) -> str:
    """An address for display: without user and password, and without the values of its parameters.

    Cameras take passwords under any name (`?pwd=`, `/user=admin_password=1234_channel=1`), so the only values shown are
    short numbers, which distinguish the channels of one camera.

    >>> without_secrets("rtsp://nurse:secret@10.0.0.7/film?pwd=123&usr=nurse&channel=1")
    'rtsp://10.0.0.7/film?pwd=***&usr=***&channel=1'
    >>> without_secrets("/dev/video0")
    '/dev/video0'
    """
    scheme, mark, rest = address.partition("://")
    if not mark:
        return address
    # Not `urlsplit`: text that it does not accept as a URL may still hold a secret.
    host, slash, path = re.match(r"([^/?#]*)([/?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    if "@" in path.partition("?")[0] and "@" not in host:
        # A password with an unescaped slash: everything up to the last @ may belong to it.
        host, slash, path = "", "", rest.rpartition("@")[2]
    place, question, query = (slash + path).partition("#")[0].partition("?")
    place = re.sub(r"=[^/]*", f"={HIDDEN}", place)
    query = "&".join(_hide_value(part) for part in re.split("[&;]", query)) if query else ""
    return f"{scheme}://{host.rpartition('@')[2]}{place}{question}{query}"


def holds_secrets(address: str) -> bool:
    """Whether an address may hold a secret.

    >>> holds_secrets("http://10.0.0.7/video"), holds_secrets("http://10.0.0.7/video?pwd=1234")
    (False, True)
    """
    return without_secrets(address) != address


def without_user(url: str) -> str:
    """A URL without user and password, to request when these are sent in a header.

    >>> without_user("http://nurse:secret@10.0.0.7/film?channel=1")
    'http://10.0.0.7/film?channel=1'
    """
    from urllib.parse import urlsplit, urlunsplit

    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def with_user(address: str, user: str | None, password: str | None) -> str:
    """Add user and password to an address if it is a URL without them.

    >>> with_user("rtsp://10.0.0.7/film", "nurse", "a@b")
    'rtsp://nurse:a%40b@10.0.0.7/film'
    """
    from urllib.parse import quote, urlsplit, urlunsplit

    if "://" not in address or user is None:
        return address
    parts = urlsplit(address)
    if "@" in parts.netloc:
        return address
    secret = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
    return urlunsplit(parts._replace(netloc=f"{secret}@{parts.netloc}"))


def _hide_value(part: str) -> str:
    name, mark, value = part.partition("=")
    if re.fullmatch("[0-9]{1,3}", value) and not re.search(_SECRET_NAME, name, re.IGNORECASE):
        return part
    return f"{name}{mark}{HIDDEN}" if mark else HIDDEN
