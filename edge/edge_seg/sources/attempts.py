"""How often a film was tried: one that stops the whole program is set aside, not tried for ever."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from edge_seg.errors import InputError, OutputError
from edge_seg.sources.source import Failure
from edge_seg.storage import sweep_drafts, write_atomically

MOST_ATTEMPTS = 3
"""A film that stopped the program so often is set aside: tried once, and again twice."""


class Attempts:
    """Counts, on disk, how often a film was begun and not ended.

    Args:
        folder: for one small file for each film in hand; made when the first is begun. `None` counts nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        if folder is not None and folder.is_dir():
            sweep_drafts(folder)

    def begin(self, key: str) -> int:
        """Count an attempt before anything is read of the film.

        A disk that takes no note of it stops nobody: the film's results will say that the disk is full.

        Args:
            key: what names the film and its state.

        Returns:
            How many attempts there were, this one included.
        """
        if self._folder is None:
            return 1
        note = self._note(self._folder, key)
        count = 1
        try:
            if note.exists():
                count = int(note.read_text() or "0") + 1
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(note, str(count).encode())
        except (OSError, OutputError, ValueError):
            return count
        return count

    def end(self, key: str) -> None:
        """The film's record is on disk, or nothing came of it that could be recorded."""
        if self._folder is not None:
            try:
                self._note(self._folder, key).unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"{self._folder}: cannot be written ({error.strerror}): free space") from error

    def forgive(self, key: str) -> None:
        """Somebody stopped the program with the film in hand: that was no attempt. A disk that takes no note may be."""
        with contextlib.suppress(OutputError):
            self.end(key)

    @staticmethod
    def _note(folder: Path, key: str) -> Path:
        return folder / hashlib.sha256(key.encode()).hexdigest()


def set_aside(name: str, source: str) -> Failure:
    """What is said of a film that stopped the program `MOST_ATTEMPTS` times."""
    problem = f"{source}: stopped the program {MOST_ATTEMPTS} times and was set aside: look at this file elsewhere"
    return Failure(name, source, InputError(problem))
