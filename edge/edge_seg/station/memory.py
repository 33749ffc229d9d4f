"""Returns fragmented memory of many threads to the system, so that a station stays small."""

from __future__ import annotations

import ctypes
import math
import time
from collections.abc import Callable
from contextlib import suppress

from edge_seg.station.session import Observer

EVERY_S = 60.0
"""Seconds between trims; each takes some milliseconds."""


def _trim_function() -> Callable[[int], int] | None:
    """`malloc_trim` of the GNU C library; `None` on other systems."""
    with suppress(OSError, AttributeError, TypeError):
        return ctypes.CDLL(None).malloc_trim
    return None


class FreedMemory(Observer):
    """Returns the free pages of the process's heaps to the system once a minute.

    The GNU C library keeps one heap for every few threads and returns only the end of each. Over a week, a station thus
    grew by 500 bytes per film without holding anything more (`python -m edge_seg_lab.device_week`).

    Args:
        trim: returns free pages, given how many bytes to keep at the end of a heap; by default `malloc_trim`, if any.
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
