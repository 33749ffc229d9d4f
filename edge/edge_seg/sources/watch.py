"""Films that appear in a watched folder: saved, copied, renamed or still growing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_seg.errors import InputError
from edge_seg.film import Arrival, Failure, Film
from edge_seg.log import room_logger
from edge_seg.sources.attempts import Attempts
from edge_seg.sources.files import FileState, file_state, is_folder, read_film_or_failure
from edge_seg.sources.listing import Listing
from edge_seg.sources.source import IDLE_S, Source, SourceState
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES

LOOK_EVERY_S = 0.5
"""Seconds between two scans of a folder: polling works on network shares and memory cards, which send no events."""

SETTLED_S = 1.0
"""Seconds for which a file must keep its size and date before it counts as complete."""

PATIENCE_S = 10.0
"""Seconds that an unreadable file is given to grow before it counts as failed: a slow sender may have paused."""


_LOOKS_AT_DELIVERED = 10
"""Scans of the folder per check of files already delivered: another film may arrive under the same name."""

_log = room_logger(__name__)


@dataclass
class _Seen:
    """A file as last seen."""

    state: FileState
    since: float
    delivered: bool = False


class WatchedFolder(Source):
    """Films (not videos) in a folder and its subfolders: existing ones, then each new one, until stopped.

    A film is delivered once for each settled state of its file; the output folder recognises the films done in an
    earlier run by checksum. A folder that disappears is reported once and waited for.

    Args:
        folder: to watch.
        films: stop after this many; `None` for no limit.
        attempts: counts how often each was tried.

    Raises:
        InputError: there is no such folder, or it cannot be reached.
    """

    def __init__(self, folder: Path, films: int | None = None, attempts: Attempts | None = None) -> None:
        if not is_folder(folder):
            raise InputError(f"--watch {folder}: there is no such folder: make it, or mount what it lies on")
        self.total, self.endless = films, films is None
        self._folder, self._films = folder, films
        self._listing, self._looks = Listing(folder, links_out=False), 0
        self._seen: dict[Path, _Seen] = {}
        self._gone = self._closed = False
        self._attempts = attempts or Attempts(None)

    def __iter__(self) -> Iterator[Arrival | None]:
        delivered, looked_at = 0, -math.inf
        while not self._closed:
            if time.monotonic() - looked_at > LOOK_EVERY_S:
                for arrival in self._look():
                    delivered += arrival is not None and isinstance(arrival.content, Film)
                    yield arrival
                    if self._films is not None and delivered >= self._films:
                        return
                looked_at = time.monotonic()
            time.sleep(IDLE_S)
            yield None

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        trouble = "is gone: mount what it lies on" if self._gone else None
        return [SourceState(f"folder {self._folder}", trouble=trouble)]

    def stopped(self) -> None:
        """See `Source.stopped`."""
        self._attempts.forgive()

    def close(self) -> None:
        """Stop watching."""
        self._closed = True
        self._attempts.close()

    def _look(self) -> Iterator[Arrival | None]:
        looked = self._listing.look()
        if looked.gone and not self._gone:
            _log.warning("a watched folder cannot be listed")
        self._gone = looked.gone
        yield from map(Arrival, looked.problems)
        if looked.gone:
            # A listing made while a disk comes and goes would look as if files had been removed.
            return
        found = [path for path in looked.films if path.suffix.lower() not in VIDEO_SUFFIXES]
        self._looks += 1
        for path in self._seen.keys() - set(found):
            del self._seen[path]
        for path in found:
            yield from self._arrivals(path)

    def _arrivals(self, path: Path) -> Iterator[Arrival | None]:
        """The film in a file that is new and settled; a failure if it stays unreadable."""
        now = time.monotonic()
        seen = self._seen.get(path)
        if seen is not None and seen.delivered and self._looks % _LOOKS_AT_DELIVERED:
            return
        state = file_state(path)
        if state is None:
            return
        if seen is None or seen.state != state:
            self._seen[path] = _Seen(state, now)
            return
        if seen.delivered or now - seen.since < SETTLED_S:
            return

        def read() -> Film | Failure | None:
            content = read_film_or_failure(path)
            unripe = isinstance(content, Failure) and now - seen.since < PATIENCE_S
            # The file may also have grown while it was read.
            return None if unripe or file_state(path) != state else content

        for arrival in self._attempts.hand_out(f"{path} {state}", path.name, str(path), read, stays=True):
            seen.delivered = seen.delivered or arrival is not None
            yield arrival
