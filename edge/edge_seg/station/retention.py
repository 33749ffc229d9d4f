"""What is kept: results that are too old go, and the oldest while space is short. Never a film without its result."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from edge_seg.errors import OutputError
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import AnyRecord
from edge_seg.station.session import Observer

EVERY_S = 60.0
"""Seconds between two looks for results that are too old."""


@dataclass
class Retention(Observer):
    """Removes results from an output folder, oldest first, while a session goes on.

    Args:
        output: of the session.
        days: results older than this go; `None` keeps them.
        free_bytes: while less than this is free on the disk the oldest go; `None` keeps them.
        also: removes what else belongs to a film, given its source.
    """

    output: OutputFolder
    days: float | None = None
    free_bytes: int | None = None
    also: Callable[[str], None] = lambda source: None
    _looked_at: float = float("-inf")

    def tick(self) -> None:
        """See `Observer.tick`."""
        now = time.monotonic()
        if now - self._looked_at > EVERY_S:
            self._looked_at = now
            try:
                self.look()
            except OutputError:
                # A disk that takes no change says so where results are written.
                return

    def look(self) -> int:
        """Remove what is to go.

        Returns:
            How many films' results went.

        Raises:
            OutputError: the folder takes no change.
        """
        return self.output.remove_oldest(self._is_to_go, self.also)

    def _is_to_go(self, record: AnyRecord) -> bool:
        if self.days is not None and datetime.now(timezone.utc) - record.recorded > timedelta(days=self.days):
            return True
        return self.free_bytes is not None and shutil.disk_usage(self.output.folder).free < self.free_bytes
