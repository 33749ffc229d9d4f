"""Notices that the results disk is gone or no longer writable, even while no films arrive to show it."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from pathlib import Path

from edge_seg.log import room_logger
from edge_seg.station.session import Observer
from edge_seg.storage import flush_folder

EVERY_S = 30.0
"""Seconds between checks. Flushing an unchanged folder writes nothing, so a card does not wear."""

_log = room_logger(__name__)


class DiskWatch(Observer):
    """Checks twice a minute that a folder's disk can still be written.

    A file system reports free space from memory, even after its disk was pulled. A flush reaches the disk.

    Args:
        folder: where results are written.

    Attributes:
        trouble: what is wrong, in one line for a person; `None` while nothing is.
    """

    def __init__(self, folder: Path) -> None:
        self.trouble: str | None = None
        self._folder = folder
        self._device: int | None = None
        # The first check reports a disk that is already gone.
        with contextlib.suppress(OSError):
            self._device = folder.stat().st_dev
        self._looked_at = -math.inf

    def tick(self) -> None:
        """See `Observer.tick`."""
        now = time.monotonic()
        if now - self._looked_at < EVERY_S:
            return
        self._looked_at = now
        before, self.trouble = self.trouble, self._look()
        if self.trouble and not before:
            _log.warning("%s", self.trouble)
        elif before and not self.trouble:
            _log.info("%s: can be written again", self._folder)

    def _look(self) -> str | None:
        try:
            flush_folder(self._folder)
            device = self._folder.stat().st_dev
            if self._device is None:
                self._device = device
            if device != self._device:
                return f"{self._folder}: it lies on another disk than at the start: start edge-seg again"
            if hasattr(os, "statvfs") and os.statvfs(self._folder).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        except OSError as error:
            return f"{self._folder}: nothing can be written ({error.strerror}): see whether its disk is in and whole"
        return None
