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
    """Locks a folder for one process; the lock ends with the process, even on kill -9, and leaves no file behind.

    It takes two locks: one on the folder itself, which other machines on a network share may see, and an abstract
    socket named after its path, which stays taken if the folder is removed while the process runs.

    Raises:
        OutputError: another run is writing there.
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
        """Lock the folder that is now at the path, recreating it if it was removed.

        Raises:
            OutputError: another run is writing there, or the folder cannot be created.
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
        # Some network file systems have no locks; if the folder cannot be opened, the next access reports it.
        return descriptor
    return descriptor


def _taken(folder: Path) -> OutputError:
    return OutputError(f"{folder}: another run writes there: wait for its end, or choose another --out")
