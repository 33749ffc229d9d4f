"""One run at a time writes to an output folder."""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path

from edge_seg.errors import OutputError
from edge_seg.log import room_logger

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_HAS_NAMES = sys.platform == "linux"  # unix(7): abstract sockets

_log = room_logger(__name__)


class FolderLock:
    """Holds a folder for one process; the lock ends with the process, kill -9 included, and leaves no file behind.

    Two locks in one: that of the folder itself, which other machines on a network share may see, and a name in the
    kernel for its path, which stays taken when the folder is removed while the process runs.

    Raises:
        OutputError: another run writes there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None
        self._name = _take_name(folder)
        try:
            self._descriptor = _lock(folder)
        except BaseException:
            self.release()
            raise

    def hold(self) -> None:
        """Hold the folder that is at its place now, made anew if it was removed.

        Raises:
            OutputError: another run writes there, or it cannot be made.
        """
        try:
            if self._descriptor is None or os.path.samestat(os.fstat(self._descriptor), self._folder.stat()):
                return
        except OSError:
            _log.warning("the output folder was removed and is made again")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self._folder}: cannot be made ({error.strerror}): mount what it lies on") from error
        fresh = _lock(self._folder)
        os.close(self._descriptor)  # type: ignore[arg-type]
        self._descriptor = fresh

    def release(self) -> None:
        """Let other runs write to the folder."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        if self._name is not None:
            self._name.close()
            self._name = None


def _take_name(folder: Path) -> socket.socket | None:
    if not _HAS_NAMES:
        return None
    name = socket.socket(socket.AF_UNIX)
    digest = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()
    try:
        name.bind(f"\0edge-seg-{digest}")
    except OSError as error:
        name.close()
        raise _taken(folder) from error
    return name


def _lock(folder: Path) -> int | None:
    if fcntl is None:
        return None
    descriptor: int | None = None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        if descriptor is not None:
            os.close(descriptor)
        raise _taken(folder) from error
    except OSError:
        # Some network file systems have no locks; a folder that cannot be opened is named by what comes next.
        return descriptor
    return descriptor


def _taken(folder: Path) -> OutputError:
    return OutputError(f"{folder}: another run writes there: wait for its end, or choose another --out")
