"""Received films that wait for their result, on disk, so that no power cut loses or repeats one.

A film is a file, and its state is the folder it is in: `received`, then `done` or `failed`. Moving a file is one
rename, which works even on a full disk; no other state has to agree with it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.storage import flush_folder, sweep_drafts, write_atomically

STATES = ("received", "done", "failed")


class Inbox:
    """Received films, oldest first. Many threads may `put`; one takes.

    Args:
        folder: created if missing.

    Raises:
        OutputError: it cannot be created or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            self._make_folders()
            for state in STATES:
                sweep_drafts(folder / state)
            found = [(path.stat().st_mtime_ns, path.name) for path in (folder / "received").iterdir()]
        except OSError as error:
            raise _unusable(folder, error) from error
        self._waiting = deque(name for _, name in sorted(found))
        self._taken: set[str] = set()

    def __len__(self) -> int:
        """How many films are waiting."""
        return len(self._waiting)

    def put(self, name: str, *parts: bytes | memoryview) -> bool:
        """Store a film; once this returns, it survives a power cut.

        The same name with the same bytes is the same film, whatever its state; if it failed, it waits again. With other
        bytes it is another film, stored beside the first with eight digits of its checksum in its name.

        Args:
            name: of the film, without its extension; safe as a file name.
            parts: of the file, in order, so that a large film is in memory only once.

        Returns:
            Whether it is new, or waits again.

        Raises:
            OutputError: it cannot be written, or a film of its name cannot be read.
        """
        whole = hashlib.sha256()
        for part in parts:
            whole.update(part)
        digest = whole.hexdigest()
        with self._lock:
            try:
                return self._put(name, digest, parts)
            except OSError as error:
                raise _unusable(self.folder, error) from error

    def _put(self, name: str, digest: str, parts: Sequence[bytes | memoryview]) -> bool:
        if not all((self.folder / state).is_dir() for state in STATES):
            # Somebody removed the results; the run goes on, and so does the inbox.
            self._make_folders()
        for stem in (name, f"{name}-{digest[:8]}", f"{name}-{digest}"):
            kept = self._find(f"{stem}.dcm")
            if kept is None:
                break
            if _digest(kept) == digest:
                return self._wait_again(kept)
        write_atomically(self.folder / "received" / f"{stem}.dcm", *parts)
        # A film whose file was removed while it waited is still in the queue.
        if f"{stem}.dcm" not in self._waiting:
            self._waiting.append(f"{stem}.dcm")
        return True

    def _wait_again(self, kept: Path) -> bool:
        """Queue a stored film that failed, or that a failing disk kept out of the queue; returns whether it was one."""
        if kept.parent.name == "done" or kept.name in self._waiting:
            return False
        kept.replace(self.folder / "received" / kept.name)
        flush_folder(self.folder / "received")
        flush_folder(self.folder / "failed")
        self._waiting.append(kept.name)
        return True

    def take(self) -> Path | None:
        """The film that has waited longest and is not taken yet; it keeps waiting until it is settled."""
        with self._lock:
            # Few are taken at a time, and those come first.
            name = next((name for name in self._waiting if name not in self._taken), None)
            if name is None:
                return None
            self._taken.add(name)
            return self.folder / "received" / name

    def settle(self, path: Path, state: str) -> None:
        """Move a film to the folder of its new state; repeating this does no harm.

        Args:
            path: as returned by `take`.
            state: `done` or `failed`.

        Raises:
            OutputError: the disk cannot be written; the call may be repeated.
        """
        with self._lock:
            if path.name not in self._taken:
                # It is settled already, and may have been sent again since.
                return
            try:
                path.replace(self.folder / state / path.name)
                flush_folder(self.folder / state)
                flush_folder(path.parent)
            except FileNotFoundError:
                # Someone removed the file; there is nothing left to move.
                pass
            except OSError as error:
                raise _unusable(self.folder, error) from error
            if path.name in self._waiting:
                self._waiting.remove(path.name)
            self._taken.discard(path.name)

    def _make_folders(self) -> None:
        for state in STATES:
            (self.folder / state).mkdir(parents=True, exist_ok=True)
        flush_folder(self.folder)

    def _find(self, name: str) -> Path | None:
        paths = (self.folder / state / name for state in STATES)
        return next((path for path in paths if path.exists()), None)


def find(folder: Path, name: str) -> Path | None:
    """The file of a film in an inbox's folder, whatever its state; `None` if it is gone.

    Args:
        folder: of the inbox.
        name: of the film, without extension.
    """
    if "/" in name or "\0" in name:
        return None
    return next((path for state in STATES if (path := folder / state / f"{name}.dcm").exists()), None)


def forget(folder: Path, name: str) -> None:
    """Remove a film that is done or has failed from an inbox's folder; a waiting one stays.

    Args:
        folder: of the inbox.
        name: of the film, without extension.

    Raises:
        OutputError: the disk cannot be written.
    """
    if "/" in name or "\0" in name:
        # Not the name of a film, so there is nothing to forget.
        return
    try:
        for state in STATES[1:]:
            (folder / state / f"{name}.dcm").unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _digest(path: Path) -> str:
    # Few films share a name, and none is larger than a sender may send: no need to read in parts.
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be used ({error.strerror or error}): free space, or choose another --out")
