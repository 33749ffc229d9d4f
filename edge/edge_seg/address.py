"""`[HOST:]PORT`, where a server listens."""

from __future__ import annotations

from edge_seg.errors import UsageError


def parse_address(text: str, option: str, example: int) -> tuple[str, int]:
    """Host and port; without a host this machine's own loopback, so that nobody is heard by accident.

    Args:
        text: `[HOST:]PORT`.
        option: of the command, for the message.
        example: port, for the message.

    Raises:
        UsageError: it is no address.

    >>> parse_address("11112", "--listen", 11112), parse_address("[::]:80", "--view", 8080)
    (('127.0.0.1', 11112), ('::', 80))
    """
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"{option} {text}: give a port such as {example}, or HOST:PORT, 0.0.0.0:{example} for all networks"
        )
    return host.strip("[]") or "127.0.0.1", int(port)
