"""Gives memory back to the system that films of many threads have left in pieces, so that a station stays small."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from contextlib import suppress

from edge_seg.station.session import Observer

EVERY_S = 60.0
"""Seconds between two times; each takes some milliseconds."""


def _trim_function() -> Callable[[int], int] | None:
    """`malloc_trim` of the GNU C library; other systems have none."""
    with suppress(OSError, AttributeError, TypeError):
        return ctypes.CDLL(None).malloc_trim
    return None


class FreedMemory(Observer):
    """Once a minute, gives the free pages of the process's heaps back.

    The GNU C library keeps a heap for each few threads and gives back only the end of one. A station of a week grew by
    500 bytes for each film so, though it held nothing more (`python -m edge_seg_lab.device_week`).

    Args:
        trim: gives free pages back; told how many bytes to keep at the end of a heap. `None` where there is none.
    """

    def __init__(self, trim: Callable[[int], int] | None = None) -> None:
        self._trim = trim or _trim_function()
        self._trimmed_at = -math.inf

    def tick(self) -> None:
        """See `Observer.tick`."""
        now = time.monotonic()
        if self._trim is None or now - self._trimmed_at < EVERY_S:
            return
        self._trimmed_at = now
        self._trim(0)
