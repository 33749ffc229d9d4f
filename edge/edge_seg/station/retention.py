"""Removes results that are too old, and the oldest while space is short. Never a film without its result."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from edge_seg.errors import OutputError
from edge_seg.film import Failure, Film
from edge_seg.log import reason_of, room_logger
from edge_seg.outputs.folder import OutputFolder
from edge_seg.record import AnyRecord
from edge_seg.station.session import Observer, Summary

EVERY_S = 60.0
"""Seconds between checks for results that are too old."""

SLICE_S = 0.2
"""Seconds spent removing at a time: films continue, and the watchdog hears that the session is alive."""

_DAY_S = 86_400

_log = room_logger(__name__)


@dataclass
class Retention(Observer):
    """Removes results from an output folder, oldest first, while a session runs.

    `OutputFolder.clock` counts the days; it does not trust a clock that jumps.

    Args:
        output: of the session.
        days: results older than this are removed; `None` keeps them.
        free_bytes: the oldest results are removed while less than this is free on the disk; `None` keeps them.
        also: removes anything else that belongs to a film, given its source.
        weigh: how many bytes that frees, given the source.
    """

    output: OutputFolder
    days: float | None = None
    free_bytes: int | None = None
    also: Callable[[str], None] = lambda source: None
    weigh: Callable[[str], int] = lambda source: 0
    _looked_at: float = -math.inf
    _work: Iterator[int] | None = None
    _removed: int = field(default=0, repr=False)

    def film(self, summary: Summary, content: Film | Failure, record: AnyRecord | None) -> None:
        """See `Observer.film`."""
        if record is None and isinstance(content, Film) and self.output.result_of(content) is None:
            # Its results were removed, so no record will take with it what came when the film was sent again.
            with suppress(OutputError):
                self.also(content.source)

    def tick(self) -> None:
        """See `Observer.tick`."""
        now = time.monotonic()
        if self._work is None:
            if now - self._looked_at <= EVERY_S:
                return
            self._looked_at = now
            self._work = self._begin()
        try:
            while time.monotonic() - now < SLICE_S:
                gone = next(self._work, None)
                if gone is None:
                    self._end()
                    return
                self._removed += gone
        except OutputError as error:
            # Only logged: writing results reports a disk that cannot be changed.
            _log.warning("results could not be removed (%s)", reason_of(error))
            self._end()

    def look(self) -> int:
        """Remove everything that is due.

        Returns:
            How many films had their results removed.

        Raises:
            OutputError: the folder cannot be changed.
        """
        return sum(self._begin())

    def _begin(self) -> Iterator[int]:
        return self.output.remove_oldest(self._is_to_go, self.also, self.weigh)

    def _end(self) -> None:
        if self._removed:
            _log.info("results of %d films were removed", self._removed)
        self._work, self._removed = None, 0

    def _is_to_go(self, record: AnyRecord, freed: int) -> bool:
        if self.days is not None:
            age_s = self.output.clock.age_s(record.recorded, record.clock_offset_s)
            if age_s > self.days * _DAY_S:
                return True
        if self.free_bytes is None:
            return False
        return shutil.disk_usage(self.output.folder).free + freed < self.free_bytes
