"""Ports for servers that a test or a measurement starts as processes of their own, which must be told theirs."""

from __future__ import annotations

import random
import socket

# Below those that Linux gives to connections, and to servers that name no port (32768 and up, see ip(7)), so that
# nothing else takes one before its server listens.
_FIRST, _LAST = 20_000, 32_767
_given: set[int] = set()
_random = random.SystemRandom()  # a seed that a test sets must not give two processes the same ports


def free_port() -> int:
    """A port that nothing listens on, another one each time."""
    while True:
        port = _random.randint(_FIRST, _LAST)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
