"""Films that were received and wait for their result: on disk, so that no power cut loses or repeats one.

A film is a file, and its state is the folder it lies in: `received`, then `done` or `failed`. Moving a file is one
rename, which a full disk does not hinder; nothing else has to agree with it.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.storage import flush_folder, sweep_drafts, write_atomically

STATES = ("received", "done", "failed")


class Inbox:
    """Received films, oldest first. Many threads may `put`; one takes.

    Args:
        folder: made if absent.

    Raises:
        OutputError: it cannot be made or read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        try:
            for state in STATES:
                (folder / state).mkdir(parents=True, exist_ok=True)
                sweep_drafts(folder / state)
            flush_folder(folder)
            found = [(path.stat().st_mtime_ns, path.name) for path in (folder / "received").iterdir()]
        except OSError as error:
            raise _unusable(folder, error) from error
        self._waiting = deque(name for _, name in sorted(found))
        self._taken: set[str] = set()

    def __len__(self) -> int:
        """How many films wait."""
        return len(self._waiting)

    def put(self, name: str, *parts: bytes | memoryview) -> bool:
        """Keep a film; when this returns it lasts through a power cut.

        The same name with the same bytes is the same film, whatever has become of it; with other bytes it is another
        film, kept beside the first under a name with eight digits of its checksum.

        Args:
            name: of the film, without its extension; safe as a file name.
            parts: of the file, one after another: a large film is in memory once.

        Returns:
            Whether it is new.

        Raises:
            OutputError: it cannot be written.
        """
        whole = hashlib.sha256()
        for part in parts:
            whole.update(part)
        digest = whole.hexdigest()
        with self._lock:
            for stem in (name, f"{name}-{digest[:8]}", f"{name}-{digest}"):
                kept = self._find(f"{stem}.dcm")
                if kept is None:
                    break
                if _digest(kept) == digest:
                    return self._wait_again(kept)
            write_atomically(self.folder / "received" / f"{stem}.dcm", *parts)
            self._waiting.append(f"{stem}.dcm")
            return True

    def _wait_again(self, kept: Path) -> bool:
        """Whether a film was in its place but not waiting: the disk failed between the two, and it was not taken on."""
        if kept.parent.name != STATES[0] or kept.name in self._waiting:
            return False
        try:
            flush_folder(kept.parent)
        except OSError as error:
            raise _unusable(self.folder, error) from error
        self._waiting.append(kept.name)
        return True

    def take(self) -> Path | None:
        """The film that waits longest of those not taken yet; it waits on until it is settled."""
        with self._lock:
            # Few are taken at a time, and those are the first.
            name = next((name for name in self._waiting if name not in self._taken), None)
            if name is None:
                return None
            self._taken.add(name)
            return self.folder / "received" / name

    def settle(self, path: Path, state: str) -> None:
        """Put a film where those of its new state lie; once more does no harm.

        Args:
            path: as `take` gave it.
            state: `done` or `failed`.

        Raises:
            OutputError: the disk takes no change; it may be asked again.
        """
        with self._lock:
            try:
                path.replace(self.folder / state / path.name)
                flush_folder(self.folder / state)
                flush_folder(path.parent)
            except FileNotFoundError:
                # Somebody took the file away; there is nothing left to move.
                pass
            except OSError as error:
                raise _unusable(self.folder, error) from error
            if path.name in self._waiting:
                self._waiting.remove(path.name)
            self._taken.discard(path.name)

    def _find(self, name: str) -> Path | None:
        paths = (self.folder / state / name for state in STATES)
        return next((path for path in paths if path.exists()), None)


def find(folder: Path, name: str) -> Path | None:
    """The file of a film in an inbox's folder, whatever became of it; `None` where it is gone.

    Args:
        folder: of the inbox.
        name: of the film, without extension.
    """
    if "/" in name or "\0" in name:
        return None
    return next((path for state in STATES if (path := folder / state / f"{name}.dcm").exists()), None)


def forget(folder: Path, name: str) -> None:
    """Remove a film that is done or has failed from an inbox's folder; one that waits stays.

    Args:
        folder: of the inbox.
        name: of the film, without extension.

    Raises:
        OutputError: the disk takes no change.
    """
    if "/" in name or "\0" in name:
        # No name of a film, so there is nothing to forget.
        return
    try:
        for state in STATES[1:]:
            (folder / state / f"{name}.dcm").unlink(missing_ok=True)
    except OSError as error:
        raise _unusable(folder, error) from error


def _digest(path: Path) -> str:
    # Films of one name are few and no larger than what a sender may send: no need to read in parts.
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unusable(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"{folder}: cannot be used ({error.strerror or error}): free space, or choose another --out")
