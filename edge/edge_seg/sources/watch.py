"""Films that appear in a folder, for as long as it is watched: saved, copied, renamed or still growing."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_seg.errors import InputError
from edge_seg.film import Film
from edge_seg.sources.attempts import MOST_ATTEMPTS, Attempts, set_aside
from edge_seg.sources.files import list_films, read_arrival
from edge_seg.sources.source import IDLE_S, Arrival, Failure, Source, SourceState
from edge_seg.sources.video import SUFFIXES as VIDEO_SUFFIXES

LOOK_EVERY_S = 0.5
"""Folders are looked at so often: works on network shares and memory cards, where no event would tell."""

SETTLED_S = 1.0
"""A file that has kept its size and date for so long is thought whole."""

PATIENCE_S = 10.0
"""One that cannot be read is given so long to grow before it has failed: a slow sender may have paused."""


@dataclass
class _Seen:
    """A file as it was last looked at."""

    state: tuple[int, int, int]
    since: float
    delivered: bool = False


class WatchedFolder(Source):
    """Films (not videos) in a folder and all below it: those there already, then each that appears, until stopped.

    A film is delivered once for each state of its file, when that has settled; whoever keeps the results knows by
    checksum which films of an earlier run are done. A folder that goes away is reported once and waited for.

    Args:
        folder: to watch.
        films: stop after so many; `None` goes on.
        attempts: counts how often each was tried.

    Raises:
        InputError: there is no such folder.
    """

    def __init__(self, folder: Path, films: int | None = None, attempts: Attempts | None = None) -> None:
        if not folder.is_dir():
            raise InputError(f"--watch {folder}: there is no such folder: make it, or mount what it lies on")
        self.total, self.endless = films, films is None
        self._folder, self._films = folder, films
        self._seen: dict[Path, _Seen] = {}
        self._gone = self._closed = False
        self._attempts = attempts or Attempts(None)
        self._in_hand: str | None = None

    def __iter__(self) -> Iterator[Arrival | None]:
        delivered, looked_at = 0, -math.inf
        while not self._closed:
            if time.monotonic() - looked_at > LOOK_EVERY_S:
                for arrival in self._look():
                    delivered += isinstance(arrival, Film)
                    yield arrival
                    if self._films is not None and delivered >= self._films:
                        return
                looked_at = time.monotonic()
            time.sleep(IDLE_S)
            yield None

    def settled(self, arrival: Arrival, record: dict[str, Any] | None) -> None:
        """See `Source.settled`."""
        if self._in_hand is not None:
            self._attempts.end(self._in_hand)
            self._in_hand = None

    def state(self) -> list[SourceState]:
        """See `Source.state`."""
        trouble = "is gone: mount what it lies on" if self._gone else None
        return [SourceState(f"folder {self._folder}", trouble=trouble)]

    def close(self) -> None:
        """Look no more. The film in hand did not stop the program, so this was no attempt at it."""
        self._closed = True
        if self._in_hand is not None:
            self._attempts.forgive(self._in_hand)

    def _look(self) -> Iterator[Arrival]:
        listed, problems = list_films(self._folder)
        if problems and not self._gone:
            yield from problems
        self._gone = bool(problems)
        if problems:
            # What is listed while a disk comes and goes would look like files that were removed.
            return
        found = [path for path in listed if path.suffix.lower() not in VIDEO_SUFFIXES]
        for path in self._seen.keys() - set(found):
            del self._seen[path]
        for path in found:
            arrival = self._arrival(path)
            if arrival is not None:
                yield arrival

    def _arrival(self, path: Path) -> Arrival | None:
        """The film in a file that is new and settled; a failure where it stays unreadable."""
        now = time.monotonic()
        state = _state(path)
        seen = self._seen.get(path)
        if state is None:
            return None
        if seen is None or seen.state != state:
            self._seen[path] = _Seen(state, now)
            return None
        if seen.delivered or now - seen.since < SETTLED_S:
            return None
        key = f"{path} {state}"
        if self._attempts.begin(key) > MOST_ATTEMPTS:
            arrival: Arrival = set_aside(path.name, str(path))
        else:
            arrival = read_arrival(path)
            unripe = isinstance(arrival, Failure) and now - seen.since < PATIENCE_S
            # Or it grew while it was read.
            if unripe or _state(path) != state:
                self._attempts.end(key)
                return None
        seen.delivered = True
        self._in_hand = key
        return arrival


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns
