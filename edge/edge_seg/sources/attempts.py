"""Counts the attempts at each film: one that keeps stopping the whole program is set aside, not retried for ever.

A note on disk names each film in progress. If a note is still there when the program restarts within the same boot of
the machine, the program died on that film; after a reboot it may only have been a power cut. Notes need not survive a
power cut, so they are not flushed.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from edge_seg.errors import InputError, OutputError
from edge_seg.film import Arrival, Failure, Film, Outcome
from edge_seg.hardware import boot_id
from edge_seg.log import room_logger
from edge_seg.sources.source import IDLE_S

MOST_ATTEMPTS = 3
"""A film that has stopped the program this many times is set aside."""

_NO_BOOT = "stopped"

_log = room_logger(__name__)


class Attempts:
    """Counts, on disk, how often the program died while a film was in progress.

    A film that was in progress when the program died is retried alone, so that films beside it are not blamed.

    Args:
        folder: holds one small file per film in progress; created with the first. `None` counts nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._boot = boot_id()
        self._lock = threading.Lock()
        # Keys of the films in progress, and how often the program has died on each.
        self._in_hand: dict[str, int] = {}

    def hand_out(
        self,
        key: str,
        name: str,
        source: str,
        read: Callable[[], Film | Failure | None],
        settled: Callable[[Outcome | None], None] = lambda outcome: None,
        *,
        stays: bool = False,
    ) -> Iterator[Arrival | None]:
        """Count an attempt at a film, read it and yield it; yields `None` while it waits for others.

        Args:
            key: identifies the film and its state.
            name, source: of the film, used if it is set aside.
            read: reads the film; returns `None` if it cannot be read yet.
            settled: called when the film's record is on disk, before the attempt ends.
            stays: whether the next start will see the film again; if so, the note on a film set aside is kept.
        """
        deaths = self._deaths(key)
        while not self._begin(key, deaths):
            time.sleep(IDLE_S)
            yield None
        if deaths >= MOST_ATTEMPTS:
            _log.warning("a film was set aside after it stopped the program %d times", deaths)
            yield Arrival(_set_aside(name, source), partial(self._settle, key, settled, keep_note=stays))
        else:
            self._note(key, deaths)
            content: Film | Failure | None = None
            try:
                content = read()
            finally:
                # Not readable yet, or the program is being stopped: `read` returns what a film raises as a failure.
                if content is None:
                    # Nothing was recorded: if the disk cannot be written, the note may stay.
                    with contextlib.suppress(OutputError):
                        self.end(key)
            if content is None:
                return
            yield Arrival(content, partial(self._settle, key, settled))
        while deaths and key in self._in_hand:
            time.sleep(IDLE_S)
            yield None

    def end(self, key: str, *, keep_note: bool = False) -> None:
        """End an attempt: the film's record is on disk, or there was nothing to record.

        Raises:
            OutputError: the disk cannot be written; the call may be repeated.
        """
        try:
            if self._folder is not None and not keep_note:
                self._path(self._folder, key).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be written ({error.strerror}): free space") from error
        finally:
            with self._lock:
                self._in_hand.pop(key, None)

    def forgive(self) -> None:
        """Discount the films in progress when the program is stopped cleanly; earlier deaths still count."""
        for key, deaths in list(self._in_hand.items()):
            if deaths:
                self._note(key, deaths, boot=_NO_BOOT)
            # If the disk cannot be written, the note stays and counts as one more attempt.
            with contextlib.suppress(OutputError):
                self.end(key, keep_note=deaths > 0)

    def close(self) -> None:
        """Leave no empty folder behind."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.rmdir()

    def _settle(
        self, key: str, settled: Callable[[Outcome | None], None], outcome: Outcome | None, keep_note: bool = False
    ) -> None:
        settled(outcome)
        self.end(key, keep_note=keep_note)

    def _begin(self, key: str, deaths: int) -> bool:
        """Whether the film may be handed out now."""
        with self._lock:
            if self._in_hand and (deaths or any(self._in_hand.values())):
                return False
            self._in_hand[key] = deaths
            return True

    def _deaths(self, key: str) -> int:
        if self._folder is None:
            return 0
        try:
            boot, _, count = self._path(self._folder, key).read_text().partition(" ")
            return int(count) + (boot == self._boot)
        except (OSError, ValueError):
            return 0

    def _note(self, key: str, deaths: int, boot: str | None = None) -> None:
        """Write a note; a full disk does not stop the run here, as writing the film's results will report it."""
        if self._folder is not None:
            with contextlib.suppress(OSError):
                self._folder.mkdir(parents=True, exist_ok=True)
                self._path(self._folder, key).write_text(f"{boot or self._boot} {deaths}")

    @staticmethod
    def _path(folder: Path, key: str) -> Path:
        return folder / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()


def _set_aside(name: str, source: str) -> Failure:
    problem = f"{source}: stopped the program {MOST_ATTEMPTS} times and was set aside: look at this file elsewhere"
    return Failure(name, source, InputError(problem))
